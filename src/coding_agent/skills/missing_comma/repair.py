"""A comma, or the colon of a dictionary, in the range that the compiler names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.skills.syntax import insertions, piece_ends, repair_syntax

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding, Repair


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Insert the missing comma."""
    return repair_syntax(finding, bench, _propose)


def _propose(lines: Sequence[str], finding: Finding) -> Iterator[str]:
    assert finding.line is not None
    last = min(int(finding.data.get("end_line", finding.line)), len(lines))
    for number in range(finding.line, last + 1):
        places = piece_ends(lines[number - 1])
        yield from insertions(lines, number, ",", places)
        yield from insertions(lines, number, ":", places)
