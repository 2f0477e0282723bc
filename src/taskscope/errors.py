"""What Taskscope can fail with, as one tree; each child is also the fitting builtin.

The CLI turns each into one line and an exit code; nothing here is raised into a host by telemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class TaskscopeError(Exception):
    """Something a person has to know: what failed, with which value, what was expected, what to do."""

    exit_code = 3
    """The CLI's exit code: 2 wrong use or refused, 3 could not do it."""


class UsageError(TaskscopeError, ValueError):
    """The command, the task or an argument is wrong."""

    exit_code = 2


class SettingsError(UsageError):
    """One or more settings are wrong; `violations` holds a line for each."""

    def __init__(self, violations: Mapping[str, str]) -> None:
        self.violations = dict(violations)
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in self.violations.items()))


class NotFoundError(UsageError, LookupError):
    """No task, trace or file answers to the name given, or more than one does."""


class RequestTooLargeError(TaskscopeError, ValueError):
    """A request, decompressed or decoded, is larger than one may be."""


class StoreError(TaskscopeError, OSError):
    """The store cannot be read or written."""


class StoreMissingError(StoreError):
    """There is no store yet."""


class StoreTooNewError(StoreError):
    """The store was written by a newer version of Taskscope."""


class ExtraMissingError(TaskscopeError, ImportError):
    """A call needs an optional extra; the message names the call and the pip line."""
