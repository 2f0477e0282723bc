"""The user's repository, read and never written: not its files, not its index, not its objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._calls import GitCalls

_COPIED_SETTINGS = r"^core\.(autocrlf|eol|filemode|ignorecase|precomposeunicode)$"
"""What decides how git compares a tree with its index."""


@dataclass(frozen=True, slots=True)
class SourceRepository:
    """A git repository that holds the folder that the task names."""

    git: GitCalls
    top: Path
    """Real path of the repository's topmost folder."""
    prefix: str
    """The task's folder below it, POSIX, empty for the repository itself."""

    def head(self) -> str | None:
        """Return the commit that is checked out, None before the first one."""
        return self._first_line("rev-parse", "--verify", "--quiet", "HEAD")

    def branch(self) -> str | None:
        """Return the full name of the branch that is checked out, None when HEAD is detached."""
        return self._first_line("symbolic-ref", "--quiet", "HEAD")

    def files(self) -> list[str]:
        """Return the tracked and the untracked, unignored paths below the top, missing ones included."""
        listed = self.git.must(self.top, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        return sorted({name.removesuffix("/") for name in listed.split("\0") if name})

    def index_entries(self) -> str:
        """Return the index, staged changes included, as `git update-index -z --index-info` reads it."""
        return self.git.must(self.top, "ls-files", "--stage", "-z")

    def uncommitted(self) -> frozenset[str]:
        """Return the paths below the top with changes that are in no commit, untracked files included."""
        arguments = ("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
        return frozenset(entry[3:] for entry in self.git.must(self.top, *arguments).split("\0") if entry)

    def settings(self) -> dict[str, str]:
        """Return the settings of this repository that decide what counts as a change."""
        found = self.git.attempt(self.top, "config", "--local", "--null", "--get-regexp", _COPIED_SETTINGS)
        pairs = (entry.partition("\n") for entry in found.stdout.split("\0") if entry)
        return {name: value if separator else "true" for name, separator, value in pairs}

    def private_files(self) -> dict[str, Path]:
        """Return the places of what lies in `.git` and decides about files; they need not exist."""
        names = ("info/exclude", "info/attributes")
        asked = [part for name in names for part in ("--git-path", name)]
        places = self.git.must(self.top, "rev-parse", *asked).splitlines()
        return {name: self.top / place for name, place in zip(names, places, strict=True)}

    def has_files(self) -> bool:
        """Whether any path that git knows of, or would, lies in the task's folder."""
        return not self.prefix or any(name.startswith(f"{self.prefix}/") for name in self.files())

    def _first_line(self, *arguments: str) -> str | None:
        result = self.git.attempt(self.top, *arguments)
        return result.stdout.removesuffix("\n") if result.is_ok else None


def find_source(repository: Path, git: GitCalls) -> SourceRepository | None:
    """Return the git repository around a folder, None where there is none.

    Raises ToolFailedError where there is one that git refuses to read (say one of somebody else's).
    """
    real = repository.resolve()
    if not any((folder / ".git").exists() for folder in (real, *real.parents)):
        return None
    top = Path(git.must(real, "rev-parse", "--show-toplevel").removesuffix("\n")).resolve()
    prefix = real.relative_to(top).as_posix()
    return SourceRepository(git=git, top=top, prefix="" if prefix == "." else prefix)
