from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from taskscope.semconv import attributes as attr
from taskscope.store.aggregates import read_aggregates
from taskscope.store.records import TaskNote

from .builders import SECOND, START, make_chat, make_span, make_task, open_and_end, values_of

if TYPE_CHECKING:
    from taskscope.store.history import History

    from .conftest import Store

_USAGE = {attr.TASK_ID: "t-1", attr.GEN_AI_USAGE_INPUT_TOKENS: 100, attr.GEN_AI_USAGE_OUTPUT_TOKENS: 7}
_KNOWN = {attr.COST_STATUS: "known", attr.COST_MICRO_USD: 250}
_UNKNOWN = {attr.COST_STATUS: "unknown", attr.COST_UNKNOWN_REASON: "unknown_model"}


def test_a_task_begins_runs_and_ends(store: Store, history: History) -> None:
    """Its row is there from its start on, and says how it ended."""
    start, end = open_and_end(
        make_task(), **{attr.TASK_OUTCOME: "succeeded", attr.TASK_VERIFICATION: "passed"}
    )
    store.write(start)
    running = history.find_task()
    assert (running.task_id, running.kind, running.outcome, running.ended_ns) == ("t-1", "repair", None, None)
    assert [task.task_id for task in history.active_tasks()] == ["t-1"]
    store.write(end)
    ended = history.find_task("t-1")
    assert (ended.outcome, ended.verification, ended.ended_ns) == ("succeeded", "passed", START + SECOND)
    assert history.active_tasks() == []


@pytest.mark.parametrize("is_first", [True, False])
def test_calls_add_up_whenever_they_come(store: Store, history: History, is_first: bool) -> None:
    """A sender's calls may arrive before its task: tokens and cost are summed, unknown cost apart."""
    calls = [
        make_chat({**_USAGE, **_KNOWN}),
        make_chat({**_USAGE, **_KNOWN}),
        make_chat({attr.TASK_ID: "t-1", **_UNKNOWN}),
    ]
    task = open_and_end(make_task(), **{attr.TASK_OUTCOME: "failed"})
    store.write(*(calls if is_first else task))
    store.write(*(task if is_first else calls))
    found = history.find_task()
    assert (found.llm_calls, found.input_tokens, found.output_tokens) == (3, 200, 14)
    assert (found.cost_micro_usd, found.unpriced_calls) == (500, 1)


def test_a_row_without_its_task_is_not_shown(store: Store, history: History) -> None:
    """A note or a call alone is no task yet."""
    store.write(TaskNote("t-1", text="fix it"), make_chat(_USAGE))
    assert history.tasks() == []


def test_a_replayed_call_costs_nothing(store: Store, history: History) -> None:
    """It is a call of the task, told apart, with the tokens that were recorded, and no cost at all."""
    store.write(*open_and_end(make_task()), make_chat({**_USAGE, attr.LLM_MODE: "replay"}))
    found = history.find_task()
    assert (found.llm_calls, found.replayed_calls, found.cost_micro_usd, found.unpriced_calls) == (
        1,
        1,
        None,
        0,
    )
    assert history.cost_since(0) == (0, 0)


def test_a_call_that_the_budget_refused_is_no_call(store: Store, history: History) -> None:
    """The model was not asked: nothing is counted, and nothing has an unknown cost."""
    refused = {**_USAGE, attr.LLM_MODE: "live", attr.ERROR_TYPE: "budget_exceeded"}
    store.write(*open_and_end(make_task()), make_chat(refused))
    found = history.find_task()
    assert (found.llm_calls, found.unpriced_calls, history.cost_since(0)) == (0, 0, (0, 0))


@pytest.mark.parametrize(
    "facts, unpriced",
    [
        ({}, 1),
        ({attr.GEN_AI_PROVIDER_NAME: "local", attr.SERVER_ADDRESS: "127.0.0.1"}, 1),
        ({attr.GEN_AI_PROVIDER_NAME: "local"}, 0),
        ({attr.LLM_MODE: "replay"}, 0),
    ],
    ids=["left the process", "own server", "in process", "replayed"],
)
def test_a_call_that_says_nothing_of_its_cost(
    store: Store, history: History, facts: dict[str, str], unpriced: int
) -> None:
    """It is unknown where the call left the process, say of one that was killed or that others traced."""
    store.write(*open_and_end(make_task()), make_chat({attr.TASK_ID: "t-1", **facts}))
    found = history.find_task()
    assert (found.llm_calls, found.unpriced_calls, history.cost_since(0)) == (1, unpriced, (0, unpriced))
    with closing(store.read()) as connection:
        counted = values_of(read_aggregates(connection), "taskscope.llm.unpriced_calls")
    assert list(counted.values()) == [1] * unpriced


def test_cost_is_that_of_calls_that_ended_since(store: Store, history: History) -> None:
    """With the number of those whose price is unknown, of tasks and of embedders."""
    store.write(
        make_chat({**_USAGE, **_KNOWN}, end_ns=START + SECOND),
        make_chat({**_USAGE, **_KNOWN}, end_ns=START + 3 * SECOND),
        make_chat(_UNKNOWN, end_ns=START + 3 * SECOND),
        make_span(
            "embeddings m", {attr.GEN_AI_OPERATION_NAME: "embeddings", **_KNOWN}, end_ns=START + 3 * SECOND
        ),
    )
    assert history.cost_since(START + 2 * SECOND) == (500, 1)
    assert history.cost_since(0) == (750, 1)


def test_a_note_writes_only_what_it_says(store: Store, history: History) -> None:
    """Fields that are None leave what an earlier note said."""
    store.write(*open_and_end(make_task()), TaskNote("t-1", text="fix it", findings='[{"rule": "x"}]'))
    store.write(TaskNote("t-1", patch_path="/p", error='{"type": "E"}'))
    store.write(TaskNote("t-1"))
    found = history.find_task()
    assert (found.text, found.findings, found.patch_path, found.error) == (
        "fix it",
        ({"rule": "x"},),
        "/p",
        {"type": "E"},
    )


def test_a_workflow_inside_of_a_task_does_not_take_its_row(store: Store, history: History) -> None:
    """It carries the task's id too, but the row belongs to the span that opened it."""
    outer_start, outer_end = open_and_end(
        make_task(end_ns=START + 5 * SECOND), **{attr.TASK_OUTCOME: "succeeded"}
    )
    inner = open_and_end(make_task(parent=outer_start.span_id), **{attr.TASK_OUTCOME: "failed"})
    store.write(outer_start)
    store.write(*inner)
    assert history.find_task().outcome is None
    store.write(outer_end)
    assert (history.find_task().outcome, history.find_task().ended_ns) == ("succeeded", START + 5 * SECOND)


@pytest.mark.parametrize("status, outcome", [(0, ""), (1, ""), (2, "failed")])
def test_a_task_that_does_not_say_how_it_ended_has_ended(
    store: Store, history: History, status: int, outcome: str
) -> None:
    """It is not running any more; an error is told, success is not made up."""
    store.write(make_task(status_code=status))
    assert (history.find_task().outcome, history.active_tasks()) == (outcome, [])


def test_a_later_attempt_takes_the_row(store: Store, history: History) -> None:
    """The task runs again, under the same id and in another trace."""
    store.write(*open_and_end(make_task(), **{attr.TASK_OUTCOME: "failed"}))
    again = make_task(trace=b"\x02" * 16, start_ns=START + 9 * SECOND, end_ns=START + 10 * SECOND)
    start, end = open_and_end(again, **{attr.TASK_OUTCOME: "succeeded"})
    store.write(start)
    assert (history.find_task().outcome, history.find_task().trace_id) == (None, "02" * 16)
    store.write(end)
    assert history.find_task().outcome == "succeeded"
