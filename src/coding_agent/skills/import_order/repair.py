"""The order of imports, by ruff's safe fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.skills.linting import apply_safe_fixes

if TYPE_CHECKING:
    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding, Repair


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Sort the imports of the file."""
    return apply_safe_fixes(finding, bench, select=("I001",))
