"""Follows a task while it runs and prints its spans as lines that only grow, in the order of the tree.

A span with others below it gets a line when the first of them appears, a span without when it ends; a step
gets another one at its end; what runs below a tool is left to `show`. So the same lines serve a terminal, a
pipe and a log. On a terminal one more line at the bottom is written over again and again: what runs now.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from taskscope.errors import NotFoundError, StoreError
from taskscope.semconv import attributes as attr
from taskscope.store.history import open_history
from taskscope.store.roles import Role

from .breakdown import role_of
from .reading import bring_home_if_left
from .terminal import clean, shorten
from .tree import describe_group, describe_span, describe_time_of, group_spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskscope.store.history import History, TaskSummary
    from taskscope.store.nodes import SpanNode

    from .terminal import Screen

_EVERY = 0.1
"""Seconds between two looks into the store."""


class LiveTree:
    """What of a task's tree was printed already."""

    def __init__(self, task_id: str, screen: Screen) -> None:
        self._task_id = task_id
        self._screen = screen
        self._nodes: dict[str, SpanNode] = {}
        self._begun: set[str] = set()
        self._ended: set[str] = set()

    def feed(self, ended: list[SpanNode], opened: list[SpanNode], *, is_last: bool = False) -> Iterator[str]:
        """Take what is new and yield the lines that it makes.

        A span whose parent is not on record yet waits for it, unless nothing more will come.
        """
        for node in (*opened, *ended):
            if node.task_id == self._task_id:
                self._nodes[node.span_id] = node
        left = [(group, 0, False) for group in reversed(group_spans(self._link(is_last=is_last)))]
        while left:
            group, depth, is_leaving = left.pop()
            node = group[0]
            if is_leaving:
                line = self._leave(node)
            else:
                left.append((group, depth, True))
                left.extend(
                    (below, depth + 1, False) for below in reversed(self._settled(node, is_last=is_last))
                )
                line = self._enter(group)
            if line is not None:
                yield "  " * depth + line

    @property
    def innermost(self) -> SpanNode | None:
        """The span that is open and began last."""
        return max(
            (node for node in self._nodes.values() if node.end_ns is None), key=_by_start, default=None
        )

    def _link(self, *, is_last: bool) -> list[SpanNode]:
        """Hang every span below its parent and return those that stand at the top."""
        top: list[SpanNode] = []
        nodes = sorted(self._nodes.values(), key=_by_start)
        for node in nodes:
            node.children = []
        for node in nodes:
            parent = self._nodes.get(node.parent_id or "")
            if parent is not None:
                if not _is_tool(parent):
                    parent.children.append(node)
            elif is_last or node.parent_id is None or role_of(node) is Role.TASK:
                top.append(node)
        return top

    @staticmethod
    def _settled(node: SpanNode, *, is_last: bool) -> list[list[SpanNode]]:
        """Return a span's children in groups, without a last one that may still grow."""
        groups = group_spans(node.children)
        may_grow = node.end_ns is None and not is_last and groups and not groups[-1][0].children
        return groups[:-1] if may_grow else groups

    def _enter(self, group: list[SpanNode]) -> str | None:
        new = [node for node in group if node.span_id not in self._begun]
        if not new or not (new[0].children or new[0].end_ns is not None):
            return None
        self._begun.update(node.span_id for node in new)
        if not new[0].children:
            self._ended.update(node.span_id for node in new)
            return describe_group(new, self._screen, 0)
        return f"{self._screen.paint.quiet(self._screen.signs.running)} {clean(new[0].name)}"

    def _leave(self, node: SpanNode) -> str | None:
        if node.end_ns is None or node.span_id in self._ended or node.span_id not in self._begun:
            return None
        self._ended.add(node.span_id)
        is_worth_it = role_of(node) in {Role.TASK, Role.STEP} or node.status == "ERROR"
        return describe_span(node, self._screen, 0) if is_worth_it else None


def _is_tool(node: SpanNode) -> bool:
    """Whether a span is one line while it is live: a tool, whose commands `show` tells; not a skill."""
    return role_of(node) is Role.TOOL and attr.GEN_AI_SKILL_NAME not in node.attributes


def _by_start(node: SpanNode) -> int:
    return node.start_ns


class Follower:
    """Looks into the store again and again and prints what is new of one task."""

    def __init__(self, store: Path, task_id: str, screen: Screen) -> None:
        self._store = store
        self._task_id = task_id
        self._screen = screen
        self._tree = LiveTree(task_id, screen)
        self._seq = 0
        self._has_tail = False

    def follow(self, stop: threading.Event) -> TaskSummary | None:
        """Print until the task has ended in the store, or `stop` is set; return its last row if there is one.

        A store that is not there yet, or cannot be read now, is tried again until `stop` is set.
        """
        task = None
        try:
            while True:
                is_last = stop.wait(_EVERY)
                with contextlib.suppress(StoreError, NotFoundError), open_history(self._store) as history:
                    task = self._follow(history, stop)
                if is_last or stop.is_set() or (task is not None and task.outcome is not None):
                    return task
        finally:
            self._clear_tail()

    def _follow(self, history: History, stop: threading.Event) -> TaskSummary:
        while True:
            is_last = stop.is_set()
            # Before the spans, so that what ended before its task is seen too.
            task = history.find_task(self._task_id)
            if task.outcome == "interrupted":  # its last words may stand in its journal yet
                bring_home_if_left(self._store)
                task = history.find_task(self._task_id)
            is_last = is_last or task.outcome is not None
            self._look(history, task, is_last=is_last)
            if is_last:
                return task
            stop.wait(_EVERY)

    def _look(self, history: History, task: TaskSummary, *, is_last: bool) -> None:
        ended, opened, self._seq = history.spans_since(task.trace_id, self._seq)
        lines = list(self._tree.feed(ended, opened, is_last=is_last))
        if lines:
            self._clear_tail()
            self._screen.say(*lines)
        self._draw_tail()

    def _draw_tail(self) -> None:
        node = self._tree.innermost
        if not self._screen.is_terminal or node is None:
            return
        took = describe_time_of(node, time.time_ns())
        # Back to the first column, so that a log line of standard error does not follow on this one.
        tail = shorten(f"  {node.name}  {took}", self._screen.width - 1)
        self._screen.stream.write(f"\r\x1b[2K{tail}\r")
        self._screen.stream.flush()
        self._has_tail = True

    def _clear_tail(self) -> None:
        if self._has_tail:
            self._screen.stream.write("\r\x1b[2K")
            self._screen.stream.flush()
            self._has_tail = False
