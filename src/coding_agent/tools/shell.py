"""Runs programs in the work tree: argument lists only, never a line for a shell to interpret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.errors import OutsideWorkTreeError

from . import process

if TYPE_CHECKING:
    from pathlib import Path

    from coding_agent.protocols import Limits
    from coding_agent.records import Command, CommandResult


class ShellTool:
    """Runs a command in the work tree, within the task's limits and its own."""

    def __init__(
        self, root: Path, *, limits: Limits, timeout: float = 300.0, output_limit_bytes: int = 1_000_000
    ) -> None:
        self._root = root
        self._limits = limits
        self._timeout = timeout
        self._output_limit_bytes = output_limit_bytes

    def run(self, command: Command) -> CommandResult:
        """Run to its end; a non-zero exit code is a result, a program that is missing is ToolMissingError.

        Raises OutsideWorkTreeError when `command.cwd` leads out of the work tree.
        """
        folder = (self._root / command.cwd).resolve()
        if not folder.is_relative_to(self._root.resolve()):
            message = f"cannot run {command.argv!r} in {command.cwd!r}: that is outside of the work tree"
            raise OutsideWorkTreeError(message, hint="Give a folder relative to the work tree's root.")
        return process.run_process(
            command,
            root=self._root,
            limits=self._limits,
            timeout=self._timeout,
            output_limit_bytes=self._output_limit_bytes,
        )
