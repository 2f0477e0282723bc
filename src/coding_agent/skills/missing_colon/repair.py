"""A colon somewhere in the line that the compiler names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.skills.syntax import insertions, piece_ends, repair_syntax

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding, Repair


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Insert the missing colon."""
    return repair_syntax(finding, bench, _propose)


def _propose(lines: Sequence[str], finding: Finding) -> Iterable[str]:
    assert finding.line is not None
    return insertions(lines, finding.line, ":", piece_ends(lines[finding.line - 1]))
