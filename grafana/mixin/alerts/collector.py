"""The Collector, both tiers, and the backends: refusing, dropping, filling up, down.

Its metrics are not of our contract: names are those of Collector 0.155 with `without_type_suffix`. Its health
endpoint stays 200 while a backend is down, and failures stay absent while retries last, so the queue tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .alert import Alert, Group, Recording
from .promql import HOST, count_recent_scraped, duration, total

if TYPE_CHECKING:
    from grafana.mixin.config import Config, Windows

REFUSED_RECENT: Final = "otelcol:receiver_refused:recent"
"""Items that a receiver refused within the window, by signal."""
DROPPED_RECENT: Final = "otelcol:exporter_dropped:recent"
"""Items that an exporter gave up within the window, by signal and step (enqueue, send)."""
DELTAS_FAILED_RECENT: Final = "otelcol:deltatocumulative_failed:recent"
"""Points of derived metrics that were not added within the window, by error."""
ITEMS: Final = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}
"""Signal to the word that the Collector counts it by."""
_BY_EXPORTER: Final = (*HOST, "exporter", "signal")


def build_group(config: Config) -> Group:
    """The rules about the Collector."""
    return Group(
        "taskscope-collector",
        (_refusing(config), _dropping(config), _filling(config), _deltas(config)),
        (*_record_items(config.windows), _record_deltas(config.windows)),
    )


def build_backends(config: Config) -> Group:
    """The rules about whether all that is scraped is there, and that alerts arrive at all."""
    return Group("taskscope-backends", (_down(config), _watchdog()))


def _record_items(windows: Windows) -> list[Recording]:
    """One for each signal, since a counter's name holds it."""
    found = []
    for signal, items in ITEMS.items():
        for record, counter, step in (
            (REFUSED_RECENT, f"otelcol_receiver_refused_{items}", {}),
            (DROPPED_RECENT, f"otelcol_exporter_enqueue_failed_{items}", {"step": "enqueue"}),
            (DROPPED_RECENT, f"otelcol_exporter_send_failed_{items}", {"step": "send"}),
        ):
            expr = count_recent_scraped(counter, windows.collector_s, windows)
            found.append(Recording(record, expr, {"signal": signal, **step}))
    return found


def _record_deltas(windows: Windows) -> Recording:
    failed = 'otelcol_deltatocumulative_datapoints{error!=""}'
    return Recording(DELTAS_FAILED_RECENT, count_recent_scraped(failed, windows.collector_s, windows))


def _refusing(config: Config) -> Alert:
    return Alert(
        name="TaskscopeCollectorRefusing",
        value=total(REFUSED_RECENT, (*HOST, "receiver", "signal")),
        limit=config.limits.collector_refused,
        for_s=config.windows.collector_refused_for_s,
        severity="warning",
        summary="{{ $labels.job }}: refuses {{ $labels.signal }} ({{ $value }} items)",
        description=(
            "The memory limit of the Collector at {{ $labels.instance }} is reached, or what it "
            "sends to is full. "
            "Senders repeat what was refused; nothing is lost yet."
        ),
        consequence_of="backend_down",
    )


def _dropping(config: Config) -> Alert:
    return Alert(
        name="TaskscopeCollectorDropping",
        value=total(DROPPED_RECENT, _BY_EXPORTER),
        limit=config.limits.collector_dropped,
        severity="error",
        summary="{{ $labels.job }}: {{ $labels.exporter }} dropped {{ $labels.signal }} ({{ $value }} items)",
        description=(
            "The Collector at {{ $labels.instance }} gave these up: the backend refused them for "
            "good, or the queue "
            "did not take them."
        ),
    )


def _filling(config: Config) -> Alert:
    by = (*HOST, "exporter", "data_type")
    size, capacity = (total(f"otelcol_exporter_queue_{what}", by, "max") for what in ("size", "capacity"))
    return Alert(
        name="TaskscopeCollectorQueueFilling",
        value=f"{size} / {capacity}",
        limit=config.limits.collector_queue_share,
        for_s=config.windows.collector_queue_for_s,
        severity="warning",
        summary=(
            "{{ $labels.job }}: the queue of {{ $labels.exporter }} for {{ $labels.data_type }} is "
            "{{ $value | humanizePercentage }} full"
        ),
        description=(
            "What the Collector at {{ $labels.instance }} sends to is down or slower than what comes "
            "in. When the "
            "queue is full, senders have to wait; nothing is lost yet."
        ),
        consequence_of="backend_down",
    )


def _deltas(config: Config) -> Alert:
    return Alert(
        name="TaskscopeDerivedMetricsWrong",
        value=total(DELTAS_FAILED_RECENT, (*HOST, "error")),
        limit=config.limits.deltas_failed,
        severity="error",
        summary=(
            "{{ $labels.job }}: {{ $value }} points of derived metrics were not added ({{ $labels.error }})"
        ),
        description=(
            "Tokens, cost and outcomes of senders without Taskscope are too low from now on; their "
            "traces are "
            f"complete. Counted over {duration(config.windows.collector_s)} at {{{{ $labels.instance }}}}."
        ),
    )


def _down(config: Config) -> Alert:
    return Alert(
        name="TaskscopeBackendDown",
        value="up",
        comparison="==",
        limit=0,
        for_s=config.windows.backend_for_s,
        severity="error",
        summary="{{ $labels.job }} at {{ $labels.instance }} is down",
        description=(
            "Prometheus cannot read its metrics. Senders keep what they cannot deliver and send it later."
        ),
    )


def _watchdog() -> Alert:
    return Alert(
        name="TaskscopeWatchdog",
        value="vector(1)",
        comparison="==",
        limit=1,
        severity="info",
        summary="Alerts arrive",
        description="Always fires. When it stops, Prometheus, Alertmanager or the way to you is broken.",
    )
