"""Where tasks that came by HTTP wait and run: a few at once, a few in line, no more.

Threads are daemons: a task that does not stop in time must not hold the end of the process; it then reads as
interrupted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from taskscope.tasks.runner import PreparedTask

State: TypeAlias = Literal["waiting", "running", "stopping"]

RUNNING_LIMIT = 2
WAITING_LIMIT = 16

_logger = logging.getLogger(__name__)


class DeskFullError(Exception):
    """As many tasks run and wait as may."""


@dataclass(slots=True)
class Entry:
    """One task from its acceptance to its end; then the ledger has it."""

    task: PreparedTask
    trace_id: str | None
    """Of the request that brought it, so known before it runs; None when nothing is recorded."""
    text: str
    state: State = "waiting"


class TaskDesk:
    """Runs prepared tasks in its own threads; safe for threads."""

    def __init__(self, *, running: int = RUNNING_LIMIT, waiting: int = WAITING_LIMIT) -> None:
        self._running = running
        self._limit = running + waiting
        self._entries: dict[str, Entry] = {}
        self._line: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._is_closing = False

    @property
    def limit(self) -> int:
        """How many tasks may run and wait."""
        return self._limit

    def accept(self, task: PreparedTask, *, trace_id: str | None, text: str) -> Entry:
        """Take a task; DeskFullError when there is no room, or no time left, for it."""
        with self._changed:
            if self._is_closing or len(self._entries) >= self._limit:
                raise DeskFullError
            entry = self._entries[task.id] = Entry(task, trace_id, text)
            self._line.append(entry)
            if len(self._threads) < self._running:
                thread = threading.Thread(target=self._work, name="taskscope-task", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()
        return entry

    def find(self, task_id: str) -> Entry | None:
        """Return a task that waits or runs here."""
        with self._changed:
            return self._entries.get(task_id)

    def waiting(self) -> list[Entry]:
        """Return the tasks that have not begun, newest first."""
        with self._changed:
            return list(reversed(self._line))

    def stop(self, task_id: str) -> Entry | None:
        """Ask a task to end as `stopped`; None when it neither waits nor runs here."""
        with self._changed:
            entry = self._entries.get(task_id)
            if entry is not None:
                entry.state = "stopping"
        if entry is not None:
            entry.task.stop()
        return entry

    def stop_all(self) -> None:
        """Take no more tasks and ask all to end; those in line are still begun, to be recorded as stopped."""
        with self._changed:
            self._is_closing = True
            entries = list(self._entries.values())
            self._changed.notify_all()
        for entry in entries:
            entry.state = "stopping"
            entry.task.stop()

    def close(self, timeout: float) -> bool:
        """Stop all and wait for them; return whether all have ended."""
        self.stop_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        return not self._entries

    def _work(self) -> None:
        while (entry := self._next()) is not None:
            try:
                entry.task.run()
            except Exception:  # the border: one task must not end the thread that serves the next
                _logger.exception("task %s ended without an outcome", entry.task.id)
            finally:
                with self._changed:
                    del self._entries[entry.task.id]

    def _next(self) -> Entry | None:
        with self._changed:
            self._changed.wait_for(lambda: self._line or self._is_closing)
            if not self._line:
                return None
            entry = self._line.popleft()
            if entry.state == "waiting":
                entry.state = "running"
            return entry
