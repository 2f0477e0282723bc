"""Health checks of the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics

from .alert import Alert, Group
from .promql import labels, match, select, total

if TYPE_CHECKING:
    from grafana.mixin.config import Config


def build_group(config: Config) -> Group:
    """The rules about health."""
    failing = select(metrics.HEALTH_STATUS, match(attr.HEALTH_STATUS, "fail"))
    return Group(
        "taskscope-health",
        (
            Alert(
                name="TaskscopeHealthFailing",
                value=total(failing, labels(attr.HEALTH_CHECK, attr.HEALTH_GROUP), "max"),
                limit=config.limits.health_failing,
                for_s=config.windows.health_for_s,
                severity="error",
                summary="{{ $labels.job }}: the health check {{ $labels.taskscope_health_check }} fails",
                description=(
                    "On {{ $labels.instance }}, group {{ $labels.taskscope_health_group }}; each "
                    "failed run is a "
                    "trace of its own."
                ),
            ),
        ),
    )
