from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.errors import NotFoundError, StoreError, StoreMissingError
from taskscope.semconv import attributes as attr
from taskscope.store.history import History, open_history

from .builders import (
    SECOND,
    START,
    TRACE,
    make_agent,
    make_log,
    make_span,
    make_task,
    make_tool,
    open_and_end,
)

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Store


def _tasks(store: Store, *task_ids: str) -> None:
    for number, task_id in enumerate(task_ids):
        times: dict[str, Any] = {"start_ns": START + number * SECOND, "end_ns": START + (number + 1) * SECOND}
        store.write(*open_and_end(make_task(task_id, trace=bytes([number + 1]) * 16, **times)))


def test_the_newest_tasks_come_first(store: Store, history: History) -> None:
    """As many as asked for, and `before` goes on where the last page ended."""
    _tasks(store, "a", "b", "c", "d")
    page = history.tasks(2)
    assert [task.task_id for task in page] == ["d", "c"]
    assert [task.task_id for task in history.tasks(2, before=page[-1].started_ns)] == ["b", "a"]


def test_a_task_is_found_by_a_unique_prefix_or_as_the_latest(store: Store, history: History) -> None:
    """A whole id counts even where it begins another one."""
    _tasks(store, "t-1", "t-12", "t-2")
    assert history.find_task().task_id == "t-2"
    assert history.find_task("t-1").task_id == "t-1"
    assert history.find_task("t-12").task_id == "t-12"
    with pytest.raises(NotFoundError, match="begins more than one task id: t-2, t-12, t-1"):
        history.find_task("t-")
    with pytest.raises(NotFoundError, match="no task 'x'; the latest are: t-2, t-12, t-1"):
        history.find_task("x")
    with pytest.raises(NotFoundError):
        history.find_task("t_%")


def test_no_task_yet_is_told(history: History) -> None:
    """With what to do."""
    with pytest.raises(NotFoundError, match="run `taskscope run` once"):
        history.find_task()


def test_a_trace_is_read_as_a_tree(store: Store, history: History) -> None:
    """Children by start, below their parents, open ones without an end, with all that their bodies say."""
    task = make_task(end_ns=START + 9 * SECOND)
    agent = make_agent(parent=task.span_id)
    late = make_tool("late", parent=agent.span_id, start_ns=START + 2 * SECOND)
    early = make_tool("early", parent=agent.span_id, start_ns=START + SECOND, status_code=2)
    store.write(open_and_end(task)[0], open_and_end(agent)[0], late, early)
    tree = history.tree(history.find_task())
    assert [(node.name, node.status, node.end_ns) for node in tree.walk()] == [
        ("invoke_workflow repair", "UNSET", None),
        ("invoke_agent coder", "UNSET", None),
        ("execute_tool early", "ERROR", START + SECOND),
        ("execute_tool late", "UNSET", START + SECOND),
    ]
    assert tree.attributes == dict(task.attributes)
    assert (tree.kind, tree.parent_id, tree.children[0].parent_id) == ("INTERNAL", None, tree.span_id)


def test_a_task_below_a_callers_span_is_the_top_of_its_own_tree(store: Store, history: History) -> None:
    """Where the caller's span is in the store too, and where it is not."""
    caller = make_span("POST /tasks", kind=2, span_id=b"caller!!")
    task = make_task(parent=b"caller!!", start_ns=START + 1)
    store.write(caller, *open_and_end(task))
    assert history.tree(history.find_task()).name == "invoke_workflow repair"
    assert [node.name for node in history.tree(TRACE.hex()).walk()] == [
        "POST /tasks",
        "invoke_workflow repair",
    ]
    orphan = make_task("t-2", trace=b"\x07" * 16, parent=b"missing!", start_ns=START + SECOND)
    store.write(*open_and_end(orphan))
    assert history.tree(history.find_task("t-2")).parent_id == b"missing!".hex()


def test_an_unknown_trace_is_told(history: History) -> None:
    """And so is what is no trace id at all."""
    with pytest.raises(NotFoundError, match="no spans of trace"):
        history.tree("0" * 32)
    with pytest.raises(NotFoundError, match="no trace id"):
        history.tree("../etc")


def test_a_trace_can_be_followed(store: Store, history: History) -> None:
    """Each ended span comes once, in the order of the record; open ones come as they are now."""
    task = make_task(end_ns=START + 9 * SECOND)
    start, end = open_and_end(task)
    store.write(start, make_tool("a", parent=task.span_id))
    ended, opened, seq = history.spans_since(TRACE.hex())
    assert ([node.name for node in ended], [node.name for node in opened]) == (
        ["execute_tool a"],
        [task.name],
    )
    store.write(make_tool("b", parent=task.span_id), end)
    ended, opened, seq = history.spans_since(TRACE.hex(), seq)
    assert ([node.name for node in ended], opened) == (["execute_tool b", task.name], [])
    assert history.spans_since(TRACE.hex(), seq) == ([], [], seq)


def test_logs_of_a_task_are_those_with_its_id_or_in_its_trace(store: Store, history: History) -> None:
    """Oldest first, the newest when there are too many, with the resource of their sender."""
    store.write(*open_and_end(make_task()))
    store.write(
        make_log("a", attributes={attr.TASK_ID: "t-1"}),
        make_log("b", trace=TRACE, span=b"\x05" * 8),
        make_log("c"),
    )
    lines = history.logs(history.find_task())
    assert [line.body for line in lines] == ["a", "b"]
    assert lines[0].attributes == {attr.TASK_ID: "t-1"}
    assert (lines[1].trace_id, lines[1].span_id) == (TRACE.hex(), "05" * 8)
    assert lines[0].resource == {"service.name": "test"}
    assert [line.body for line in history.logs(limit=2)] == ["b", "c"]
    assert [line.body for line in history.logs(after_seq=lines[1].seq)] == ["c"]


def test_a_store_that_breaks_while_it_is_read_is_told(store: Store) -> None:
    """As a StoreError, which the command line turns into one line."""
    store.write(*open_and_end(make_task()))
    store.session.close()
    with closing(open_history(store.path)) as history:
        history.connection.execute("PRAGMA cache_size = 1")
        data = bytearray(store.path.read_bytes())
        data[4096:] = b"\xff" * (len(data) - 4096)
        store.path.write_bytes(data)
        with pytest.raises(StoreError, match="cannot read the store"):
            history.tasks()


def test_a_history_of_nothing_is_told(tmp_path: Path) -> None:
    """There is no store yet."""
    with pytest.raises(StoreMissingError):
        open_history(tmp_path / "taskscope.db")
    with pytest.raises(StoreMissingError), open_history(tmp_path / "taskscope.db"):
        pass
