"""Cost: the day's cap, and calls of which nobody knows what they cost.

The cap is a host's own (COST_CAP_DAILY), so hosts without one, and other senders, have none of
the first three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics, spans

from .alert import Alert, Group, Recording
from .promql import count_recent, differ, duration, labels, select, total

if TYPE_CHECKING:
    from grafana.mixin.config import Config

CAP_USED: Final = "taskscope:budget:used"
"""Share of the daily cap that is spent, by host."""
CAP_FORECAST: Final = "taskscope:budget:forecast"
"""Share of the daily cap that will be spent at the end of the UTC day, if the last hour goes on."""
UNPRICED_RECENT: Final = "taskscope:llm_unpriced_calls:recent"
"""Calls of unknown cost within the window, by all labels of the counter; without those that failed, which are
mostly free and have alerts of their own."""
_DAY_LEFT_S: Final = "(86400 - time() % 86400)"
"""Seconds until midnight UTC, when the host begins to count anew."""


def build_group(config: Config) -> Group:
    """The rules about cost."""
    usage = total(select(metrics.BUDGET_USAGE), labels(), "max")
    limit = total(f"{select(metrics.BUDGET_LIMIT)} > 0", labels(), "max")
    rate = total(f"rate({select(metrics.LLM_COST)}[{duration(config.windows.cost_s)}])", labels())
    answered = differ(attr.COST_UNKNOWN_REASON, spans.COST_CALL_FAILED)
    unpriced = count_recent(
        select(metrics.LLM_UNPRICED_CALLS, answered), config.windows.cost_s, config.windows
    )
    return Group(
        "taskscope-cost",
        (_near(config), _reached(config), _forecast(config), _unpriced(config)),
        (
            Recording(CAP_USED, f"{usage} / {limit}"),
            Recording(CAP_FORECAST, f"{CAP_USED} + {rate} * {_DAY_LEFT_S} / {limit}"),
            Recording(UNPRICED_RECENT, unpriced),
        ),
    )


def _near(config: Config) -> Alert:
    return Alert(
        name="TaskscopeCostNearCap",
        value=CAP_USED,
        limit=config.limits.cap_near,
        guard=f"unless\n{CAP_USED} >= {config.limits.cap_reached:g}",
        severity="warning",
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of the daily cap is spent",
        description="Live calls on {{ $labels.instance }} stop at the cap, until midnight UTC.",
    )


def _reached(config: Config) -> Alert:
    return Alert(
        name="TaskscopeCostCapReached",
        value=CAP_USED,
        limit=config.limits.cap_reached,
        severity="error",
        summary="{{ $labels.job }}: the daily cap is spent ({{ $value | humanizePercentage }})",
        description=(
            "{{ $labels.instance }} makes no live call until midnight UTC; tasks go on by rules or stop."
        ),
    )


def _forecast(config: Config) -> Alert:
    return Alert(
        name="TaskscopeCostForecast",
        value=CAP_FORECAST,
        limit=config.limits.cap_forecast,
        comparison=">",
        guard=(
            f"and\n{CAP_USED} >= {config.limits.cap_forecast_from:g}\n"
            f"unless\n{CAP_USED} >= {config.limits.cap_reached:g}"
        ),
        for_s=config.windows.forecast_for_s,
        severity="warning",
        summary="{{ $labels.job }}: the day will end at {{ $value | humanizePercentage }} of the daily cap",
        description=(
            f"If {{{{ $labels.instance }}}} goes on spending as in the last "
            f"{duration(config.windows.cost_s)}, live "
            "calls stop before midnight UTC."
        ),
    )


def _unpriced(config: Config) -> Alert:
    by = labels(attr.GEN_AI_PROVIDER_NAME, attr.GEN_AI_REQUEST_MODEL, attr.COST_UNKNOWN_REASON)
    return Alert(
        name="TaskscopeCallsUnpriced",
        value=total(UNPRICED_RECENT, by),
        limit=config.limits.unpriced_calls,
        severity="warning",
        summary=(
            "{{ $labels.job }}: {{ $value }} calls of {{ $labels.gen_ai_request_model }} of unknown cost "
            "({{ $labels.taskscope_cost_unknown_reason }})"
        ),
        description=(
            "What these calls cost is in no sum, and the daily cap of {{ $labels.instance }} does "
            "not see them."
        ),
    )
