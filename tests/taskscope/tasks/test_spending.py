"""Budgets and caps: what may still be spent, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from taskscope.prices import Price
from taskscope.tasks.records import Cost
from taskscope.tasks.spending import BudgetUsedUpError, Spending

if TYPE_CHECKING:
    from taskscope.testing import SpanRecorder

CENT = 10_000
"""Micro-dollars."""


class FakeRecord:
    """A record whose sum a test sets; remembers what it was asked."""

    def __init__(self, spent: int | None = 0) -> None:
        self.spent = spent
        self.asked: list[datetime] = []

    def __call__(self, since: datetime) -> int | None:
        self.asked.append(since)
        return self.spent


def make(record: FakeRecord, *, cap: float | None = None) -> Spending:
    return Spending(cap, record, now=lambda: datetime(2026, 11, 21, 23, 59, tzinfo=UTC))


def test_known_and_unknown_prices_add_up_apart() -> None:
    """A task's cost is the sum of its priced calls, beside the count of those without a price."""
    spending = make(FakeRecord())
    for amount in (CENT, 2 * CENT, None):
        spending.add("t-1", Price(micro_usd=amount))
    spending.add("t-2", Price(micro_usd=CENT))
    assert spending.forget("t-1") == Cost(calls=3, micro_usd=3 * CENT, unpriced_calls=1)
    assert spending.cost_of("t-1") == Cost()
    assert spending.cost_of("t-2") == Cost(calls=1, micro_usd=CENT)


def test_cost_is_null_unless_it_is_known() -> None:
    """No call is no cost and one unpriced call makes the sum unknown: neither is 0."""
    assert Cost().as_json() == {"micro_usd": None, "status": "no_llm_calls", "unpriced_calls": 0}
    replayed = Cost(is_replayed=True)
    assert replayed.as_json() == {"micro_usd": None, "status": "replayed", "unpriced_calls": 0}
    mixed = Cost(calls=2, micro_usd=5, unpriced_calls=1)
    assert mixed.as_json() == {"micro_usd": None, "status": "unknown", "unpriced_calls": 1}
    assert Cost(calls=1, micro_usd=5).as_json() == {"micro_usd": 5, "status": "known", "unpriced_calls": 0}


def test_a_task_may_spend_up_to_its_budget() -> None:
    """A call is allowed as long as less than the budget is spent, and refused from then on."""
    spending = make(FakeRecord())
    spending.add("t-1", Price(micro_usd=CENT - 1))
    spending.check("t-1", 0.01)
    spending.add("t-1", Price(micro_usd=1))
    with pytest.raises(BudgetUsedUpError, match=r"the task's budget of 0\.01 USD is used up"):
        spending.check("t-1", 0.01)
    spending.check("t-2", 0.01)


def test_a_budget_of_nothing_allows_no_call() -> None:
    """`--budget-usd 0` forbids every live call."""
    with pytest.raises(BudgetUsedUpError):
        make(FakeRecord()).check("t-1", 0)


def test_the_day_counts_from_midnight_utc_by_the_record() -> None:
    """The cap holds for what all processes spent since midnight UTC, as the record says."""
    record = FakeRecord(spent=99 * CENT)
    spending = make(record, cap=1)
    spending.check("t-1", None)
    record.spent = 100 * CENT
    with pytest.raises(BudgetUsedUpError, match="the day's budget of 1 USD"):
        spending.check("t-1", None)
    assert set(record.asked) == {datetime(2026, 11, 21, tzinfo=UTC)}


def test_without_a_record_the_process_keeps_its_own_count() -> None:
    """When the store cannot be read the cap still holds for what this process spent."""
    spending = make(FakeRecord(spent=None), cap=0.01)
    spending.add("t-1", Price(micro_usd=CENT))
    with pytest.raises(BudgetUsedUpError):
        spending.check("t-2", None)


def test_each_threshold_is_told_once(span_recorder: SpanRecorder) -> None:
    """At 80 % and at 100 % of a budget one event each is emitted, however often it is asked."""
    spending = make(FakeRecord())
    spending.add("t-1", Price(micro_usd=8 * CENT))
    for _ in range(2):
        spending.check("t-1", 0.1)
    spending.add("t-1", Price(micro_usd=2 * CENT))
    for _ in range(2):
        with pytest.raises(BudgetUsedUpError):
            spending.check("t-1", 0.1)
    told = [(event.name, event.severity, event.attributes) for event in span_recorder.events]
    facts = {"taskscope.budget.scope": "task", "taskscope.budget.limit_micro_usd": 10 * CENT}
    assert told == [
        (
            "taskscope.budget.threshold_reached",
            "WARN",
            facts | {"taskscope.budget.spent_micro_usd": 8 * CENT},
        ),
        (
            "taskscope.budget.threshold_reached",
            "ERROR",
            facts | {"taskscope.budget.spent_micro_usd": 10 * CENT},
        ),
    ]
