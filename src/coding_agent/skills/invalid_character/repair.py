"""The plain character that a look-alike stands for."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from coding_agent.skills.syntax import repair_syntax, with_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding, Repair


_PLAIN = {
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{DOUBLE LOW-9 QUOTATION MARK}": '"',
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}": '"',
    "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}": '"',
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{SINGLE LOW-9 QUOTATION MARK}": "'",
    "\N{ACUTE ACCENT}": "'",
    "\N{PRIME}": "'",
    "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "*",
    "\N{DIVISION SIGN}": "/",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{NOT EQUAL TO}": "!=",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{IDEOGRAPHIC COMMA}": ",",
    "\N{ZERO WIDTH NO-BREAK SPACE}": "",
}
_QUOTES = {"'", '"'}


def repair(finding: Finding, bench: Workbench) -> Repair:
    """Replace the marked character, and as few others as it takes."""
    for is_meant in (_is_marked, _is_alike, _is_any):
        done = repair_syntax(finding, bench, _proposal(is_meant))
        if done.files_changed:
            break
    return done


def _proposal(
    is_meant: Callable[[str, int, int], bool],
) -> Callable[[Sequence[str], Finding], Iterator[str]]:
    def propose(lines: Sequence[str], finding: Finding) -> Iterator[str]:
        assert finding.line is not None
        line = lines[finding.line - 1]
        marked = _find_marked(line, (finding.column or 1) - 1)
        if marked is not None:
            signs = [_plain(c) if is_meant(line, n, marked) else c for n, c in enumerate(line)]
            yield with_line(lines, finding.line, "".join(signs))

    return propose


def _is_marked(_line: str, place: int, marked: int) -> bool:
    return place == marked


def _is_alike(line: str, place: int, marked: int) -> bool:
    """Whether the character stands for the same plain one, or for a quote as the marked one does."""
    plain, wanted = _plain(line[place]), _plain(line[marked])
    return line[place] != plain and (plain == wanted or {plain, wanted} <= _QUOTES)


def _is_any(_line: str, _place: int, _marked: int) -> bool:
    return True


def _find_marked(line: str, place: int) -> int | None:
    """Return the place that the compiler marks, else the first character that has a plain one."""
    if 0 <= place < len(line) and _plain(line[place]) != line[place]:
        return place
    return next((n for n, sign in enumerate(line) if _plain(sign) != sign), None)


def _plain(sign: str) -> str:
    """Return the ASCII that a character stands for; itself where there is none."""
    if sign.isascii():
        return sign
    if sign in _PLAIN:
        return _PLAIN[sign]
    category = unicodedata.category(sign)
    if category in {"Zs", "Cf"}:  # spaces of all widths; zero-width marks
        return " " if category == "Zs" else ""
    folded = unicodedata.normalize("NFKC", sign)  # full-width forms
    return folded if folded.isascii() and category[0] in "PSN" else sign
