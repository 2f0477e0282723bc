"""`health`: runs every check once, now, and says what each found."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .reading import read_settings
from .shapes import to_json
from .terminal import clean, open_screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskscope.health.report import CheckReport, HealthReport

    from .terminal import Screen

_NAME_WIDTH = 15
_STATUS_WIDTH = 4


def tell_health(*, as_json: bool) -> int:
    """Run all checks and print them; exit code 1 only when a required one fails."""
    settings = read_settings()
    from taskscope.bootstrap import build_checks, build_runtime
    from taskscope.health.monitor import HealthMonitor

    with contextlib.closing(build_runtime(settings)) as runtime:
        monitor = HealthMonitor(build_checks(runtime), submit=runtime.recording.submit)
        report = monitor.run_all()
    screen = open_screen()
    screen.say(*([to_json(report.as_json(whole=True))] if as_json else _tell(report, screen)))
    return 1 if report.status == "fail" else 0


def _tell(report: HealthReport, screen: Screen) -> Iterator[str]:
    for check in report.checks:
        yield tell_check(check, screen)
    failing = [check.name for check in report.checks if check.required and check.status == "fail"]
    words = f"not well: {', '.join(failing)}" if failing else "well"
    yield screen.paint.loud(words)


def tell_check(check: CheckReport, screen: Screen) -> str:
    """Return the line of one check: its status, its name, what it found, whether nothing works without it."""
    status = f"{check.status:<{_STATUS_WIDTH}}"
    painted = paint_status(status, check.status, screen)
    more = " (required)" if check.required and check.status == "fail" else ""
    return f"{painted}  {clean(check.name):<{_NAME_WIDTH}}  {clean(check.detail)}{more}"


def paint_status(words: str, status: str, screen: Screen) -> str:
    """Return words in the color of a status."""
    paint = {"pass": screen.paint.good, "warn": screen.paint.odd, "fail": screen.paint.bad}
    return paint[status](words)
