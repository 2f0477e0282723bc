"""What a task may still use of its time, and the switch by which another thread stops it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from coding_agent.errors import TaskStoppedError, TimeExceededError

if TYPE_CHECKING:
    from collections.abc import Callable


class TaskLimits:
    """The limits of one task, counted from its creation on a monotonic clock."""

    def __init__(self, timeout: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._clock = clock
        self._deadline = None if timeout is None else clock() + timeout
        self._stopped = threading.Event()

    def seconds_left(self) -> float | None:
        """Return the seconds left (never below 0), None without a limit."""
        return None if self._deadline is None else max(0.0, self._deadline - self._clock())

    def stop(self) -> None:
        """Ask the task to end at its next check; safe from any thread."""
        self._stopped.set()

    def check(self) -> None:
        """Raise TimeExceededError or TaskStoppedError when the task has to end."""
        if self._stopped.is_set():
            msg = "the task was stopped"
            raise TaskStoppedError(msg)
        if self.seconds_left() == 0.0:
            msg = f"the task's time of {self._timeout:g} s is used up"
            raise TimeExceededError(msg, hint="give it more with --timeout")
