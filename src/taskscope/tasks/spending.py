"""What live models may still cost: a budget for each task, a cap for each day.

The day's sum comes from the record, so that it holds for all processes of the host and survives a restart.
Prices come from `prices.py`; what a call cost stands on its span.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from taskscope.semconv import attributes as attr
from taskscope.semconv import events
from taskscope.telemetry.events import emit_event

from .records import Cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskscope.prices import Price

_MICRO_USD = 1_000_000
_WARN_SHARE = 0.8
"""Share of a budget at which the first event tells of it."""


class BudgetUsedUpError(Exception):
    """A budget is used up; the runner says it in the agent's words."""


class Spending:
    """Adds up what live calls cost and says when no further one may be made; safe for threads."""

    def __init__(
        self,
        cap_daily_usd: float | None,
        spent_since: Callable[[datetime], int | None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`spent_since` returns the record's micro-dollars since a moment, None if there is no record."""
        self._cap = None if cap_daily_usd is None else round(cap_daily_usd * _MICRO_USD)
        self._spent_since = spent_since
        self._now = now
        self._by_task: dict[str, Cost] = {}
        self._by_day: dict[str, int] = {}
        self._told: set[tuple[str, str, float]] = set()
        self._lock = threading.Lock()

    def add(self, task_id: str, price: Price) -> None:
        """Count one live call of a task."""
        amount = price.micro_usd
        day = self._now().date().isoformat()
        with self._lock:
            cost = self._by_task.get(task_id, Cost())
            self._by_task[task_id] = replace(
                cost,
                calls=cost.calls + 1,
                micro_usd=cost.micro_usd + (amount or 0),
                unpriced_calls=cost.unpriced_calls + (amount is None),
            )
            self._by_day[day] = self._by_day.get(day, 0) + (amount or 0)

    def cost_of(self, task_id: str) -> Cost:
        """Return what the live calls of a task of this process cost so far."""
        with self._lock:
            return self._by_task.get(task_id, Cost())

    def forget(self, task_id: str) -> Cost:
        """Return what a task cost and drop its sum, so that a long-lived process does not grow."""
        with self._lock:
            self._told = {told for told in self._told if told[1] != task_id}
            return self._by_task.pop(task_id, Cost())

    def check(self, task_id: str, budget_usd: float | None) -> None:
        """Raise BudgetUsedUpError when the task's budget or the day's cap allows no further live call."""
        if budget_usd is not None:
            limit = round(budget_usd * _MICRO_USD)
            self._compare("task", task_id, self.cost_of(task_id).micro_usd, limit)
        if self._cap is not None:
            self._compare("day", self._now().date().isoformat(), self._spent_today(), self._cap)

    def _spent_today(self) -> int:
        """Return the record's sum of the UTC day, or this process's own where there is no record."""
        midnight = self._now().replace(hour=0, minute=0, second=0, microsecond=0)
        recorded = self._spent_since(midnight)
        with self._lock:
            own = self._by_day.get(midnight.date().isoformat(), 0)
        return own if recorded is None else max(recorded, own)

    def _compare(self, scope: str, name: str, spent: int, limit: int) -> None:
        if spent >= limit:
            self._tell(scope, name, 1.0, spent, limit)
            msg = f"the {scope}'s budget of {_usd(limit)} is used up ({_usd(spent)} spent)"
            raise BudgetUsedUpError(msg)
        if spent >= limit * _WARN_SHARE:
            self._tell(scope, name, _WARN_SHARE, spent, limit)

    def _tell(self, scope: str, name: str, share: float, spent: int, limit: int) -> None:
        """Emit the event of a threshold once for each task or day."""
        with self._lock:
            if (scope, name, share) in self._told:
                return
            self._told.add((scope, name, share))
        facts = {
            attr.BUDGET_SCOPE: scope,
            attr.BUDGET_LIMIT_MICRO_USD: limit,
            attr.BUDGET_SPENT_MICRO_USD: spent,
        }
        severity = events.ERROR if share >= 1 else events.WARN
        emit_event(events.BUDGET_THRESHOLD_REACHED, facts, severity=severity)


def _usd(micro_usd: int) -> str:
    return f"{micro_usd / _MICRO_USD:g} USD"
