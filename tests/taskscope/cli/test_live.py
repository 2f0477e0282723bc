"""What of a growing tree is printed when: lines only grow, and none comes twice."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

from taskscope.cli.live import Follower, LiveTree
from taskscope.cli.terminal import UNICODE, Paint, Screen
from taskscope.semconv import attributes as attr
from taskscope.store.nodes import SpanNode
from tests.taskscope.cli import stores

if TYPE_CHECKING:
    from pathlib import Path

TASK = {attr.GEN_AI_OPERATION_NAME: "invoke_workflow"}
TOOL = {attr.GEN_AI_OPERATION_NAME: "execute_tool"}
STEP = {attr.STEP_KIND: "test"}


def node(name: str, number: int, parent: int | None, end: int | None, **facts: Any) -> SpanNode:
    """A span that begins at the second of its number."""
    return SpanNode(
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        kind="INTERNAL",
        status=facts.pop("status", "UNSET"),
        status_message="",
        attributes={attr.TASK_ID: facts.pop("task", "t-1"), **facts.pop("more", {})},
        start_ns=number * stores.SECOND,
        end_ns=None if end is None else end * stores.SECOND,
        is_interrupted=False,
        trace_id="01",
    )


def screen(*, is_terminal: bool = False) -> Screen:
    return Screen(io.StringIO(), UNICODE, Paint(), is_terminal)


def test_a_span_gets_its_line_when_something_is_below_it() -> None:
    """What has others below it is printed when they come, what has none at its end, a step at both."""
    tree = LiveTree("t-1", screen())
    top, step = node("task", 1, None, None, more=TASK), node("step test", 2, 1, None, more=STEP)
    assert list(tree.feed([], [top])) == []
    assert list(tree.feed([], [top, step])) == ["… task"]
    assert list(tree.feed([node("bm25", 3, 2, 4)], [top, step])) == ["  … step test"]
    assert list(tree.feed([node("plan coder", 5, 2, 7)], [top, step])) == ["    ✓ bm25  1.00 s"]
    ended = node("step test", 2, 1, 8, more=STEP)
    assert list(tree.feed([ended], [top])) == ["    ✓ plan coder  2.00 s", "  ✓ step test  6.00 s"]
    assert list(tree.feed([], [top])) == []
    assert list(tree.feed([node("task", 1, None, 9, more=TASK)], [], is_last=True)) == ["✓ task  8.00 s"]


def test_a_span_waits_for_its_parent() -> None:
    """A span that ends before its parent is on record waits for it, and is printed in its place."""
    tree = LiveTree("t-1", screen())
    top = node("task", 1, None, None, more=TASK)
    assert list(tree.feed([node("bm25", 3, 2, 4)], [top])) == []
    retrieval = node("retrieval", 2, 1, 5)
    last = [node("task", 1, None, 6, more=TASK)]
    assert list(tree.feed([retrieval, *last], [], is_last=True)) == [
        "… task",
        "  … retrieval",
        "    ✓ bm25  1.00 s",
        "✓ task  5.00 s",
    ]


def test_an_orphan_is_not_lost() -> None:
    """A span whose parent never came is printed at the end."""
    tree = LiveTree("t-1", screen())
    lines = list(tree.feed([node("bm25", 3, 2, 4)], [], is_last=True))
    assert lines == ["✓ bm25  1.00 s"]


def test_tools_are_one_line() -> None:
    """What runs below a tool is left to `show`; what runs below a skill is not."""
    tree = LiveTree("t-1", screen())
    skill = {**TOOL, attr.GEN_AI_SKILL_NAME: "missing_colon"}
    spans = [
        node("execute_tool git", 1, None, 3, more=TOOL),
        node("git", 2, 1, 3),
        node("execute_tool skill missing_colon", 4, None, 6, more=skill),
        node("python", 5, 4, 6),
    ]
    assert list(tree.feed(spans, [], is_last=True)) == [
        "✓ execute_tool git  2.00 s",
        "… execute_tool skill missing_colon",
        "  ✓ python  1.00 s",
    ]


def test_another_task_of_the_trace_is_not_shown() -> None:
    """Of a trace that holds several tasks only the one that is followed is printed."""
    tree = LiveTree("t-1", screen())
    assert list(tree.feed([node("other", 1, None, 2, task="t-2")], [], is_last=True)) == []


def test_equal_neighbours_share_a_line() -> None:
    """Three equal spans in a row are one line, once something else comes after them."""
    tree = LiveTree("t-1", screen())
    top = node("task", 1, None, None, more=TASK)
    git = [node("git", number, 1, number + 1) for number in (2, 3, 4)]
    assert list(tree.feed(git, [top])) == ["… task"]
    assert list(tree.feed([node("ruff", 5, 1, 6)], [top])) == ["  ✓ git \u00d73  3.00 s"]


def test_a_terminal_has_a_last_line_that_is_written_over(home: Path) -> None:
    """On a terminal the innermost open span stands in one line at the bottom, which is cleared at the end."""
    terminal = screen(is_terminal=True)
    stop = threading.Event()
    stop.set()
    with stores.writing(home) as ingest:
        ingest.write(stores.make_begun())
        task = Follower(home / "taskscope.db", stores.TASK_ID, terminal).follow(stop)
    assert task is not None
    assert task.outcome is None
    written = terminal.stream.getvalue()  # type: ignore[attr-defined]
    assert "\r\x1b[2K  python  running " in written
    assert written.endswith("\r\x1b[2K")


def test_a_store_that_is_not_there(home: Path) -> None:
    """Where there is no store nothing is printed, and nothing fails."""
    pipe = screen()
    stop = threading.Event()
    stop.set()
    assert Follower(home / "taskscope.db", "t-1", pipe).follow(stop) is None
    assert pipe.stream.getvalue() == ""  # type: ignore[attr-defined]
