"""What other senders hand in: counted once, a task by its trace, and never in place of this host's own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.errors import NotFoundError
from taskscope.semconv import attributes as attr
from taskscope.store.aggregates import read_aggregates
from taskscope.store.database import open_database
from taskscope.store.foreign import ForeignIngest

from .builders import (
    SECOND,
    START,
    TRACE,
    make_agent,
    make_chat,
    make_log,
    make_span,
    make_task,
    open_and_end,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskscope.store.history import History

    from .conftest import Store

OWN_ID = f"x-{TRACE.hex()}"
TOKENS = {attr.GEN_AI_USAGE_INPUT_TOKENS: 10, attr.GEN_AI_USAGE_OUTPUT_TOKENS: 3}


@pytest.fixture
def ingest(store: Store) -> Iterator[ForeignIngest]:
    with closing(open_database(store.path, create=True)) as connection:
        yield ForeignIngest(connection)


def records(history: History) -> dict[tuple[str, ...], Any]:
    """Emitted, delivered and dropped, by their labels."""
    points = read_aggregates(history.connection)
    return {
        **values_of(points, "taskscope.records.emitted"),
        **values_of(points, "taskscope.records.delivered"),
        **values_of(points, "taskscope.records.dropped"),
    }


def test_a_span_that_is_sent_again_is_counted_once(ingest: ForeignIngest, history: History) -> None:
    """In a later request and within one: one row, one in every sum, and no word of a loss."""
    spans = [make_chat(TOKENS), make_agent(span_id=b"a" * 8), make_span(parent=b"a" * 8)]
    ingest.write_spans([*spans, spans[0]])
    ingest.write_spans([*spans[1:], make_span("new")])
    assert history.connection.execute("SELECT count(*) FROM span").fetchone()[0] == 4
    assert records(history) == {("traces",): 4, ("traces", "store"): 4}
    points = read_aggregates(history.connection)
    tokens = values_of(points, "gen_ai.client.inference.usage.input_tokens")
    assert list(tokens.values()) == [10]
    assert history.find_task(OWN_ID).llm_calls == 1


def test_our_own_spans_sent_to_ourselves_are_not_doubled(
    store: Store, ingest: ForeignIngest, history: History
) -> None:
    """What this host's writer stored is known when its shipper sends it, spans and log records alike."""
    span = make_task(span_id=b"t" * 8)
    log = make_log("said once", trace=TRACE)
    store.write(*open_and_end(span), log, make_log("of no trace"))
    before = (records(history), history.find_task("t-1"))
    (ended,) = (row[0] for row in history.connection.execute("SELECT body FROM span"))
    ingest.write_spans([open_and_end(span)[1]._replace(body=ended)])
    ingest.write_logs([log, make_log("of no trace")])
    assert (records(history), history.find_task("t-1")) == before
    assert len(history.logs()) == 2


def test_equal_log_records_of_one_request_are_all_kept(ingest: ForeignIngest, history: History) -> None:
    """A sender that counts milliseconds may say a thing twice in one; sent again, it is still twice."""
    ingest.write_logs([make_log("again"), make_log("again"), make_log("else")])
    ingest.write_logs([make_log("again"), make_log("again")])
    assert sorted(line.body for line in history.logs()) == ["again", "again", "else"]
    assert records(history) == {("logs",): 3, ("logs", "store"): 3}


def test_what_is_refused_is_emitted_and_dropped(ingest: ForeignIngest, history: History) -> None:
    """Emitted is delivered and dropped, for every signal, in the transaction that stores the rest."""
    ingest.write_spans([make_span()], refused=2)
    ingest.write_logs([], refused=1)
    assert records(history) == {
        ("traces",): 3,
        ("traces", "store"): 1,
        ("traces", "store", "refused"): 2,
        ("logs",): 1,
        ("logs", "store", "refused"): 1,
    }


def test_a_request_is_stored_whole_or_not_at_all(
    store: Store, ingest: ForeignIngest, history: History
) -> None:
    """A span that no table takes leaves nothing behind, and what comes after it is taken."""
    with pytest.raises(OverflowError):
        ingest.write_spans([make_span(), make_span()._replace(start_ns=1 << 80)])
    assert history.connection.execute("SELECT count(*) FROM span").fetchone()[0] == 0
    ingest.write_spans([make_span()])
    assert records(history) == {("traces",): 1, ("traces", "store"): 1}


def test_an_agent_without_a_task_is_a_task_of_its_trace(ingest: ForeignIngest, history: History) -> None:
    """Calls that came before it are its own; it is listed, and found by its trace."""
    ingest.write_spans([make_chat(TOKENS, parent=b"a" * 8, span_id=b"c" * 8)])
    assert history.tasks() == []
    ingest.write_spans([make_agent("helper", span_id=b"a" * 8)])
    (task,) = history.tasks()
    assert (task.task_id, task.kind, task.outcome, task.llm_calls) == (OWN_ID, "helper", "", 1)
    assert (task.input_tokens, task.output_tokens, task.unpriced_calls) == (10, 3, 1)
    assert history.find_task(TRACE.hex()[:6]) == history.find_task("x-01") == task
    assert [node.name for node in history.tree(task).walk()] == ["invoke_agent helper", "chat m"]


def test_the_agent_around_all_others_makes_the_row(ingest: ForeignIngest, history: History) -> None:
    """Agents inside of it end first; one beside it, shorter, does not take its place."""
    inner = make_agent("inner", start_ns=START + 2, end_ns=START + 3)
    ingest.write_spans([inner])
    assert history.tasks()[0].kind == "inner"
    ingest.write_spans([make_agent("outer", start_ns=START, end_ns=START + SECOND, status_code=2)])
    ingest.write_spans([make_agent("beside", start_ns=START + 5, end_ns=START + 6)])
    (task,) = history.tasks()
    assert (task.kind, task.outcome) == ("outer", "failed")


def test_a_task_with_an_id_takes_over_what_waits_for_it(ingest: ForeignIngest, history: History) -> None:
    """A sender that names the task on its root alone: calls and agents of the trace are that task's."""
    ingest.write_spans([make_chat(TOKENS), make_agent()])
    ingest.write_spans([make_task("their-task")])
    ingest.write_spans([make_chat(TOKENS)])
    (task,) = history.tasks()
    assert (task.task_id, task.llm_calls, task.input_tokens) == ("their-task", 2, 20)


def test_an_agent_within_a_task_of_this_host_is_part_of_it(
    store: Store, ingest: ForeignIngest, history: History
) -> None:
    """A child process in another language that goes on with the trace: no second row, its calls count."""
    store.write(open_and_end(make_task(span_id=b"t" * 8))[0])
    ingest.write_spans([make_agent(parent=b"t" * 8), make_chat(TOKENS)])
    (task,) = history.tasks()
    assert (task.task_id, task.outcome, task.llm_calls) == ("t-1", None, 1)


def test_nobody_else_ends_a_task_of_this_host(store: Store, ingest: ForeignIngest, history: History) -> None:
    """Whoever sends its id, whatever the attempt: the row stays as its own process wrote it."""
    store.write(open_and_end(make_task(span_id=b"t" * 8))[0])
    before = history.find_task("t-1")
    ingest.write_spans(
        [make_task(status_code=2), make_span("w", {**make_task().attributes, attr.TASK_ATTEMPT: 99})]
    )
    assert history.find_task("t-1") == before


def test_what_is_no_agents_is_found_by_its_trace_alone(ingest: ForeignIngest, history: History) -> None:
    """A trace of a server is no task in the list; it is shown, with its orphans below its oldest span."""
    ingest.write_spans(
        [make_span("GET /", kind=2), make_span("late", parent=b"?" * 8, start_ns=START + 5, end_ns=START + 6)]
    )
    assert history.tasks() == []
    task = history.find_task(TRACE.hex()[:8])
    assert (task.task_id, task.kind, task.outcome, task.llm_calls) == (OWN_ID, "GET /", "", 0)
    assert [node.name for node in history.tree(task).walk()] == ["GET /", "late"]
    with pytest.raises(NotFoundError, match="no task '0101f'"):
        history.find_task("0101f")


def test_a_beginning_of_two_traces_is_none(ingest: ForeignIngest, history: History) -> None:
    """Both are named."""
    ingest.write_spans([make_span(), make_span(trace=TRACE[:-1] + b"\x02")])
    with pytest.raises(NotFoundError, match=r"begins more than one trace id: 0101.*01, 0101.*02"):
        history.find_task("0101")


def test_spans_that_are_each_others_parents_are_shown(ingest: ForeignIngest, history: History) -> None:
    """A circle is cut at its oldest span; nothing is lost and nothing goes on for ever."""
    one, two = (
        make_span("one", span_id=b"1" * 8, parent=b"2" * 8),
        make_span("two", span_id=b"2" * 8, parent=b"1" * 8),
    )
    ingest.write_spans([one, two, make_agent(parent=b"2" * 8)])
    tree = history.tree(history.find_task(OWN_ID))
    assert [node.name for node in tree.walk()] == ["one", "two", "invoke_agent coder"]


def test_others_say_nothing_of_this_hosts_service(ingest: ForeignIngest, history: History) -> None:
    """Their health checks, requests, databases and skill libraries are in no number of ours; agents are."""
    ingest.write_spans(
        [
            make_span("GET /", {attr.HTTP_REQUEST_METHOD: "GET"}, kind=2),
            make_span("check", {attr.HEALTH_CHECK: "store", attr.HEALTH_STATUS: "fail"}),
            make_span("SELECT", {attr.DB_SYSTEM_NAME: "sqlite"}),
            make_span("index", {attr.RETRIEVAL_INDEX: "skills", attr.INDEX_FILES_INDEXED: 7}),
            make_agent(),
        ]
    )
    points = read_aggregates(history.connection)
    for name in (
        "http.server.request.duration",
        "taskscope.health.status",
        "taskscope.health.check.duration",
        "db.client.operation.duration",
        "taskscope.skill.library.size",
    ):
        assert values_of(points, name) == {}, name
    assert len(values_of(points, "gen_ai.invoke_agent.duration")) == 1


@pytest.mark.parametrize("number", [-5, 1 << 62, 1e300, True, "7", None])
def test_a_number_that_cannot_be_one_is_counted_nowhere(
    ingest: ForeignIngest, history: History, number: Any
) -> None:
    """Tokens below zero or beyond all reason neither turn a counter back nor overflow it."""
    calls = [make_chat({attr.GEN_AI_USAGE_INPUT_TOKENS: number}) for _ in range(4)]
    ingest.write_spans([*calls, make_chat(TOKENS)])
    points = read_aggregates(history.connection)
    assert list(values_of(points, "gen_ai.client.inference.usage.input_tokens").values()) == [10]


def test_a_store_of_before_finds_known_spans_by_its_index(ingest: ForeignIngest) -> None:
    """The look for a span that came before, and for a log record, is no walk through a trace or a table."""
    plans = [
        ingest._connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
        for query, values in (
            ("SELECT 1 FROM span WHERE trace = ? AND parent IS ? AND span = ?", (TRACE, None, b"s")),
            ("SELECT count(*) FROM log WHERE time = ? AND body = ?", (1, b"")),
        )
    ]
    assert "COVERING INDEX span_trace (trace=? AND parent=? AND span=?)" in plans[0][0][3]
    assert "INDEX log_time (time=?)" in plans[1][0][3]


def test_two_who_store_the_same_at_once_store_it_once(store: Store) -> None:
    """The look and the write are one transaction: the second waits for the first, and finds it."""
    span = make_span()
    with (
        closing(open_database(store.path, create=True)) as one,
        closing(open_database(store.path, create=True)) as two,
    ):
        two.execute("PRAGMA busy_timeout = 0")
        first, second = ForeignIngest(one), ForeignIngest(two)
        with first._transaction():
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                second.write_spans([span])
            first.write_spans([span])
        second.write_spans([span])
        assert two.execute("SELECT count(*) FROM span").fetchone()[0] == 1
