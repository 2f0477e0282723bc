"""`run`: does one task here and now, prints what happens, and ends with the line that applies the patch."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from .live import Follower
from .overview import apply_line, describe_outcome, label, paint_outcome, tell_reasons, tell_work
from .reading import read_settings
from .shapes import to_json
from .task_file import build_request
from .terminal import clean, open_screen
from .wording import count, describe_duration, describe_money

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from taskscope.config import Settings
    from taskscope.tasks.records import Cost, RunResult

    from .task_file import Options
    from .terminal import Screen

_JOIN_TIMEOUT = 5.0
"""Seconds that the last look into the store may take before the end is printed."""
_CTRL_C = 130
_FILES_SHOWN = 5


def run_task(task: str, options: Options, *, as_json: bool) -> int:
    """Do a task; exit code 0 when it succeeded, 130 when a person stopped it, else 1."""
    settings = read_settings()
    request = build_request(task, options)
    from taskscope.bootstrap import build_runtime  # what read commands need not load
    from taskscope.tasks.runner import caller_context

    with contextlib.closing(build_runtime(settings)) as runtime, _sigterm_as_ctrl_c() as signals:
        with _live(settings, as_json=as_json) as on_start:
            result = runtime.runner.run(request, on_start=on_start, parent=caller_context(os.environ))
        with contextlib.suppress(BrokenPipeError):  # the task's end decides the code, not the reader's
            screen = open_screen()
            screen.say(*([to_json(result.as_json())] if as_json else tell_result(result, screen)))
    return _exit_code(result, signals)


def _exit_code(result: RunResult, signals: list[int]) -> int:
    if signals:
        return 128 + signals[0]
    if result.outcome == "stopped" and (result.error or {}).get("type") == "cancelled":
        return _CTRL_C
    return 0 if result.outcome == "succeeded" else 1


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[list[int]]:
    """Let SIGTERM stop the task as Ctrl-C does: work tree cleaned, outcome `stopped`; gives those caught."""
    caught: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _live(settings: Settings, *, as_json: bool) -> Iterator[Callable[[str, str], None]]:
    """Print the task's spans as they come: to a terminal's standard output, else to standard error.

    Gives what is to be called once the task is on record.
    """
    screen = open_screen(sys.stdout if sys.stdout.isatty() and not as_json else sys.stderr)
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def follow(task_id: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more: the task goes on
            Follower(settings.store_path, task_id, screen).follow(stop)

    def start(task_id: str, _trace_id: str) -> None:
        thread = threading.Thread(target=follow, args=(task_id,), name="taskscope-live", daemon=True)
        thread.start()
        threads.append(thread)

    try:
        yield start
    finally:
        stop.set()
        for thread in threads:
            thread.join(_JOIN_TIMEOUT)


def tell_result(result: RunResult, screen: Screen) -> Iterator[str]:
    """Yield the lines after a task: how it ended, why, what it cost, and last how to apply the patch."""
    words = describe_outcome(result.outcome, result.verification)
    yield ""
    yield f"{screen.paint.loud(clean(result.task_id))}  {paint_outcome(words, result.outcome, screen.paint)}"
    yield from tell_work(result.summary, screen)
    yield from tell_reasons(result.error, result.findings, screen)
    yield label("took", screen, f"{describe_duration(result.duration_s)}, {_describe_cost(result.cost)}")
    yield label("more", screen, clean(f"taskscope show {result.task_id}"))
    yield from _tell_patch(result, screen)


def _tell_patch(result: RunResult, screen: Screen) -> Iterator[str]:
    files = [clean(name) for name in result.files_changed]
    more = f" and {len(files) - _FILES_SHOWN} more" if len(files) > _FILES_SHOWN else ""
    if files:
        yield label("changed", screen, ", ".join(files[:_FILES_SHOWN]) + more)
    if result.patch is not None:
        yield label("patch", screen, clean(str(result.patch)))
        yield "apply it with:"
        yield apply_line(result.apply_to, result.patch)
    elif files:
        yield f"edited in place in {clean(str(result.apply_to))}"
    else:
        yield "nothing was changed, so there is no patch"


def _describe_cost(cost: Cost) -> str:
    if cost.status == "no_llm_calls":
        return "no LLM calls, so no cost"
    if cost.status == "replayed":
        return "a replayed recording, so no cost"
    calls = count(cost.calls, "LLM call")
    if cost.status == "known":
        return f"{calls} for {describe_money(cost.micro_usd)}"
    return f"{calls}, {cost.unpriced_calls} of unknown cost"
