"""The closing bracket at each place that could end the expression; the tests have the word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coding_agent.skills.syntax import (
    indentation,
    insertions,
    piece_ends,
    repair_syntax,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding, Repair


_CLOSING = {"(": ")", "[": "]", "{": "}"}
_LINES_LIMIT = 40
"""Lines that one expression may span."""
_STATEMENT = re.compile(r"\s*(def|class|return|import|from|raise|with|while|try|@)\b")
"""Words that no expression holds at the beginning of a line."""


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Insert the closing bracket."""
    return repair_syntax(finding, bench, _propose, must_pass=True)


def _propose(lines: Sequence[str], finding: Finding) -> Iterator[str]:
    assert finding.line is not None
    found = re.search(r"'(.)' was never closed", finding.message)
    if found is None:
        return
    start = (finding.column or 1) - 1
    for number in range(finding.line, min(len(lines), finding.line + _LINES_LIMIT) + 1):
        line = lines[number - 1]
        if number > finding.line and _ends_expression(line, lines[finding.line - 1]):
            return
        places = [end for end in piece_ends(line) if number > finding.line or end > start]
        yield from insertions(lines, number, _CLOSING[found[1]], places)


def _ends_expression(line: str, first: str) -> bool:
    is_shallower = len(indentation(line)) < len(indentation(first))
    return bool(line.strip()) and (is_shallower or _STATEMENT.match(line) is not None)
