"""docs/reliability.md: what was proven stands between two markers, the words around it are a person's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.page import write_page
from benchmarks.scene import ROOT

from .findings import Finding, draw_findings

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from .keeping import Result

PAGE = ROOT / "docs" / "reliability.md"
BEGIN = "<!-- proven: begin (make reliability writes from here) -->"
END = "<!-- proven: end -->"


def draw_results(rows: Mapping[str, ModuleType], results: Mapping[str, Result], state: str) -> list[str]:
    """The lines between the markers: the summary, then each row with its numbers."""
    lines = ["", f"Commit {state}, where a row names no other. {_count(results, rows)}", ""]
    for name, module in rows.items():
        lines += [f"### {module.TITLE}", "", f"Must be: {module.MUST}", ""]
        result = results.get(name)
        if result is None:
            lines += ["Not proven in this state of the code.", ""]
            continue
        lines += [*draw_findings(result.findings), ""]
        command = f"`make reliability ONLY={name}`"
        lines += [
            f"{command}, {result.seconds:,.0f} s; {result.day}, commit {result.state}, {result.machine}.",
            "",
        ]
    return lines


def judge(findings: Sequence[Finding]) -> str:
    """One word for a row: holds, missed, or what could not be tried."""
    verdicts = [
        finding.holds for finding in findings if finding.most is not None or finding.least is not None
    ]
    if False in verdicts:
        return "missed"
    return "holds" if None not in verdicts and verdicts else "holds as far as it could be tried"


def _count(results: Mapping[str, Result], rows: Mapping[str, ModuleType]) -> str:
    held = sum(judge(result.findings) == "holds" for result in results.values())
    return f"{held} of {len(rows)} rows hold in full."


def write(lines: Sequence[str], page: Path = PAGE) -> None:
    """Put the lines between the page's markers."""
    write_page(lines, page, begin=BEGIN, end=END)
