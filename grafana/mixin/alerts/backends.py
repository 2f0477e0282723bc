"""The backends, and the way of alerts: down, not keeping what they take, and whether alerts arrive at all.

When Prometheus cannot write to its disk it keeps no sample, not even those that say so: alerts go silent.
Rules are evaluated and told all the same, so one of them asks whether there are samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .alert import Alert, Group, Recording
from .promql import HOST, count_recent_scraped, duration, total

if TYPE_CHECKING:
    from grafana.mixin.config import Config, Windows

LOST_RECENT: Final = "prometheus:lost:recent"
"""What Prometheus did not keep within the window, by reason (wal, too_old)."""
_LOST: Final = {
    "wal": (
        "prometheus_tsdb_wal_writes_failed_total",
        "prometheus_tsdb_out_of_order_wbl_writes_failed_total",
    ),
    "too_old": ("prometheus_tsdb_too_old_samples_total",),
}


def build_group(config: Config) -> Group:
    """The rules about whether all that is scraped is there, is kept, and that alerts arrive at all."""
    return Group(
        "taskscope-backends",
        (_down(config), _not_storing(config), _losing(config), _not_flushing(config), _watchdog()),
        tuple(_record_lost(config.windows)),
    )


def _record_lost(windows: Windows) -> list[Recording]:
    return [
        Recording(
            LOST_RECENT,
            "\nor\n".join(
                total(count_recent_scraped(counter, windows.collector_s, windows), HOST)
                for counter in counters
            ),
            {"reason": reason},
        )
        for reason, counters in _LOST.items()
    ]


def _not_storing(config: Config) -> Alert:
    window = config.windows.not_storing_s
    return Alert(
        name="TaskscopePrometheusNotStoring",
        value=f'absent_over_time(up{{job="prometheus"}}[{duration(window)}])',
        comparison="==",
        limit=1,
        for_s=window,
        severity="error",
        summary="Prometheus keeps no samples",
        description=(
            f"For {duration(window)} it has no sample of its own: its disk is full or broken. It still says "
            "yes to what it is sent. Alerts about anything else are silent until it writes again."
        ),
    )


def _losing(config: Config) -> Alert:
    return Alert(
        name="TaskscopePrometheusLosing",
        value=total(LOST_RECENT, (*HOST, "reason")),
        limit=config.limits.prometheus_lost,
        severity="error",
        summary="Prometheus did not keep what it was sent ({{ $labels.reason }}, {{ $value }})",
        description=(
            "wal: a write to the disk of {{ $labels.instance }} failed, with all samples in it. too_old: "
            "samples older than out_of_order_time_window. Totals are cumulative: the next has everything."
        ),
    )


def _not_flushing(config: Config) -> Alert:
    failed = count_recent_scraped(
        "tempo_ingester_failed_flushes_total", config.windows.collector_s, config.windows
    )
    return Alert(
        name="TaskscopeTempoNotFlushing",
        value=total(failed, HOST),
        limit=config.limits.tempo_flushes_failed,
        severity="error",
        summary="Tempo could not write a block of traces ({{ $value }} tries)",
        description=(
            "The disk of {{ $labels.instance }} is full or broken. It tries again after 30 s, then less "
            "often; a block that it cannot even complete it deletes after three tries: minutes of traces."
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
