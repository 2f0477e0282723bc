"""Checks that do what a test tells them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from taskscope.health.checks import CheckResult

PASS = CheckResult("pass", "fine")
WARN = CheckResult("warn", "odd")
FAIL = CheckResult("fail", "broken")


class ScriptedCheck:
    """Gives one answer after another (the last one for ever); an exception is raised, a callable called."""

    def __init__(
        self,
        *answers: CheckResult | BaseException | Callable[[], CheckResult],
        name: str = "scripted",
        groups: tuple[str, ...] = ("ready",),
        required: bool = True,
        timeout: float = 30.0,
    ) -> None:
        self.name = name
        self.groups = groups
        self.required = required
        self.timeout = timeout
        self.runs = 0
        self._answers = answers or (PASS,)

    def run(self) -> CheckResult:
        answer = self._answers[min(self.runs, len(self._answers) - 1)]
        self.runs += 1
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, CheckResult) else answer()


class HangingCheck(ScriptedCheck):
    """Hangs until it is released; then every run passes."""

    def __init__(self, name: str = "hanging", timeout: float = 0.05) -> None:
        super().__init__(name=name, timeout=timeout)
        self.released = threading.Event()
        self.left = threading.Event()

    def run(self) -> CheckResult:
        self.runs += 1
        self.released.wait()
        self.left.set()
        return PASS


class FakeClock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
