"""A work tree for a folder without git: a copy."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ._baseline import Baseline
from ._calls import GitCalls
from ._copying import copy_files, walk
from ._folders import reserved_folder
from ._source import find_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coding_agent.protocols import Limits, RunProcess
    from coding_agent.records import AgentSettings, Task


class CopyWorkspace:
    """Copies the user's folder into `$home/work/<task id>`.

    Left out are version control, byte code, virtual environments and the agent's own home. Also for a folder
    inside a repository that git knows nothing of; the patch then counts its paths from the repository's top.
    """

    def __init__(self, settings: AgentSettings, run: RunProcess, limits: Limits | None = None) -> None:
        self._settings = settings
        self._git = GitCalls(run, limits)
        self._unlimited_git = GitCalls(run, None)
        self._baseline: Baseline | None = None
        self._prefix = ""

    @contextmanager
    def open(self, task: Task) -> Iterator[Path]:
        """Make the work tree and give its root; on leaving, remove it or keep it as the settings say."""
        source = find_source(task.repository, self._git)
        self._prefix = f"{source.prefix}/" if source is not None and source.prefix else ""
        folder, home = task.repository.resolve(), self._settings.home
        with (
            reserved_folder(home, task.id, should_keep=self._settings.keep_work_tree) as tree,
            reserved_folder(home, f"{tree.name}.baseline", should_keep=False) as baseline,
        ):
            copied = copy_files(walk(folder, without=home.resolve()), folder, tree)
            self._baseline = Baseline(self._unlimited_git, baseline, tree, copied)
            yield tree

    def patch(self, paths: Sequence[str]) -> str:
        """Return the changes of these files as a diff that applies to the user's folder as it is.

        Only while the work tree is open. Bytes that are not UTF-8 are surrogates: write it down with
        `errors="surrogateescape"`.
        """
        assert self._baseline is not None, "patch() outside of open()"
        return self._baseline.diff(paths, prefix=self._prefix)
