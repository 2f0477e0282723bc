"""Edits of a plan: one exact piece of a file becomes another. What to edit is the planner's business."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.errors import ToolFailedError
from coding_agent.records import StepOutcome, StepResult

if TYPE_CHECKING:
    from coding_agent.protocols import Files, Workbench
    from coding_agent.records import PlannedStep


class EditRefusedError(ToolFailedError):
    """An edit does not fit the file as it is."""

    error_type = "edit_refused"


def replace_once(files: Files, path: str, old: str, new: str, *, text: str | None = None) -> str:
    """Return a file's text with `old` replaced; EditRefusedError says why that cannot be done.

    `text` stands for the file where earlier edits are planned but not yet made. Only files that the work
    tree lists are edited: nothing that git ignores, nothing of git's own.
    """
    if path not in files.paths():
        msg = f"there is no file {path!r} in the work tree"
        raise EditRefusedError(msg)
    if not old or old == new:
        msg = f"an edit of {path!r} needs an old text, and a new one that differs"
        raise EditRefusedError(msg)
    before = files.read(path) if text is None else text
    count = before.count(old)
    if count != 1:
        msg = f"the old text stands in {path!r} {count} times, expected exactly once: {old[:80]!r}"
        raise EditRefusedError(msg)
    return before.replace(old, new)


def apply_edit(step: PlannedStep, bench: Workbench) -> StepResult:
    """Carry out a step of kind `edit` (arguments path, old, new); AgentError when it does not fit."""
    path, old, new = (str(step.arguments.get(name, "")) for name in ("path", "old", "new"))
    bench.files.write(path, replace_once(bench.files, path, old, new))
    summary = step.title or f"edited {path}"
    return StepResult(step=step, outcome=StepOutcome.SUCCEEDED, summary=summary, files_changed=(path,))
