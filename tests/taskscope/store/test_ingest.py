from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from taskscope.store.accounts import Accounts
from taskscope.store.aggregates import read_aggregates
from taskscope.store.records import TaskNote

from .builders import (
    SECOND,
    START,
    make_agent,
    make_chat,
    make_log,
    make_span,
    make_task,
    make_tool,
    open_and_end,
    values_of,
)

if TYPE_CHECKING:
    from .conftest import Store

_TABLES = (
    "span",
    "open",
    "trace",
    "log",
    "task",
    "charge",
    "counter",
    "gauge",
    "histogram",
    "dropped",
    "source",
)


def _rows(connection: sqlite3.Connection, *tables: str) -> dict[str, int]:
    return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}  # noqa: S608  our own words


def test_a_start_is_on_record_until_its_end(store: Store) -> None:
    """An open span stands in `open`, its end moves it to `span`: never in both, never in none."""
    start, end = open_and_end(make_tool())
    store.write(start)
    with closing(store.read()) as connection:
        assert _rows(connection, "open", "span") == {"open": 1, "span": 0}
        assert store.session.has_open_spans
        store.write(end)
        assert _rows(connection, "open", "span") == {"open": 0, "span": 1}
        assert not store.session.has_open_spans


def test_what_opens_and_ends_in_one_batch_never_touches_open(store: Store) -> None:
    """Seen by a trigger that forbids any row in `open`."""
    store.write(make_span())
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute(
            "CREATE TRIGGER no_open BEFORE INSERT ON open BEGIN SELECT raise(ABORT, 'touched'); END"
        )
    store.write(*open_and_end(make_tool()))
    with closing(store.read()) as connection:
        assert _rows(connection, "span") == {"span": 2}
    with pytest.raises(sqlite3.IntegrityError, match="touched"):
        store.write(open_and_end(make_tool())[0])


def test_how_long_a_write_took_is_counted(store: Store) -> None:
    """Also when there is nothing else to tell: no drops, no errors."""
    store.session.write([], Accounts(write_durations_s=[0.25, 0.5]))
    with closing(store.read()) as connection:
        (duration,) = values_of(read_aggregates(connection), "taskscope.recorder.write.duration").values()
    assert (duration.count, duration.sum) == (2, 0.75)


def test_a_failed_batch_leaves_nothing_and_may_be_tried_again(store: Store) -> None:
    """Whatever statement fails, all tables stay as they were; the second try counts once."""
    store.write(make_span())
    batch = (
        *open_and_end(make_task()),
        make_chat(),
        make_log(),
        open_and_end(make_tool())[0],
        TaskNote("t-1", text="x"),
    )
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        before = _rows(other, *_TABLES)
        for table in ("span", "open", "trace", "log", "counter", "histogram"):
            other.execute(
                f"CREATE TRIGGER fault BEFORE INSERT ON {table} BEGIN SELECT raise(ABORT, 'planted'); END"
            )
            with pytest.raises(sqlite3.IntegrityError, match="planted"):
                store.session.write(batch, Accounts())
            other.execute("DROP TRIGGER fault")
            assert _rows(other, *_TABLES) == before
        store.write(*batch)
        after = _rows(other, *_TABLES)
    assert (after["span"], after["open"], after["log"], after["task"]) == (3, 1, 1, 1)


def test_a_trace_has_one_row_that_grows(store: Store) -> None:
    """From first start to last end over all batches, with the root's name and the number of errors."""
    root = make_task(end_ns=START + 9 * SECOND)
    start, end = open_and_end(root)
    store.write(start)
    store.write(
        make_span(
            "child", parent=root.span_id, start_ns=START + SECOND, end_ns=START + 2 * SECOND, status_code=2
        )
    )
    store.write(end)
    with closing(store.read()) as connection:
        row = connection.execute("SELECT start, stop, spans, errors, root_name FROM trace").fetchall()
    assert row == [(START, START + 9 * SECOND, 2, 1, "invoke_workflow repair")]


def test_an_agents_calls_are_those_below_it_down_to_other_agents(store: Store) -> None:
    """Failed and unfinished calls count, those of an agent that it called do not."""
    agent, other = make_agent("coder"), make_agent("tester")
    step = make_span("step edit", {"taskscope.step.kind": "edit"}, parent=agent.span_id)
    inner = make_agent("tester", span_id=other.span_id, parent=step.span_id)
    plain = make_span("mine", parent=step.span_id)
    opened, _ = open_and_end(make_tool(parent=plain.span_id))
    store.write(
        make_chat(parent=step.span_id),
        make_chat(parent=plain.span_id, status_code=2),
        make_tool(parent=step.span_id),
        opened,
        make_tool(parent=inner.span_id),
        make_chat(parent=inner.span_id),
        plain,
        inner,
        step,
        agent,
    )
    with closing(store.read()) as connection:
        points = read_aggregates(connection)
    calls = (
        values_of(points, "gen_ai.invoke_agent.inference_calls"),
        values_of(points, "gen_ai.invoke_agent.tool_calls"),
    )
    assert [{labels: value.sum for labels, value in found.items()} for found in calls] == [
        {("coder",): 2, ("tester",): 1},
        {("coder",): 2, ("tester",): 1},
    ]


def test_sources_are_kept_once(store: Store) -> None:
    """A resource and scope has one row, however many batches and processes name it."""
    for _ in range(3):
        store.write(make_span(), make_log())
    with closing(store.read()) as connection:
        assert _rows(connection, "source") == {"source": 1}


def test_a_start_may_be_told_twice(store: Store) -> None:
    """The second one says more; the span is open once, and ends once."""
    start, end = open_and_end(make_tool())
    sketch = make_span(start.name, span_id=start.span_id, end_ns=None)
    store.session.write([sketch], Accounts())
    store.session.write([start], Accounts())
    with closing(store.read()) as connection:
        assert connection.execute("SELECT body FROM open").fetchall() == [(start.body,)]
        store.session.write([end], Accounts())
        assert connection.execute("SELECT count(*) FROM open").fetchone() == (0,)
        assert connection.execute("SELECT body FROM span").fetchall() == [(end.body,)]
