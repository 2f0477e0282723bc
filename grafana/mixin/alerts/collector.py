"""The Collector, both tiers: refusing, dropping, filling up, sampling too much.

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
SAMPLING_LOST_RECENT: Final = "otelcol:tail_sampling_lost:recent"
"""Traces that were dropped within the window before a decision, by reason (too_large, too_early)."""
ITEMS: Final = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}
"""Signal to the word that the Collector counts it by."""
_BY_EXPORTER: Final = (*HOST, "exporter", "signal")


def build_group(config: Config) -> Group:
    """The rules about the Collector."""
    return Group(
        "taskscope-collector",
        (
            _refusing(config),
            _dropping(config),
            _filling(config),
            _deltas(config),
            _sampling_losing(config),
            _sampling_full(config),
        ),
        (
            *_record_items(config.windows),
            _record_deltas(config.windows),
            *_record_sampling(config.windows),
        ),
    )


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


def _record_sampling(windows: Windows) -> list[Recording]:
    """Neither counter is there without overlays/scale.yaml."""
    counters = {"too_large": "traces_dropped_too_large", "too_early": "sampling_trace_dropped_too_early"}
    return [
        Recording(
            SAMPLING_LOST_RECENT,
            count_recent_scraped(f"otelcol_processor_tail_sampling_{counter}", windows.collector_s, windows),
            {"reason": reason},
        )
        for reason, counter in counters.items()
    ]


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
            "The Collector at {{ $labels.instance }} gave these up: what it sends to refused them for good, "
            "or the queue did not take them. An agent tier: mostly another token than its gateway's."
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


def _sampling_losing(config: Config) -> Alert:
    return Alert(
        name="TaskscopeSamplingLosing",
        value=total(SAMPLING_LOST_RECENT, (*HOST, "reason")),
        limit=config.limits.sampling_lost,
        severity="error",
        summary="{{ $labels.job }}: {{ $value }} traces dropped undecided ({{ $labels.reason }})",
        description=(
            "The sampler at {{ $labels.instance }} dropped these without asking its policies: too_large is "
            "above maximum_trace_size_bytes, too_early is more than num_traces at once. Metrics count them, "
            "Tempo has none of them."
        ),
    )


def _sampling_full(config: Config) -> Alert:
    return Alert(
        name="TaskscopeSamplingFull",
        value=total("otelcol_processor_tail_sampling_sampling_traces_on_memory", HOST, "max"),
        limit=config.limits.sampling_waiting,
        for_s=config.windows.sampling_for_s,
        severity="warning",
        summary="{{ $labels.job }}: {{ $value }} traces wait for their decision",
        description=(
            "The sampler at {{ $labels.instance }} is nearly full. At num_traces it takes no new trace until "
            "one is decided: decisions come late and senders wait; nothing is lost yet."
        ),
    )
