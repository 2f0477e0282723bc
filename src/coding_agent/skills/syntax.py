"""How a SyntaxError is repaired: a skill proposes texts, the compiler chooses, the tests decide a tie.

A proposal is the whole text of the file after one small edit. Proposals that mean the same (equal syntax
trees) count as one. Which edits fit which message is the business of each skill.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coding_agent.compiler import compile_texts
from coding_agent.records import Repair, RepairOutcome
from coding_agent.skills.editing import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from coding_agent.compiler import Verdict
    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding, TestReport

    Propose = Callable[[Sequence[str], Finding], Iterable[str]]
    """From the file's lines (with their ends) and the finding to the texts that one edit could make of it."""

_PROPOSALS_LIMIT = 400
"""Texts that are compiled for one finding: a long line times a few edits, well below a second."""
_TRIALS_LIMIT = 8
"""Runs of the target's suite that may decide between proposals that compile."""
_SAME_FAULT_LIMIT = 200
"""Faults of one kind that are repaired in one file, one after another."""
_PIECE = re.compile(r"\w+|[^\w\s]")
# A word or one sign. Places inside strings and comments are among them: a sign put there cures nothing, so
# the compiler sorts these proposals out.


@dataclass(frozen=True, slots=True)
class _Choice:
    """The text chosen, or why none was; `fault` is what is left to repair in it."""

    text: str | None
    reason: str
    next_fault: Finding | None = None
    tied: tuple[str, ...] = ()
    """Texts between which nothing decides."""


def repair_syntax(
    finding: Finding,
    bench: Workbench,
    propose: Propose,
    *,
    must_pass: bool = False,
    trusts_first: bool = False,
) -> Repair:
    """Repair this fault, and those of the same kind that follow it in the file, where one edit stands out.

    Chosen is the only proposal that compiles; of several, the one that the tests prefer. A file with more
    faults further down counts as repaired when exactly one proposal moves the compiler past the edit. With
    `must_pass` the tests have to pass too, since the message alone does not tell the place. With
    `trusts_first` the first proposal is what the message itself says, and wins a tie.
    """
    path = finding.path
    assert path is not None
    text = bench.files.read(path)
    chosen, summary = None, ""
    for _ in range(_SAME_FAULT_LIMIT):
        proposals = _propose_all(text, finding, propose)
        choice = _choose(text, proposals, finding, bench, must_pass=must_pass)
        if trusts_first and proposals[:1] and proposals[0] in choice.tied:
            choice = _Choice(proposals[0], f"what the message says compiles: {_describe(text, proposals[0])}")
        if choice.text is None:
            summary = summary or choice.reason
            break
        chosen = text = choice.text
        summary = choice.reason
        if choice.next_fault is None or choice.next_fault.rule != finding.rule:
            break
        finding = choice.next_fault
    if chosen is None:
        return Repair(outcome=RepairOutcome.NOT_APPLICABLE, summary=summary)
    with Transaction(bench) as edit:
        edit.write(path, chosen)
        return Repair(outcome=RepairOutcome.SUCCEEDED, summary=summary, files_changed=edit.keep())


def _propose_all(text: str, finding: Finding, propose: Propose) -> list[str]:
    lines = split_lines(text)
    if finding.line is None or not 1 <= finding.line <= len(lines):
        return []
    found = dict.fromkeys(proposal for proposal in propose(lines, finding) if proposal != text)
    return list(found)[:_PROPOSALS_LIMIT]


def _choose(
    text: str, proposals: Sequence[str], finding: Finding, bench: Workbench, *, must_pass: bool
) -> _Choice:
    verdicts = compile_texts(bench, proposals)
    whole = _distinct(proposals, verdicts)
    if not whole and not must_pass:
        return _advance(text, proposals, verdicts, finding)
    if len(whole) == 1 and not must_pass:
        return _Choice(whole[0], f"one edit compiles: {_describe(text, whole[0])}")
    if not whole:
        where = finding.where()
        return _Choice(None, f"none of {len(proposals)} edits for {finding.message!r} at {where} compiles")
    return _try_all(text, whole, finding, bench)


def _distinct(proposals: Sequence[str], verdicts: Sequence[Verdict]) -> list[str]:
    """Return the texts that compile, one for each meaning."""
    by_digest: dict[str, str] = {}
    for proposal, verdict in zip(proposals, verdicts, strict=True):
        if verdict.fault is None:
            by_digest.setdefault(verdict.digest, proposal)
    return list(by_digest.values())


def _advance(text: str, proposals: Sequence[str], verdicts: Sequence[Verdict], finding: Finding) -> _Choice:
    """Return the only proposal after which the compiler's first objection lies beyond the edit."""
    assert finding.path is not None
    ahead = []
    for proposal, verdict in zip(proposals, verdicts, strict=True):
        if verdict.fault is not None and (verdict.fault.line or 0) > _last_edited_line(text, proposal):
            ahead.append((proposal, verdict.fault.as_finding(finding.path)))
    if len(ahead) != 1:
        count = "none" if not ahead else str(len(ahead))
        return _Choice(
            None, f"{count} of {len(proposals)} edits for {finding.message!r} at {finding.where()} fits"
        )
    proposal, fault = ahead[0]
    return _Choice(proposal, f"one edit fits: {_describe(text, proposal)}", fault)


def _try_all(text: str, proposals: Sequence[str], finding: Finding, bench: Workbench) -> _Choice:
    """Let the tests decide between texts that all compile."""
    where, count, tests = finding.where(), len(proposals), bench.tests
    are_too_many = count > _TRIALS_LIMIT
    asked = () if are_too_many or not tests.is_available else proposals
    reports = [_try(proposal, finding, bench) for proposal in asked]
    if not tests.is_available:  # pytest is not there, or broken, as its runs have shown
        reason = f"{count} edits at {where} compile, and no tests can decide"
        return _Choice(None, reason, tied=tuple(proposals))
    if are_too_many:
        return _Choice(None, f"{count} edits at {where} compile: too many to try with the tests")
    best = find_best_report(reports)
    if best is None:
        passing = tuple(proposals[index] for index, report in enumerate(reports) if report.is_passed)
        return _Choice(
            None, f"{count} edits at {where} compile, and the tests do not single one out", tied=passing
        )
    told = _describe(text, proposals[best])
    return _Choice(proposals[best], f"the tests chose among {count} edits that compile: {told}")


def _try(proposal: str, finding: Finding, bench: Workbench) -> TestReport:
    """Return what the tests say of a text, and leave the file as it was."""
    assert finding.path is not None
    bench.limits.check()
    with Transaction(bench) as trial:
        trial.write(finding.path, proposal)
        return bench.tests.run()


def find_best_report(reports: Sequence[TestReport]) -> int | None:
    """Return the index of the one trial that the tests single out, else None.

    That is the only one that passes; where other faults keep all from passing, the one whose failures are a
    proper subset of every other trial's.
    """
    passing = [index for index, report in enumerate(reports) if report.is_passed]
    if passing:
        return passing[0] if len(passing) == 1 else None
    failures = [{failure.test for failure in report.failures} for report in reports]
    for index, report in enumerate(reports):
        others = failures[:index] + failures[index + 1 :]
        is_evidence = report.passed > 0 and failures[index] and not report.imported_elsewhere
        if is_evidence and others and all(failures[index] < other for other in others):
            return index
    return None


def _last_edited_line(before: str, after: str) -> int:
    old, new = split_lines(before), split_lines(after)
    same = 0
    while same < min(len(old), len(new)) and old[-1 - same] == new[-1 - same]:
        same += 1
    return len(new) - same


def _describe(before: str, after: str) -> str:
    line = _last_edited_line(before, after)
    new = split_lines(after)
    return f"line {line} is now {new[line - 1].strip()!r}" if 0 < line <= len(new) else "a line was removed"


def split_lines(text: str) -> list[str]:
    """Return the lines with their ends; unlike `splitlines` as Python's compiler counts them."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def with_line(lines: Sequence[str], number: int, line: str) -> str:
    """Return the text with one line (counted from 1) replaced; its end is kept when the new one has none."""
    old = lines[number - 1]
    end = old[len(old.rstrip("\r\n")) :]
    new = line if line.endswith(("\n", "\r")) else line + end
    return "".join([*lines[: number - 1], new, *lines[number:]])


def insertions(lines: Sequence[str], number: int, inserted: str, places: Iterable[int]) -> Iterator[str]:
    """Yield the text with something inserted in one line, at each of the places (counted from 0)."""
    line = lines[number - 1].rstrip("\r\n")
    for place in sorted(set(places)):
        yield with_line(lines, number, line[:place] + inserted + line[place:])


def piece_ends(line: str) -> list[int]:
    """Return where words and signs of a line end (from 0): each place where a lost sign could have stood."""
    return [piece.end() for piece in _PIECE.finditer(line)]


def piece_starts(line: str) -> list[int]:
    """Return where words and signs of a line begin (from 0)."""
    return [piece.start() for piece in _PIECE.finditer(line)]


def indentation(line: str) -> str:
    """Return the white space that a line begins with."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def indent_unit(lines: Sequence[str]) -> str:
    """Return one level of indentation as the file does it, four spaces where it does none."""
    levels = [indentation(line) for line in lines if line.strip()]
    used = [level for level in levels if level]
    if used and all(level.startswith("\t") for level in used):
        return "\t"
    widths = [len(level) for level in used if "\t" not in level]
    return " " * (min(widths) if widths else 4)
