"""One edit of a quote in the line that the compiler names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coding_agent.skills.syntax import (
    insertions,
    piece_ends,
    piece_starts,
    repair_syntax,
    with_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding, Repair


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Put the quotes of the line right."""
    # Of an odd number of triple quotes the compiler marks the last: the fault may lie anywhere above.
    return repair_syntax(finding, bench, _propose, must_pass="triple-quoted" in finding.message)


def _propose(lines: Sequence[str], finding: Finding) -> Iterator[str]:
    assert finding.line is not None
    line = lines[finding.line - 1].rstrip("\r\n")
    found = re.compile(r"'{3}|\"{3}|'|\"").search(line, max(0, (finding.column or 1) - 1))
    if found is None:
        return
    quote, start = found[0], found.start()
    # Also before a word: the space before it may belong to the string.
    ends = [place for place in (*piece_ends(line), *piece_starts(line)) if place >= found.end()]
    starts = [place for place in piece_starts(line) if place < start]
    yield from insertions(lines, finding.line, quote, [*starts, *ends])
    yield with_line(lines, finding.line, line[:start] + line[found.end() :])
    if len(quote) == 1:
        yield from _exchange(lines, finding.line, quote, start)
    else:
        yield from insertions(lines, finding.line, quote[0], [*starts[:1], *starts[-1:], len(line)])


def _exchange(lines: Sequence[str], number: int, quote: str, start: int) -> Iterator[str]:
    """Yield the line with one apostrophe escaped, or one quote of the other kind replaced."""
    line = lines[number - 1]
    other = {"'": '"', '"': "'"}[quote]
    for place, sign in enumerate(line):
        if sign == quote and 0 < place <= start:
            yield with_line(lines, number, line[:place] + "\\" + line[place:])
        if sign == other:
            yield with_line(lines, number, line[:place] + quote + line[place + 1 :])
