"""What can stop or refuse the agent's work, as one small tree of exceptions.

Limits are exceptions with telling names, so that the loop reads without flags. A rule that found nothing
to do is not an error: that is an outcome (`records.TaskOutcome`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class AgentError(Exception):
    """The work cannot go on; the message says what failed and `hint` what to do about it."""

    error_type = "_OTHER"
    """A short stable word for scripts and telemetry; the class name where nothing shorter is defined."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InvalidTaskError(AgentError, ValueError):
    """A task was refused before it started; `violations` names every wrong field at once."""

    error_type = "invalid_task"

    def __init__(self, violations: Mapping[str, str]) -> None:
        self.violations = dict(violations)
        lines = "; ".join(f"{field}: {reason}" for field, reason in self.violations.items())
        super().__init__(f"task refused: {lines}")


class ToolMissingError(AgentError, RuntimeError):
    """A program that the task needs is not installed."""

    error_type = "tool_missing"


class ToolFailedError(AgentError, RuntimeError):
    """A program ran and could not do its work (not: a test that failed)."""

    error_type = "tool_failed"


class OutsideWorkTreeError(AgentError, ValueError):
    """A path leads out of the work tree, directly or through a symbolic link."""

    error_type = "outside_work_tree"


class ReplayMismatchError(AgentError, RuntimeError):
    """A recording was asked something else than it holds, or was left with answers over."""

    error_type = "replay_mismatch"


class ModelError(AgentError, RuntimeError):
    """A model's provider refused or could not answer."""

    error_type = "model_error"
    """The HTTP status where the provider gave one (set on the instance), else this."""
    retry_count = 0
    """How often the client tried again before it gave up."""


class TaskStoppedError(AgentError):
    """The task has to end now, by a limit or by a person: outcome `stopped`."""

    error_type = "cancelled"


class TimeExceededError(TaskStoppedError, TimeoutError):
    """The task's time is used up."""

    error_type = "timeout"


class BudgetExceededError(TaskStoppedError):
    """The task's or the day's budget for models is used up: no further live call is made."""

    error_type = "budget_exceeded"


def describe_choices(choices: Sequence[str]) -> str:
    """Return `'a', 'b' or 'c'`, for messages that name what was expected."""
    quoted = [repr(choice) for choice in choices]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))
