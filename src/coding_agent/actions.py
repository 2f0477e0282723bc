"""What each kind of step does: the executor's table of actions, on the tools of one work tree.

An action turns what a part says into the step's result; it decides nothing about the next step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.errors import AgentError, ToolFailedError
from coding_agent.records import (
    Finding,
    RepairOutcome,
    StepKind,
    StepOutcome,
    StepResult,
    Verification,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from coding_agent.protocols import Diagnosis, SkillLibrary, Verifier, Workbench
    from coding_agent.records import PlannedStep, Repair, TestReport

    Action = Callable[[PlannedStep], StepResult]

_SKILL_OUTCOMES = {
    RepairOutcome.SUCCEEDED: StepOutcome.SUCCEEDED,
    RepairOutcome.FAILED: StepOutcome.FAILED,
    RepairOutcome.NOT_APPLICABLE: StepOutcome.SKIPPED,
}
_FAILURES_SHOWN = 10


def build_actions(
    bench: Workbench,
    diagnosis: Diagnosis,
    library: SkillLibrary,
    verifier: Verifier,
    apply_edit: Callable[[PlannedStep, Workbench], StepResult],
) -> Mapping[StepKind, Action]:
    """Return the action of each kind of step that the agent's planners use."""
    return {
        StepKind.LINT: lambda step: _looked(step, diagnosis.lint()),
        StepKind.TEST: lambda step: _looked(step, diagnosis.test()),
        StepKind.SKILL: lambda step: _run_skill(step, library, bench),
        StepKind.EDIT: lambda step: apply_edit(step, bench),
        StepKind.VERIFY: lambda step: _verify(step, verifier),
    }


def _looked(step: PlannedStep, findings: Sequence[Finding]) -> StepResult:
    count = len(findings)
    summary = f"{count} finding{'s' if count != 1 else ''}"
    return StepResult(step=step, outcome=StepOutcome.SUCCEEDED, summary=summary, findings=tuple(findings))


def _run_skill(step: PlannedStep, library: SkillLibrary, bench: Workbench) -> StepResult:
    if step.skill is None or step.finding is None:
        msg = f"a step of kind 'skill' names a skill and a finding, not {step.skill!r} and {step.finding!r}"
        raise ToolFailedError(msg)
    try:
        repair = library.get(step.skill).run(step.finding, bench)
    except AgentError:
        library.count(step.skill, RepairOutcome.FAILED)
        raise
    library.count(step.skill, repair.outcome)
    return _repaired(step, repair)


def _repaired(step: PlannedStep, repair: Repair) -> StepResult:
    outcome = _SKILL_OUTCOMES[repair.outcome]
    return StepResult(
        step=step,
        outcome=outcome,
        summary=repair.summary,
        findings=repair.findings,
        files_changed=repair.files_changed,
        error_type="skill_failed" if outcome is StepOutcome.FAILED else None,
        repair=repair if outcome is StepOutcome.SUCCEEDED else None,
    )


def _verify(step: PlannedStep, verifier: Verifier) -> StepResult:
    """Run the checks; `files_changed` of the arguments holds one path a line."""
    changed = str(step.arguments.get("files_changed", "")).splitlines()
    report = verifier.verify(changed)
    verification = _judge(report)
    failed = verification is Verification.FAILED
    return StepResult(
        step=step,
        outcome=StepOutcome.FAILED if failed else StepOutcome.SUCCEEDED,
        summary=f"verification: {verification.value}",
        findings=_explain(report),
        error_type="verification_failed" if failed else None,
        verification=verification,
    )


def _judge(report: TestReport | None) -> Verification:
    if report is None or report.imported_elsewhere or report.is_empty:
        return Verification.NOT_VERIFIED
    return Verification.PASSED if report.is_passed else Verification.FAILED


def _explain(report: TestReport | None) -> tuple[Finding, ...]:
    """Return why the checks do not stand for a pass; nothing when they do."""
    if report is None or report.is_passed:
        return ()
    if report.imported_elsewhere:
        files = ", ".join(report.imported_elsewhere)
        text = f"the tests imported another copy of {files}: what they say is not about the work tree"
        return (Finding(rule="verify/imported-elsewhere", message=text),)
    if report.is_empty:
        text = f"no test ran to its end; {report.skipped} skipped, so nothing was checked"
        return (Finding(rule="verify/nothing-ran", message=text),)
    if report.is_timed_out:
        return (Finding(rule="verify/hang", message="the checks did not end within their time limit"),)
    failures = tuple(
        Finding(
            rule="verify/failed",
            message=f"{failure.test}: {failure.error}: {failure.message}",
            path=failure.path,
            line=failure.line,
        )
        for failure in report.failures[:_FAILURES_SHOWN]
    )
    return failures or (
        Finding(rule="verify/failed", message=f"the checks ended with exit code {report.exit_code}"),
    )
