"""`watch`: follows a task of another process until it ends."""

from __future__ import annotations

import threading

from .live import Follower
from .overview import describe_outcome, paint_outcome, tell_reasons
from .reading import read_settings, read_store
from .terminal import clean, open_screen


def watch_task(task: str | None) -> int:
    """Print a task's spans as they come; exit code 0 when it succeeded, else 1."""
    settings = read_settings()
    with read_store(settings) as history:
        task_id = history.find_task(task).task_id
    screen = open_screen()
    summary = Follower(settings.store_path, task_id, screen).follow(threading.Event())
    if summary is None:
        return 1
    words = describe_outcome(summary.outcome, summary.verification)
    screen.say("", f"{clean(task_id)}  {paint_outcome(words, summary.outcome, screen.paint)}")
    screen.say(*tell_reasons(summary.error, summary.findings, screen))
    return 0 if summary.outcome == "succeeded" else 1
