"""Git in the work tree, with everything off that would run other programs or touch another repository.

How a work tree comes into being is not decided here; a bisection makes a clone of its own and removes it.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.errors import ToolFailedError
from coding_agent.records import Command, CommandResult

from . import process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from coding_agent.protocols import Limits

_QUIET = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),  # may name a program
    *("-c", "commit.gpgSign=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "advice.detachedHead=false"),
)
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",  # or `status` would write the index
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "true",
    "GIT_SEQUENCE_EDITOR": "true",
    "LC_ALL": "C.UTF-8",
}
# Used where the person has told git no name; commits of the agent never leave the work tree.
_IDENTITY = {
    "GIT_AUTHOR_NAME": "coding agent",
    "GIT_AUTHOR_EMAIL": "coding-agent@localhost",
    "GIT_COMMITTER_NAME": "coding agent",
    "GIT_COMMITTER_EMAIL": "coding-agent@localhost",
}
_READING = frozenset(
    {
        *("blame", "cat-file", "check-ignore", "describe", "diff", "diff-files", "diff-index", "diff-tree"),
        *("for-each-ref", "grep", "log", "ls-files", "ls-tree", "merge-base", "name-rev", "rev-list"),
        *("rev-parse", "shortlog", "show", "status", "version"),
    }
)
_LIST_LIMIT_BYTES = 256 * 1024 * 1024
_SKIP, _LAST_BAD = 125, 127
_GOOD_BAD_ENDS = 2


class GitTool:
    """Git in one work tree; `area` is where a bisection makes its clone (a temporary folder by default).

    `is_in_place` tells that the repository is the user's own: then only commands that read are run in it.
    """

    def __init__(
        self,
        root: Path,
        *,
        limits: Limits,
        timeout: float = 300.0,
        output_limit_bytes: int = 1_000_000,
        area: Path | None = None,
        is_in_place: bool = False,
    ) -> None:
        self._root = root
        self._limits = limits
        self._timeout = timeout
        self._output_limit_bytes = output_limit_bytes
        self._area = area
        self._is_in_place = is_in_place
        self._top: Path | None = None
        self._is_known = False

    @property
    def is_repository(self) -> bool:
        """Whether the work tree has a history (a repository without commits has one to come)."""
        return self._toplevel() is not None

    def run(self, *arguments: str, stdin: str | None = None) -> CommandResult:
        """Run git with hooks off; a non-zero exit code is a result.

        File names and contents that are not UTF-8 come with surrogates (`surrogateescape`), so that they can
        be handed back to git as they are. Raises ToolFailedError for a command that may write, in place.
        """
        if self._is_in_place and (not arguments or arguments[0] not in _READING):
            message = f"git {' '.join(arguments[:1])} may write to the user's own repository, and was not run"
            raise ToolFailedError(message, hint="Run the task without --in-place.")
        return self._git(self._root, arguments, stdin=stdin)

    def paths(self) -> list[str]:
        """Return the tracked and the untracked, unignored files below the root, relative to it."""
        result = self._git(
            self._root,
            ("ls-files", "-z", "--cached", "--others", "--exclude-standard"),
            output_limit_bytes=_LIST_LIMIT_BYTES,
        )
        return [path for path in _must(result).stdout.split("\0") if path]

    def bisect(self, probe: Sequence[str], *, good: str, bad: str) -> str | None:
        """Return the first bad commit by `git bisect run`, in a clone of its own; None if it cannot tell.

        The probe's exit code is git's: 0 good, 125 skip, 1 to 127 bad. It is run on both ends first: one that
        does not tell them apart can tell nothing. Its folder is the root's counterpart in the clone, which
        stands first on PYTHONPATH, so that an installed copy of the project does not answer instead.
        """
        ends = [self._revision(name) for name in (good, bad)]
        top = self._toplevel()
        if top is None or None in ends:
            return None
        good, bad = (end or "" for end in ends)
        with self._clone(top) as tree:
            folder = self._root.resolve().relative_to(top).as_posix()
            place = tree / folder
            environment = {"PYTHONPATH": f"{place}:{place / 'src'}"}
            wrapped = ("sh", "-c", 'cd "$1" || exit 125; shift; exec "$@"', "sh", folder, *probe)
            is_good = self._probe(tree, good, wrapped, environment)
            is_bad = self._probe(tree, bad, wrapped, environment)
            if is_good is not True or is_bad is not False:
                return None
            return self._bisect_in(tree, (good, bad), wrapped, environment)

    def _bisect_in(
        self, tree: Path, ends: tuple[str, str], probe: Sequence[str], environment: Mapping[str, str]
    ) -> str | None:
        good, bad = ends
        count = _must(self._git(tree, ("rev-list", "--count", f"{good}..{bad}"))).stdout
        # One probe a halving, each with its own time; skipped commits cost some more.
        rounds = int(count).bit_length() + 4
        _must(self._git(tree, ("bisect", "start", bad, good)))
        arguments = ("bisect", "run", *probe)
        result = self._git(tree, arguments, env=environment, timeout=self._timeout * rounds)
        if not result.is_ok:
            return None
        found = self._git(tree, ("rev-parse", "--verify", "--quiet", "refs/bisect/bad"))
        return found.stdout.strip() or None

    def _probe(
        self, tree: Path, revision: str, probe: Sequence[str], environment: Mapping[str, str]
    ) -> bool | None:
        """Return whether the revision is good, None where the probe cannot say."""
        _must(self._git(tree, ("checkout", "--quiet", "--force", "--detach", revision)))
        command = Command(argv=tuple(probe), env=environment)
        result = process.run_process(command, root=tree, limits=self._limits, timeout=self._timeout)
        if result.exit_code == 0:
            return True
        is_bad = result.exit_code is not None and 0 < result.exit_code <= _LAST_BAD
        return False if is_bad and result.exit_code != _SKIP else None

    @contextmanager
    def _clone(self, top: Path) -> Iterator[Path]:
        """Make a clone that shares the objects of the work tree, and remove it whatever happens."""
        if self._area is not None:
            self._area.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="bisect-", dir=self._area))
        try:
            arguments = ("clone", "--quiet", "--shared", "--no-checkout", "--template=", str(top), "tree")
            _must(self._git(folder, arguments))
            yield folder / "tree"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _revision(self, name: str) -> str | None:
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return self.run(*arguments).stdout.strip() or None

    def _toplevel(self) -> Path | None:
        if not self._is_known:
            result = self.run("rev-parse", "--show-toplevel")
            self._top = Path(result.stdout.removesuffix("\n")).resolve() if result.is_ok else None
            self._is_known = True
        return self._top

    def _git(
        self,
        folder: Path,
        arguments: Sequence[str],
        *,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        output_limit_bytes: int | None = None,
    ) -> CommandResult:
        environment = {**_IDENTITY, **_ENVIRONMENT, "GIT_CEILING_DIRECTORIES": self._ceiling(), **(env or {})}
        return process.run_process(
            Command(argv=("git", *_QUIET, *arguments), env=environment, stdin=stdin),
            root=folder,
            limits=self._limits,
            timeout=self._timeout if timeout is None else timeout,
            output_limit_bytes=output_limit_bytes or self._output_limit_bytes,
            errors="surrogateescape",
        )

    def _ceiling(self) -> str:
        """Return where git stops looking upward: a copied folder must not find a repository above it."""
        return "" if self._area is None else str(self._area.resolve())


def _must(result: CommandResult) -> CommandResult:
    if not result.is_ok:
        command = " ".join(result.argv[len(_QUIET) + 1 :][:2])
        told = result.stderr.strip()
        message = f"git {command} failed with exit code {result.exit_code}: {told}"
        raise ToolFailedError(message)
    return result
