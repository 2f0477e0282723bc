"""Carries out steps, one at a time: each kind of step has one action, and every step has a result.

It decides nothing: which steps there are is the planner's business, when to stop is the loop's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.errors import AgentError, TaskStoppedError
from coding_agent.records import StepKind, StepOutcome, StepResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from coding_agent.protocols import Limits
    from coding_agent.records import PlannedStep

    Action = Callable[[PlannedStep], StepResult]


class StepExecutor:
    """Does a step by the action that stands for its kind."""

    def __init__(self, actions: Mapping[StepKind, Action], limits: Limits) -> None:
        self._actions = dict(actions)
        self._limits = limits

    def execute(self, step: PlannedStep, *, index: int, attempt: int = 1) -> StepResult:
        """Do the step; its failure is a result, and only what ends the whole task is raised.

        `index` counts the steps of a task from 0 and `attempt` the tries of this step from 1; both are
        here for whoever observes the step.
        """
        del index, attempt
        self._limits.check()
        action = self._actions.get(step.kind)
        if action is None:
            return _failed(step, "no_action", f"no action for a step of kind {step.kind.value!r}")
        try:
            return action(step)
        except TaskStoppedError:
            raise
        except AgentError as error:
            return _failed(step, error.error_type, _one_line(error))


def _failed(step: PlannedStep, error_type: str, summary: str) -> StepResult:
    return StepResult(step=step, outcome=StepOutcome.FAILED, summary=summary, error_type=error_type)


def _one_line(error: AgentError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)
