"""One edit of a bracket at or before the closing one that the compiler marks."""

from __future__ import annotations

import builtins
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


_OPENING = {")": "(", "]": "[", "}": "{"}
_CLOSING = {opening: closing for closing, opening in _OPENING.items()}
_WORD = re.compile(r"\w+")
_STRING = re.compile(r"""(['"])(?:\\.|(?!\1).)*\1""")
"""A string on one line, so that brackets in it do not count."""


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Put the brackets of the line right."""
    is_mismatch = finding.rule.endswith("mismatched-bracket")
    return repair_syntax(finding, bench, _propose, trusts_first=is_mismatch)


def _propose(lines: Sequence[str], finding: Finding) -> Iterator[str]:
    assert finding.line is not None
    line = lines[finding.line - 1]
    closing = _marked(line, finding)
    if closing is None:
        return
    place, kind = closing
    opening = _find_opening(lines, finding.line, place)
    if opening is not None and finding.rule.endswith("mismatched-bracket"):
        yield from _match(lines, (finding.line, place), opening)
    for other, sign in enumerate(line):
        if sign == kind:
            yield with_line(lines, finding.line, line[:other] + line[other + 1 :])
    lost = [start for start in (*piece_starts(line), *_seams(line, lines)) if start <= place]
    yield from insertions(lines, finding.line, _OPENING[kind], lost)


def _seams(line: str, lines: Sequence[str]) -> Iterator[int]:
    """Yield where a word falls into two known ones: `lenitems)` is left of `len(items)`."""
    known = {word for other in lines if other != line for word in _WORD.findall(other)} | {*dir(builtins)}
    for word in _WORD.finditer(line):
        for cut in range(1, len(word[0])):
            if word[0][:cut] in known and word[0][cut:] in known:
                yield word.start() + cut


def _match(lines: Sequence[str], closing: tuple[int, int], opening: tuple[int, int]) -> Iterator[str]:
    """Yield what makes this pair match: another kind of one, or the opening one's partner."""
    number, place = closing
    line = lines[number - 1]
    above, start = opening
    first = lines[above - 1]
    wanted = _CLOSING[first[start]]
    yield with_line(lines, number, line[:place] + wanted + line[place + 1 :])
    if _is_display(first[:start]):
        yield with_line(lines, above, first[:start] + _OPENING[line[place]] + first[start + 1 :])
    for between in range(above, number + 1):
        ends = piece_ends(lines[between - 1])
        yield from insertions(
            lines,
            between,
            wanted,
            [end for end in ends if (above, start) < (between, end) <= (number, place)],
        )


def _marked(line: str, finding: Finding) -> tuple[int, str] | None:
    """Return place and kind of the closing bracket: the marked one, else the last of its kind."""
    found = re.search(r"(?:unmatched|closing parenthesis) '(.)'", finding.message)
    if found is None or found[1] not in _OPENING:
        return None
    place = (finding.column or 0) - 1
    if not 0 <= place < len(line) or line[place] != found[1]:
        place = line.rfind(found[1])
    return (place, found[1]) if place >= 0 else None


def _find_opening(lines: Sequence[str], number: int, place: int) -> tuple[int, int] | None:
    """Return line (from 1) and place (from 0) of the bracket that is open at the marked one, walking back."""
    depth = 0
    for above in range(number, max(0, number - 200), -1):
        text = lines[above - 1][:place] if above == number else lines[above - 1]
        plain = _STRING.sub(lambda found: " " * len(found[0]), text).split("#")[0]
        for start in range(len(plain) - 1, -1, -1):
            if plain[start] in _OPENING:
                depth += 1
            elif plain[start] in _CLOSING:
                if depth == 0:
                    return (above, start)
                depth -= 1
    return None


def _is_display(before: str) -> bool:
    """Whether a bracket after this text begins a value, not a call or an index."""
    stripped = before.rstrip()
    is_word = bool(re.search(r"[\w)\]}'\"]$", stripped))
    return not is_word or bool(re.search(r"\b(return|in|and|or|not|yield|if|else|lambda|is)$", stripped))
