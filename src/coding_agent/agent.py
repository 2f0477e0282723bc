"""The loop: recall, retrieve, diagnose, plan, execute, verify, remember.

It reads like its own explanation; every part stands behind a door of `protocols.py`. It knows nothing of
who watches it.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from coding_agent import interrupts
from coding_agent.errors import AgentError, TaskStoppedError
from coding_agent.records import (
    ErrorReport,
    Finding,
    MemoryEntry,
    Outcome,
    Phase,
    PlannedStep,
    StepKind,
    StepOutcome,
    TaskOutcome,
    Verification,
    WorkReport,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from coding_agent.protocols import Executor, Memory, Planner, Retriever, SkillLibrary, Workspace
    from coding_agent.records import Fact, Plan, Retrieval, StepResult, Task

_logger = logging.getLogger(__name__)

_LINT = PlannedStep(kind=StepKind.LINT, title="compile and lint")
_TEST = PlannedStep(kind=StepKind.TEST, title="run the tests")
_VERIFY = PlannedStep(kind=StepKind.VERIFY, title="verify by the target's own checks")

_NOTHING_RAN = {"test/none", "test/unavailable"}
"""Findings which say that the target has no checks that could have failed."""
_RELATED_LIMIT = 5
"""Files named to a person whose task is beyond the rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """The parts that work on one work tree."""

    planner: Planner
    executor: Executor
    retriever: Retriever
    memory: Memory
    library: SkillLibrary
    finish: Callable[[], None] = field(default=lambda: None)
    """Called once the work is done and nothing more will be asked; may raise (a replay with leftovers)."""
    release: Callable[[], None] = field(default=lambda: None)
    """Called however the work ended, to let go of what is held (a model's connections); never raises."""


@dataclass(slots=True)
class _Progress:
    """Where the agent is: what an error report tells, and what the next round builds on."""

    phase: Phase = Phase.VALIDATE
    steps: list[StepResult] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    discoveries: list[Finding] = field(default_factory=list)
    files_changed: set[str] = field(default_factory=set)
    patch: str = ""
    rounds: int = 0
    retrieval: Retrieval | None = None

    def state(self) -> dict[str, Fact]:
        return {"round": self.rounds, "steps": len(self.steps), "files_changed": len(self.files_changed)}

    def report(self) -> WorkReport:
        return WorkReport(
            steps=tuple(self.steps),
            findings=_once(self.findings),
            discoveries=_once(self.discoveries),
            files_changed=tuple(sorted(self.files_changed)),
            patch=self.patch,
            rounds=self.rounds,
        )


class Agent:
    """Repairs one repository for one task."""

    def __init__(
        self,
        choose_workspace: Callable[[Task], Workspace],
        equip: Callable[[Path, Workspace], Equipment],
        *,
        max_rounds: int,
        describe_environment: Callable[[], Mapping[str, Fact]],
    ) -> None:
        self._choose_workspace = choose_workspace
        self._workspace: Workspace | None = None
        self._equip = equip
        self._max_rounds = max_rounds
        self._describe_environment = describe_environment
        self._progress = _Progress()

    def run(self, task: Task) -> Outcome:
        """Do the whole task and say how it ended; nothing but an outcome comes back, Ctrl-C included."""
        self._progress = _Progress()
        try:
            with ExitStack() as stack:
                return self._run(task, stack)
        except (TaskStoppedError, KeyboardInterrupt) as error:
            return self._ended(task, TaskOutcome.STOPPED, error)
        except Exception as error:  # noqa: BLE001 - the border of the task: whatever failed is its outcome
            return self._ended(task, TaskOutcome.FAILED, error)

    def preview(self, task: Task) -> tuple[Plan, tuple[Finding, ...]]:
        """Diagnose and plan in a work tree of its own; nothing is carried out."""
        self._progress = _Progress()
        with ExitStack() as stack:
            equipment = self.prepare(task, stack)
            self._look_around(task, equipment)
            findings = self._diagnose(equipment)
            return equipment.planner.plan(task, findings, revision=0), findings

    def work(self, task: Task, stack: ExitStack) -> tuple[Equipment, WorkReport]:
        """Do all but verification: prepare the work tree, look around, then rounds of plan and execute."""
        equipment = self.prepare(task, stack)
        self._look_around(task, equipment)
        while self._progress.rounds < self._max_rounds and self._go_round(task, equipment):
            pass
        equipment.finish()
        if self._progress.files_changed:
            self.save_patch()
        self._progress.phase = Phase.REMEMBER
        report = self._progress.report()
        equipment.memory.upsert(_note(task, "scratch", _describe_work(report)))
        return equipment, report

    def _run(self, task: Task, stack: ExitStack) -> Outcome:
        equipment, report = self.work(task, stack)
        verification = self._verify(equipment, report)
        outcome = self._judge(task, self._progress.report(), verification)
        self._remember(task, equipment, report, outcome)
        return outcome

    def prepare(self, task: Task, stack: ExitStack) -> Equipment:
        """Make the work tree, which the stack removes, and lay out the tools on it."""
        self._workspace = self._choose_workspace(task)
        root = stack.enter_context(self._workspace.open(task))
        equipment = self._equip(root, self._workspace)
        stack.callback(equipment.release)
        stack.callback(self._rescue_patch)  # last in, first out: while the work tree still stands
        return equipment

    def save_patch(self) -> None:
        """Keep the edits made so far as a patch, while the work tree stands."""
        if self._workspace is not None:
            self._progress.patch = self._workspace.patch(sorted(self._progress.files_changed))

    def _rescue_patch(self) -> None:
        """Keep the edits of a task that ends before its time."""
        if self._progress.files_changed and not self._progress.patch:
            with interrupts.held_back():
                self.save_patch()

    def _look_around(self, task: Task, equipment: Equipment) -> None:
        self._progress.phase = Phase.RECALL
        equipment.memory.search(task.text)
        self._progress.phase = Phase.RETRIEVE
        equipment.retriever.index()
        self._progress.retrieval = equipment.retriever.retrieve(task.text)

    def _go_round(self, task: Task, equipment: Equipment) -> bool:
        """Diagnose, plan, execute; return whether another round can bring something new."""
        findings = self._diagnose(equipment)
        self._progress.findings = findings
        if not findings and (self._progress.rounds or task.model == "rules"):
            return False  # only a model may know what to do where nothing is wrong yet
        self._progress.phase = Phase.PLAN
        plan = equipment.planner.plan(task, findings, revision=self._progress.rounds)
        equipment.memory.keep_plan(task.id, plan)
        _logger.info("plan %d: %d steps for %d findings", plan.revision, len(plan.steps), len(findings))
        self._progress.rounds += 1
        self._progress.phase = Phase.EXECUTE
        results = [self._execute(equipment, step) for step in plan.steps]
        self._progress.discoveries += [finding for result in results for finding in _told_by(result)]
        return any(result.outcome is StepOutcome.SUCCEEDED for result in results)

    def _diagnose(self, equipment: Equipment) -> tuple[Finding, ...]:
        """Return what is wrong; tests are not run while files do not even compile."""
        self._progress.phase = Phase.PLAN
        lint = self._execute(equipment, _LINT)
        if any(finding.rule.startswith("syntax/") for finding in lint.findings):
            return lint.findings
        return lint.findings + self._execute(equipment, _TEST).findings

    def _execute(self, equipment: Equipment, step: PlannedStep) -> StepResult:
        result = equipment.executor.execute(step, index=len(self._progress.steps))
        _logger.info(
            "step %d, %s: %s; %s", len(self._progress.steps), step.title, result.outcome, result.summary
        )
        self._progress.steps.append(result)
        self._progress.files_changed.update(result.files_changed)
        return result

    def _verify(self, equipment: Equipment, report: WorkReport) -> Verification:
        self._progress.phase = Phase.VERIFY
        if not report.files_changed and _has_failing_tests(report.findings):
            return Verification.FAILED  # the tests have just said so, on this very tree
        step = replace(_VERIFY, arguments={"files_changed": "\n".join(report.files_changed)})
        result = self._execute(equipment, step)
        verification = result.verification or Verification.NOT_VERIFIED
        if not report.findings or verification is Verification.NOT_VERIFIED:
            self._progress.discoveries += result.findings  # else the tests have said it before
        return verification

    def _judge(self, task: Task, report: WorkReport, verification: Verification) -> Outcome:
        outcome = judge(report, verification, by_rules=task.model == "rules")
        related = self._related() if outcome is TaskOutcome.NEEDS_LLM else ()
        return Outcome(
            task_id=task.id,
            outcome=outcome,
            verification=verification,
            findings=report.findings + report.discoveries + related,
            files_changed=report.files_changed,
            patch=report.patch,
            summary=_describe_work(report),
            error=self._verification_error(task) if outcome is TaskOutcome.FAILED else None,
        )

    def _related(self) -> tuple[Finding, ...]:
        """Return one finding that names the files which speak of the task: a hint, never a repair."""
        passages = self._progress.retrieval.passages if self._progress.retrieval else ()
        files = list(dict.fromkeys(passage.path for passage in passages))[:_RELATED_LIMIT]
        if not files:
            return ()
        return (Finding(rule="retrieval/related", message=f"files that speak of it: {', '.join(files)}"),)

    def _remember(self, task: Task, equipment: Equipment, report: WorkReport, outcome: Outcome) -> None:
        self._progress.phase = Phase.REMEMBER
        if outcome.verification is Verification.PASSED:
            for result in report.steps:
                if result.repair is not None and result.step.finding and result.step.skill:
                    equipment.library.learn(result.step.finding, result.step.skill, result.repair, task.id)
        done = outcome.summary.replace("\n", " ")
        text = f"{task.text.strip()}: {outcome.outcome.value}. {done}"
        equipment.memory.upsert(_note(task, "archive", text))

    def _ended(self, task: Task, outcome: TaskOutcome, error: BaseException) -> Outcome:
        """Return the outcome of a task that an exception ended, with the edits made so far."""
        report = self._progress.report()
        _logger.log(
            logging.WARNING if outcome is TaskOutcome.STOPPED else logging.ERROR,
            "the task ends in phase %s: %s",
            self._progress.phase,
            _message(error),
        )
        return Outcome(
            task_id=task.id,
            outcome=outcome,
            verification=Verification.NOT_VERIFIED,
            findings=report.findings + report.discoveries,
            files_changed=report.files_changed,
            patch=self._progress.patch,
            summary=_describe_work(report),
            error=self._error(task, error),
        )

    def _error(self, task: Task, error: BaseException) -> ErrorReport:
        step = len(self._progress.steps)
        return ErrorReport(
            type=_error_type(error),
            message=_message(error),
            task_id=task.id,
            phase=self._progress.phase,
            step=step if self._progress.phase in {Phase.EXECUTE, Phase.VERIFY} else None,
            hint=error.hint if isinstance(error, AgentError) else "",
            state=self._progress.state(),
            environment=dict(self._describe_environment()),
        )

    def _verification_error(self, task: Task) -> ErrorReport:
        failed = VerificationFailedError("the target's own checks failed after the work")
        return self._error(task, failed)


class VerificationFailedError(AgentError):
    """The work was done, and the target's own checks do not pass."""

    error_type = "verification_failed"


def judge(report: WorkReport, verification: Verification, *, by_rules: bool) -> TaskOutcome:
    """Return how a task ended; `succeeded` needs a verification that passed."""
    if verification is Verification.PASSED:
        return TaskOutcome.SUCCEEDED
    if verification is Verification.NOT_VERIFIED and report.files_changed:
        return TaskOutcome.NEEDS_REVIEW
    if by_rules and (report.findings or verification is Verification.NOT_VERIFIED):
        return TaskOutcome.NEEDS_LLM
    return TaskOutcome.FAILED


def _has_failing_tests(findings: Sequence[Finding]) -> bool:
    ran = [finding for finding in findings if finding.rule not in _NOTHING_RAN]
    return any(finding.rule.startswith(("test/", "syntax/")) for finding in ran)


def _told_by(result: StepResult) -> tuple[Finding, ...]:
    """Return what a step found out; a step that failed says why, so that no refusal is lost."""
    if result.outcome is not StepOutcome.FAILED:
        return result.findings
    return (*result.findings, Finding(rule=f"step/{result.error_type}", message=result.summary))


def _error_type(error: BaseException) -> str:
    if isinstance(error, AgentError):
        return error.error_type
    return "cancelled" if isinstance(error, KeyboardInterrupt) else type(error).__qualname__


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "stopped by Ctrl-C or a signal"
    return str(error) or type(error).__name__


def _once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    seen = {(finding.rule, finding.where(), finding.message): finding for finding in findings}
    return tuple(seen.values())


def _note(task: Task, store: str, text: str) -> MemoryEntry:
    return MemoryEntry(id=task.id, store=store, text=text, task_id=task.id, created_at=time.time())


def _describe_work(report: WorkReport) -> str:
    """Return what was done and what is left, for people: a sentence on a line of its own for each."""
    done = [
        result.summary
        for result in report.steps
        if result.outcome is StepOutcome.SUCCEEDED and result.files_changed and result.summary
    ]
    left = len(report.findings)
    parts = [f"{text.rstrip('.')}." for text in done] or ["Nothing was changed."]
    return "\n".join(parts + ([f"{left} finding{'s' if left != 1 else ''} left."] if left else []))
