"""How the work tree's room calls git: quietly, without hooks, without locks that it could do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.errors import ToolFailedError
from coding_agent.records import Command, CommandResult

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from coding_agent.protocols import Limits, RunProcess

_GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0")
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
_OUTPUT_LIMIT_BYTES = 512 * 1024 * 1024
"""Lists of files must be whole; a list above this is refused."""


class GitCalls:
    """Runs git and takes nothing but success for an answer; names and contents keep every byte."""

    def __init__(self, run: RunProcess, limits: Limits | None) -> None:
        self._run = run
        self._limits = limits

    def must(
        self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None
    ) -> str:
        """Return the output; raise ToolFailedError with git's own words on any other exit code than 0."""
        result = self.attempt(folder, *arguments, env=env, stdin=stdin)
        if not result.is_ok or result.is_truncated:
            told = "too much output" if result.is_truncated else result.stderr.strip()
            message = f"git {arguments[0]} failed in {str(folder)!r} ({result.exit_code}): {told}"
            raise ToolFailedError(message)
        return result.stdout

    def attempt(
        self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None
    ) -> CommandResult:
        """Return what git did, whatever its exit code."""
        return self._run(
            Command(argv=(*_GIT, *arguments), env={**_ENVIRONMENT, **(env or {})}, stdin=stdin),
            root=folder,
            limits=self._limits,
            output_limit_bytes=_OUTPUT_LIMIT_BYTES,
            errors="surrogateescape",
        )
