"""The hosts' own telemetry: it loses, errs, waits, or runs out of room.

What `expired` left a store by age or size and was promised to nobody; it is not counted as a loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics

from .alert import Alert, Group, Recording
from .promql import count_recent, differ, duration, labels, select, total

if TYPE_CHECKING:
    from grafana.mixin.config import Config

DROPPED_RECENT: Final = "taskscope:records_dropped:recent"
"""Records dropped within the window, by signal, destination and reason."""
ERRORS_RECENT: Final = "taskscope:internal_errors:recent"
"""Errors of ours within the window, by component and kind."""
_BY_WAY: Final = labels(attr.SIGNAL, attr.DESTINATION)
_WAY: Final = "{{ $labels.taskscope_signal }} for {{ $labels.taskscope_destination }}"


def build_group(config: Config) -> Group:
    """The rules about what hosts record and send."""
    windows = config.windows
    dropped = select(metrics.RECORDS_DROPPED, differ(attr.DROP_REASON, "expired"))
    return Group(
        "taskscope-telemetry",
        (_dropped(config), _errors(config), _quarantined(config), _pending(config), _filling(config)),
        (
            Recording(DROPPED_RECENT, count_recent(dropped, windows.loss_s, windows)),
            Recording(ERRORS_RECENT, count_recent(select(metrics.INTERNAL_ERRORS), windows.loss_s, windows)),
        ),
    )


def _dropped(config: Config) -> Alert:
    return Alert(
        name="TaskscopeRecordsDropped",
        value=total(DROPPED_RECENT, (*_BY_WAY, "taskscope_drop_reason")),
        limit=config.limits.records_dropped,
        severity="error",
        summary=(
            f"{{{{ $labels.job }}}}: {{{{ $value }}}} {_WAY} are lost "
            f"({{{{ $labels.taskscope_drop_reason }}}})"
        ),
        description="{{ $labels.instance }} could not keep these records, or a backend did not take them.",
    )


def _errors(config: Config) -> Alert:
    return Alert(
        name="TaskscopeInternalErrors",
        value=total(ERRORS_RECENT, labels(attr.COMPONENT, attr.ERROR_TYPE)),
        limit=config.limits.internal_errors,
        severity="warning",
        summary="{{ $labels.job }}: {{ $value }} errors inside Taskscope ({{ $labels.taskscope_component }})",
        description=(
            "{{ $labels.error_type }} on {{ $labels.instance }}. The program that is watched did not "
            "notice; what "
            "was recorded in that moment may be incomplete."
        ),
    )


def _quarantined(config: Config) -> Alert:
    return Alert(
        name="TaskscopeRecordsQuarantined",
        value=total(select(metrics.RECORDS_QUARANTINED), _BY_WAY, "max"),
        limit=config.limits.records_quarantined,
        severity="warning",
        summary=f"{{{{ $labels.job }}}}: {{{{ $value }}}} {_WAY} are in quarantine",
        description=(
            "The backend refused exactly these records; {{ $labels.instance }} keeps them until "
            "somebody looks, or "
            "until they expire."
        ),
    )


def _pending(config: Config) -> Alert:
    oldest = total(select(metrics.RECORDS_OLDEST_PENDING), _BY_WAY, "min")
    # The time is absent when nothing waits, but Prometheus shows the last one for five minutes more.
    waiting = total(f"{select(metrics.RECORDS_PENDING)} > 0", _BY_WAY, "max")
    return Alert(
        name="TaskscopeRecordsWaiting",
        value=f"time() - {oldest}",
        limit=config.windows.pending_age_s,
        comparison=">",
        guard=f"and\n{waiting}",
        severity="warning",
        summary=f"{{{{ $labels.job }}}}: {_WAY} have waited for {{{{ $value | humanizeDuration }}}}",
        description=(
            "The backend does not take them, or nothing on {{ $labels.instance }} sends: short-lived "
            "programs need "
            "`taskscope ship` beside them."
        ),
        consequence_of="collector_down",
    )


def _filling(config: Config) -> Alert:
    # Once it was full a file stays as large as it is: what tells is what its records take.
    used = f"{select(metrics.RECORDER_FILE_SIZE)} - {select(metrics.RECORDER_FILE_FREE)}"
    limit = total(select(metrics.RECORDER_FILE_LIMIT), labels(), "max")
    return Alert(
        name="TaskscopeStoreFilling",
        value=f"{total(used, labels(), 'max')} / {limit}",
        limit=config.limits.store_share,
        for_s=config.windows.store_for_s,
        severity="warning",
        summary="{{ $labels.job }}: the store is {{ $value | humanizePercentage }} full",
        description=(
            f"For {duration(config.windows.store_for_s)} retention did not keep the store of "
            f"{{{{ $labels.instance }}}} "
            "below its limit. When it is full, new records are dropped."
        ),
    )
