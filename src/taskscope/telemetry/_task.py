"""The spans of work: task, agent, plan, step."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

from taskscope.semconv import attributes as attr
from taskscope.semconv import events as event_names
from taskscope.semconv import spans as names

from .events import emit_event
from .guard import guarded
from .operation import Operation, outcome_of
from .providers import get_providers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from .context import Frame


class TaskSpan(Operation):
    """A task: it brings its id and kind into the context, and tells of its start and end."""

    def __init__(
        self,
        kind: str,
        facts: Mapping[str, object],
        *,
        task_id: str | None,
        request_id: str | None,
        context: Context | None,
    ) -> None:
        self.kind = kind
        self._given_id = task_id
        self._request_id = request_id
        super().__init__(f"{names.INVOKE_WORKFLOW} {kind}", facts, context=context)

    def _reset(self) -> None:
        super()._reset()
        self.id = self._given_id or ""
        """The task's id; made at the start where none was given."""
        self._results: dict[str, object] = {}
        self._cost = _Cost()

    @guarded
    def finish(
        self,
        outcome: str,
        *,
        verification: str | None = None,
        files_changed: int | None = None,
        error_type: str | None = None,
        description: str = "",
    ) -> None:
        """Say how the task ended; without it, it `succeeded`, `not_verified`, unless an exception left it.

        `outcome` and `verification` are of `semconv.spans`. An outcome that is an error takes `error_type`,
        `verification_failed` where that is the cause, else `_OTHER`.
        """
        self._results = {
            attr.TASK_OUTCOME: outcome,
            attr.TASK_VERIFICATION: verification or "not_verified",
            attr.TASK_FILES_CHANGED: files_changed,
        }
        if outcome not in names.TASK_OUTCOMES_OK:
            cause = names.ERROR_VERIFICATION_FAILED if verification == "failed" else names.ERROR_OTHER
            self.fail(error_type or cause, description)

    @guarded
    def count_cost(self, micro_usd: int | None) -> None:
        """Add a live call's cost, or count it as unpriced (None)."""
        self._cost.add(micro_usd)

    def _identify(self, frame: Frame) -> None:
        self.id = self._given_id or get_providers().task_id()
        frame.task_id, frame.task_kind, frame.task = self.id, self.kind, self
        frame.request_id = self._request_id or frame.request_id
        frame.agent = frame.skill = frame.phase = frame.step_index = frame.llm = None
        frame.steps = itertools.count()

    def _on_start(self) -> None:
        emit_event(event_names.TASK_STARTED, self._facts_of_event(), context=self.context)

    def _complete(self) -> None:
        if not self._results:
            self.finish("succeeded")

    def _abandon(self) -> None:
        self.finish("stopped", error_type=names.ERROR_CANCELLED, description="closed before its end")

    def _break(self, error: BaseException) -> None:  # noqa: ARG002 - the hook's own
        self._results = {attr.TASK_VERIFICATION: "not_verified"} | self._results
        self._results[attr.TASK_OUTCOME] = outcome_of(self.error_type)

    def _on_end(self) -> None:
        if not self._is_recording:
            return
        self._results |= self._cost.facts()
        self.update(self._results)
        severity = event_names.OUTCOME_SEVERITIES.get(str(self._results[attr.TASK_OUTCOME]))
        facts = {**self._facts_of_event(), **self._results, attr.ERROR_TYPE: self.error_type}
        facts.pop(attr.TASK_FILES_CHANGED, None)
        emit_event(event_names.TASK_FINISHED, facts, severity=severity, context=self.context)

    def _facts_of_event(self) -> dict[str, object]:
        return {key: self._start_attributes.get(key) for key in (attr.TASK_ATTEMPT, attr.TASK_SOURCE)}


class _Cost:
    """What a task's live calls cost, from whichever threads they are made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._micro_usd = 0
        self._priced_calls = 0
        self._unpriced_calls = 0

    def add(self, micro_usd: int | None) -> None:
        with self._lock:
            if micro_usd is None:
                self._unpriced_calls += 1
            else:
                self._priced_calls += 1
                self._micro_usd += micro_usd

    def facts(self) -> dict[str, object]:
        """Return no cost where no call was priced: unknown is never 0."""
        facts: dict[str, object] = {}
        if self._priced_calls:
            facts[attr.TASK_COST_MICRO_USD] = self._micro_usd
        if self._priced_calls or self._unpriced_calls:
            facts[attr.TASK_COST_UNPRICED_CALLS] = self._unpriced_calls
        return facts


class AgentSpan(Operation):
    """An agent's work: it brings its role into the context."""

    def __init__(self, role: str, facts: Mapping[str, object]) -> None:
        self.role = role
        super().__init__(f"{names.INVOKE_AGENT} {role}", facts)

    def _identify(self, frame: Frame) -> None:
        frame.agent = self.role
        frame.skill = frame.llm = None
        frame.steps = itertools.count()


class PlanSpan(Operation):
    """The making of a plan; a plan after the first tells of itself as an event."""

    phase = "plan"

    def _reset(self) -> None:
        super()._reset()
        self._results: dict[str, object] = {}

    @guarded
    def finish(self, *, step_count: int, reason: str | None = None, source: str | None = None) -> None:
        """Say what the plan holds; `source` only where it was not what the start said."""
        self._results = {attr.PLAN_STEP_COUNT: step_count, attr.PLAN_REASON: reason, attr.PLAN_SOURCE: source}
        self.update(self._results)

    def _on_end(self) -> None:
        facts = {**self._start_attributes, **{k: v for k, v in self._results.items() if v is not None}}
        if self._is_recording and self.error_type is None and facts.get(attr.PLAN_REVISION):
            told = (attr.PLAN_REVISION, attr.PLAN_REASON, attr.PLAN_STEP_COUNT)
            revised = {key: facts.get(key) for key in told}
            emit_event(event_names.PLAN_REVISED, revised, context=self.context)


class StepSpan(Operation):
    """One step of a plan."""

    phase = "execute"

    def __init__(self, kind: str, facts: Mapping[str, object], *, index: int | None) -> None:
        self._index = index
        self._is_verification = kind == "verify"
        super().__init__(f"{names.STEP} {kind}", facts)

    def _reset(self) -> None:
        super()._reset()
        self._outcome: str | None = None

    @guarded
    def finish(self, outcome: str, *, error_type: str | None = None, description: str = "") -> None:
        """Say how the step ended; without it, it `succeeded` unless an exception left it."""
        self._outcome = outcome
        self.set(attr.STEP_OUTCOME, outcome)
        if outcome not in names.STEP_OUTCOMES_OK:
            self.fail(error_type or names.ERROR_OTHER, description)

    def _identify(self, frame: Frame) -> None:
        frame.phase = "verify" if self._is_verification else frame.phase or self.phase
        frame.step_index = next(frame.steps or iter((0,))) if self._index is None else self._index
        self._start_attributes = {**self._start_attributes, attr.STEP_INDEX: frame.step_index}
        frame.skill = None

    def _complete(self) -> None:
        if self._outcome is None:
            self.finish("succeeded")

    def _abandon(self) -> None:
        self.finish("stopped", error_type=names.ERROR_CANCELLED, description="closed before its end")

    def _break(self, error: BaseException) -> None:  # noqa: ARG002 - the hook's own
        self.set(attr.STEP_OUTCOME, outcome_of(self.error_type))


def task(
    kind: str,
    *,
    task_id: str | None = None,
    attempt: int = 1,
    source: str = "api",
    request_id: str | None = None,
    repository: str | None = None,
    branch: str | None = None,
    revision: str | None = None,
    context: Context | None = None,
) -> TaskSpan:
    """`invoke_workflow {kind}`: a task, below the current span, or below the one in `context`.

    taskscope.task.id, .kind, .attempt, .source, gen_ai.workflow.name, vcs.* at the start; .outcome,
    .verification, .files_changed, .cost.* at the end. Events task.started and task.finished.
    """
    facts = {
        attr.GEN_AI_OPERATION_NAME: names.INVOKE_WORKFLOW,
        attr.GEN_AI_WORKFLOW_NAME: kind,
        attr.TASK_ATTEMPT: attempt,
        attr.TASK_SOURCE: source,
        attr.VCS_REPOSITORY_NAME: repository,
        attr.VCS_REF_HEAD_NAME: branch,
        attr.VCS_REF_HEAD_REVISION: revision,
    }
    return TaskSpan(kind, facts, task_id=task_id, request_id=request_id, context=context)


def agent(role: str, *, model: str | None = None) -> AgentSpan:
    """`invoke_agent {role}`: an agent's work; `model` only if it uses a single one.

    gen_ai.agent.name, .request.model.
    """
    facts = {
        attr.GEN_AI_OPERATION_NAME: names.INVOKE_AGENT,
        attr.GEN_AI_AGENT_NAME: role,
        attr.GEN_AI_REQUEST_MODEL: model,
    }
    return AgentSpan(role, facts)


def plan(role: str, *, source: str = "rules", revision: int = 0, reason: str | None = None) -> PlanSpan:
    """`plan {role}`: the making of a plan; `reason` is by default `initial`, for a later revision `replan`.

    gen_ai.agent.name, taskscope.plan.source, .revision at the start; .reason, .step_count.
    Event plan.revised.
    """
    facts = {
        attr.GEN_AI_OPERATION_NAME: names.PLAN,
        attr.GEN_AI_AGENT_NAME: role,
        attr.PLAN_SOURCE: source,
        attr.PLAN_REVISION: revision,
        attr.PLAN_REASON: reason or ("replan" if revision else "initial"),
    }
    return PlanSpan(f"{names.PLAN} {role}", facts)


def step(kind: str, *, index: int | None = None, attempt: int = 1) -> StepSpan:
    """`step {kind}`: one step, `attempt` from 1, `index` from 0: by default counted in its agent or task.

    taskscope.step.kind, .index, .attempt at the start; .outcome at the end.
    """
    facts = {attr.STEP_KIND: kind, attr.STEP_ATTEMPT: attempt}
    return StepSpan(kind, facts, index=index)
