"""`show`: one task, first what a person asks first, then its tree."""

from __future__ import annotations

import time

from .overview import tell_task
from .reading import read_store
from .shapes import shape_span, to_json
from .terminal import open_screen
from .tree import draw_tree


def show_task(task: str | None, *, is_whole: bool, as_json: bool) -> int:
    """Print a task; exit code 0 whatever its outcome, for it could be shown."""
    with read_store() as history:
        summary = history.find_task(task)
        root = history.tree(summary)
    screen = open_screen()
    if as_json:
        screen.say(to_json(shape_span(root)))
        return 0
    now_ns = time.time_ns()
    tree = draw_tree(root, screen, now_ns, is_whole=is_whole)
    screen.say(*tell_task(summary, root, screen, now_ns), "", *tree)
    return 0
