"""A work tree for a git repository: a clone that shares its objects, with the user's uncommitted changes.

The whole repository is cloned, also when the task names a folder inside of it; the agent's root is then
that folder's counterpart, and the patch counts its paths from the repository's top, where `git apply`
expects them.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ._baseline import Baseline
from ._calls import GitCalls
from ._copying import copy_files
from ._folders import reserved_folder
from ._source import SourceRepository, find_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coding_agent.protocols import Limits, RunProcess
    from coding_agent.records import AgentSettings, Task

_CLONE = (
    *("clone", "--quiet", "--shared", "--no-checkout", "--template="),
    # In the clone's own settings, so that they also hold for whoever calls git in it.
    *("--config", "core.hooksPath=/dev/null", "--config", "gc.auto=0", "--config", "core.fsmonitor=false"),
)


class GitWorkspace:
    """Clones the user's repository into `$home/work/<task id>`, at its HEAD and branch, as its files are now.

    Files are copied from the user's folder, not checked out, so that the agent sees what the user sees;
    ignored files are left behind. The index is the user's, staged changes included. There is no remote, so
    that nothing can be pushed back.
    """

    def __init__(self, settings: AgentSettings, run: RunProcess, limits: Limits | None = None) -> None:
        self._settings = settings
        self._git = GitCalls(run, limits)
        self._unlimited_git = GitCalls(run, None)  # a task that was stopped still hands over its patch
        self._baseline: Baseline | None = None
        self._prefix = ""

    @contextmanager
    def open(self, task: Task) -> Iterator[Path]:
        """Make the work tree and give its root; on leaving, remove it or keep it as the settings say."""
        source = find_source(task.repository, self._git)
        if source is None:
            message = f"{str(task.repository)!r} is no git repository"
            raise ValueError(message)
        home, keep = self._settings.home, self._settings.keep_work_tree
        with (
            reserved_folder(home, task.id, should_keep=keep) as tree,
            reserved_folder(home, f"{tree.name}.baseline", should_keep=False) as baseline,
        ):
            _clone(source, tree)
            copied = copy_files(_outside(home.resolve(), source), source.top, tree)
            self._prefix = f"{source.prefix}/" if source.prefix else ""
            self._baseline = Baseline(self._unlimited_git, baseline, tree, copied)
            yield tree / source.prefix

    def patch(self, paths: Sequence[str]) -> str:
        """Return the changes of these files as a diff that applies to the user's tree as it is.

        Only while the work tree is open. Bytes that are not UTF-8 are surrogates: write it down with
        `errors="surrogateescape"`.
        """
        assert self._baseline is not None, "patch() outside of open()"
        return self._baseline.diff([self._prefix + path for path in paths])


def _clone(source: SourceRepository, tree: Path) -> None:
    git = source.git
    settings = (f"--config={name}={value}" for name, value in source.settings().items())
    git.must(tree.parent, *_CLONE, *settings, "--", str(source.top), str(tree))
    git.must(tree, "config", "--remove-section", "remote.origin")
    _copy_private_files(source, tree)
    head, branch = source.head(), source.branch()
    if branch is not None:
        git.must(tree, "symbolic-ref", "HEAD", branch)
    if head is not None:
        git.must(tree, "update-ref", *(() if branch else ("--no-deref",)), "HEAD", head)
    git.must(tree, "read-tree", "--empty")
    git.must(tree, "update-index", "-z", "--index-info", stdin=source.index_entries())


def _copy_private_files(source: SourceRepository, tree: Path) -> None:
    for name, file in source.private_files().items():
        if file.is_file():
            target = tree / ".git" / name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)


def _outside(home: Path, source: SourceRepository) -> list[str]:
    """Return the user's files, without the agent's own home where that lies inside the repository."""
    names = source.files()
    if not home.is_relative_to(source.top):
        return names
    own = home.relative_to(source.top).as_posix()
    return [name for name in names if name != own and not name.startswith(f"{own}/")]
