"""Lines moved to another level of indentation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coding_agent.skills.syntax import (
    indent_unit,
    indentation,
    repair_syntax,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding, Repair


_LINES_LIMIT = 80
"""Lines that are moved at most."""
_DEFINITION = re.compile(r"\s*(async\s+def|def|class|@|import|from)\b|\s*@")


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Move the lines to where they belong."""
    return repair_syntax(finding, bench, _propose, must_pass=_may_lack_body(finding, bench))


def _may_lack_body(finding: Finding, bench: Workbench) -> bool:
    """Whether a definition stands where a body should: to indent it would compile and mean another thing."""
    assert finding.path is not None
    if finding.rule != "syntax/expected-indent" or finding.line is None:
        return False
    lines = bench.files.read(finding.path).split("\n")
    return any(_DEFINITION.match(line) for line in lines[finding.line - 1 : finding.line])


def _propose(lines: Sequence[str], finding: Finding) -> Iterator[str]:
    assert finding.line is not None
    if "tabs" in finding.message:
        yield from _expand_tabs(lines)
        return
    old = indentation(lines[finding.line - 1])
    if finding.rule == "syntax/expected-indent":
        levels = [old + indent_unit(lines)]
    else:
        levels = _levels_above(lines, finding.line)
    for end in _ends_of_run(lines, finding.line, old):
        for level in levels:
            yield _move(lines, range(finding.line - 1, end), old, level)


def _ends_of_run(lines: Sequence[str], first: int, level: str) -> Iterator[int]:
    """Yield the number of each line to which the run of lines at this level, or deeper, could reach."""
    for number in range(first, min(len(lines), first + _LINES_LIMIT) + 1):
        line = lines[number - 1]
        if line.strip() and not indentation(line).startswith(level):
            return
        if line.strip():
            yield number


def _levels_above(lines: Sequence[str], number: int) -> list[str]:
    """Return the levels that are open above a line, the innermost first."""
    levels: list[str] = []
    for line in reversed(lines[: number - 1]):
        level = indentation(line)
        if line.strip() and (not levels or len(level) < len(levels[-1])):
            levels.append(level)
    if lines[: number - 1] and levels and _opens_block(lines[: number - 1]):
        levels.insert(0, levels[0] + indent_unit(lines))
    return levels or [""]


def _opens_block(above: Sequence[str]) -> bool:
    last = next((line for line in reversed(above) if line.strip()), "")
    return last.split("#")[0].rstrip().endswith(":")


def _move(lines: Sequence[str], run: range, old: str, new: str) -> str:
    moved = [new + line[len(old) :] if n in run and line.strip() else line for n, line in enumerate(lines)]
    return "".join(moved)


def _expand_tabs(lines: Sequence[str]) -> Iterator[str]:
    """Yield the text with the tabs of its indentation as spaces: one level each, four, or eight."""
    for width in dict.fromkeys((len(indent_unit(lines)), 4, 8)):
        levels = [indentation(line) for line in lines]
        pairs = zip(lines, levels, strict=True)
        yield "".join(level.replace("\t", " " * width) + line[len(level) :] for line, level in pairs)
