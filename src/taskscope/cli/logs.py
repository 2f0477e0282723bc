"""`logs`: the log lines and events of one task, or the newest of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskscope.semconv import attributes as attr

from .reading import read_store
from .shapes import shape_log, to_json
from .terminal import clean, open_screen
from .wording import iso_time

if TYPE_CHECKING:
    from taskscope.store.history import LogLine

    from .terminal import Screen

_LEVEL_WIDTH = 5
_WARN, _ERROR = 13, 17
_EVERYWHERE = frozenset({attr.TASK_ID, attr.TASK_KIND, attr.EXCEPTION_STACKTRACE})
"""Attributes that people need not see on every line; `--json` has them."""


def print_logs(task: str | None, limit: int, *, as_json: bool) -> int:
    """Print the log lines of a task, oldest first."""
    with read_store() as history:
        lines = sorted(history.logs(history.find_task(task), limit), key=lambda line: line.time_ns)
    screen = open_screen()
    if as_json:
        screen.say(to_json([shape_log(line) for line in lines]))
    elif lines:
        screen.say(*(_describe(line, screen) for line in lines))
    else:
        screen.say("no log lines of this task")
    return 0


def _describe(line: LogLine, screen: Screen) -> str:
    level = f"{clean(line.severity_text or str(line.severity_number)):<{_LEVEL_WIDTH}}"
    if line.severity_number >= _ERROR:
        level = screen.paint.bad(level)
    elif line.severity_number >= _WARN:
        level = screen.paint.odd(level)
    said = line.event_name or _text(line.body)
    facts = [
        f"{key}={_text(line.attributes[key])}" for key in sorted(line.attributes) if key not in _EVERYWHERE
    ]
    time = screen.paint.quiet((iso_time(line.time_ns) or "")[11:-4])
    return "  ".join(
        part for part in (time, level, clean(said), screen.paint.quiet(clean(" ".join(facts)))) if part
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str("" if value is None else value)
