"""What victims do: tasks, steps, tools and foreign spans, each start and end told after the call returned.

What was told must be found: a start from the moment on at which it is promised (at once for the roles that
are recorded at their start, for another span once it is old), an end always.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

import taskscope

if TYPE_CHECKING:
    from .children import Tell

STARTED, ENDED = b"S", b"E"
TOLD_BYTES = 9
"""One letter and the id of a span."""
_BUSY_TASKS = 30
"""Some 750 records; three threads of it fill a quarter of the journal, were it never drained."""
_REST_S = 0.02
_OLD_S = 1.0
"""After which a span of any role is on record; promised are 250 ms and a turn of the writer."""


def read_told(told: bytes) -> tuple[set[bytes], set[bytes]]:
    """The ids of spans that were told to have started, and to have ended."""
    size = len(told) - len(told) % TOLD_BYTES
    cut = [told[start : start + TOLD_BYTES] for start in range(0, size, TOLD_BYTES)]
    started = {one[1:] for one in cut if one[:1] == STARTED}
    return started, {one[1:] for one in cut if one[:1] == ENDED}


class Worker:
    """Works without end, by a seed."""

    def __init__(self, tell: Tell, seed: int) -> None:
        self._tell = tell
        self._random = random.Random(seed)
        self._tracer = trace.get_tracer("reliability")

    def work(self) -> None:
        """Do tasks until the kill; after many of them with a rest, as the journal has its bound."""
        for number in itertools.count():
            self.do_task()
            if number > _BUSY_TASKS:
                time.sleep(_REST_S)

    def do_task(self) -> None:
        """One task with what belongs to it."""
        with self._told(taskscope.task("answer")), self._told(taskscope.agent("coder")):
            for _ in range(self._random.randint(1, 4)):
                self.do_step()

    def do_step(self) -> None:
        """One step with tools below it; some of them fail."""
        with self._told(taskscope.step("edit")):
            for _ in range(self._random.randint(0, 3)):
                with contextlib.suppress(ValueError), self._told(taskscope.tool("search")):
                    self._do_foreign(self._random.randint(0, 2))
                    if self._random.random() < 0.2:  # noqa: PLR2004  one in five
                        raise ValueError(self._random.random())
            self._pause()

    def grow_old(self) -> None:
        """A foreign span that stays open, and others below it meanwhile."""
        with self._tracer.start_as_current_span("old") as span:
            self._do_foreign(2)
            time.sleep(_OLD_S)
            self._tell(STARTED + _id_of(span))
            while True:
                self._do_foreign(2)
                self._pause()

    @contextlib.contextmanager
    def open_foreign(self) -> Iterator[None]:
        """A span by the OTel API around something."""
        with self._tracer.start_as_current_span("pool"):
            yield

    def _do_foreign(self, depth: int) -> None:
        """Spans by the OTel API alone, one in the other."""
        if not depth:
            return
        with self._tracer.start_as_current_span("fetch") as span:
            span.set_attribute("url.path", f"/{self._random.random()}")
            self._do_foreign(depth - 1)
            if self._random.random() < 0.5:  # noqa: PLR2004  one of two holds a span of ours
                with self._told(taskscope.tool("parse")):
                    pass
        self._tell(ENDED + _id_of(span))

    def _pause(self) -> None:
        """Let others run, now and then also the writer at once."""
        chance = self._random.random()
        if chance < 0.2:  # noqa: PLR2004
            taskscope.flush(0)
        elif chance < 0.4:  # noqa: PLR2004
            time.sleep(self._random.random() * 0.002)

    @contextlib.contextmanager
    def _told(self, operation: Any) -> Iterator[None]:
        with operation:
            own = _id_of(trace.get_current_span())
            self._tell(STARTED + own)
            yield
        self._tell(ENDED + own)


def _id_of(span: trace.Span) -> bytes:
    return span.get_span_context().span_id.to_bytes(8)


# --- shapes of a process


def holds_old(seed: int) -> bool:
    """Whether the single-threaded victim of a seed is one that holds a span open for long."""
    return seed % 100 == 1


def work_alone(tell: Tell, seed: int) -> None:
    """One thread; one process in a hundred holds a span open for long."""
    worker = Worker(tell, seed)
    if holds_old(seed):
        worker.grow_old()
    worker.work()


def work_in_threads(tell: Tell, seed: int) -> None:
    """Three threads, each with tasks of its own."""
    for number in range(2):
        threading.Thread(target=Worker(tell, seed * 3 + number).work, daemon=True).start()
    Worker(tell, seed * 3 + 2).work()


def work_in_children(tell: Tell, seed: int) -> None:
    """Two children, forked within a task: their steps belong to it; they have tasks of their own too."""
    worker = Worker(tell, seed * 3)
    worker.do_task()
    with worker._told(taskscope.task("delegate")):  # noqa: SLF001  the same file
        with worker.open_foreign():
            for number in (1, 2):
                if not os.fork():
                    _work_as_child(tell, seed * 3 + number)
        while True:
            worker.do_step()


def _work_as_child(tell: Tell, seed: int) -> None:
    worker = Worker(tell, seed)
    try:
        worker.do_step()
        worker.work()
    finally:
        os._exit(1)


SHAPES = {"single": work_alone, "threads": work_in_threads, "children": work_in_children}
