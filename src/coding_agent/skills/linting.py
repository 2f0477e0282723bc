"""ruff's safe fixes as a repair. Which rules are the agent's business is not decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.compiler import find_faults
from coding_agent.records import Repair, RepairOutcome
from coding_agent.skills.editing import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding


def apply_safe_fixes(finding: Finding, bench: Workbench, *, select: Sequence[str]) -> Repair:
    """Apply the safe fixes of these rules to the finding's file; undone if it does not compile afterwards."""
    assert finding.path is not None
    rules = ", ".join(select)
    with Transaction(bench) as edit:
        edit.remember(finding.path)
        if not bench.linter.fix(finding.path, select=select):
            text = f"ruff has no safe fix of {rules} for {finding.path}"
            return Repair(outcome=RepairOutcome.NOT_APPLICABLE, summary=text)
        if find_faults(bench, [finding.path]):
            text = f"{finding.path} does not compile after ruff's fix of {rules}"
            return Repair(outcome=RepairOutcome.FAILED, summary=text)
        changed = edit.keep()
    return Repair(
        outcome=RepairOutcome.SUCCEEDED,
        summary=f"ruff fixed {rules} in {finding.path}",
        files_changed=changed,
    )
