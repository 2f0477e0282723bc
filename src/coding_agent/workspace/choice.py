"""Chooses the kind of work tree that fits a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._calls import GitCalls
from ._source import find_source
from .clone import GitWorkspace
from .in_place import InPlaceWorkspace
from .plain import CopyWorkspace

if TYPE_CHECKING:
    from coding_agent.protocols import Limits, RunProcess
    from coding_agent.records import AgentSettings, Task


def choose_workspace(
    task: Task, settings: AgentSettings, run: RunProcess, limits: Limits | None = None
) -> GitWorkspace | CopyWorkspace | InPlaceWorkspace:
    """Return the workspace for a task: in place, a clone, or a copy where git knows nothing of the folder."""
    if task.in_place:
        return InPlaceWorkspace(settings, run, limits)
    source = find_source(task.repository, GitCalls(run, limits))
    if source is None or not source.has_files():
        return CopyWorkspace(settings, run, limits)
    return GitWorkspace(settings, run, limits)
