"""Results are kept by the state of the code, so that a run that was stopped goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliability.__main__ import ROWS
from reliability.findings import Finding
from reliability.keeping import Result, Shelf, tell_state
from reliability.page import BEGIN, END, PAGE, draw_results, write

if TYPE_CHECKING:
    from pathlib import Path

_FINDINGS = (Finding("told ends lost", 0, 12_345, most=0), Finding("cycles", 7))
_RESULT = Result(_FINDINGS, 3.5, "2026-11-28", "2 cores", "abc123")


def test_a_kept_result_is_found_in_the_same_state_only(tmp_path: Path) -> None:
    """Another commit, or another scale, begins anew; so does a row that is to be forgotten."""
    shelf = Shelf("abc", 1, tmp_path)
    shelf.keep("kills", _RESULT)
    assert Shelf("abc", 1, tmp_path).find("kills") == _RESULT
    assert Shelf("abd", 1, tmp_path).find("kills") is None
    assert Shelf("abc", 0.5, tmp_path).find("kills") is None
    assert shelf.find("soak") is None
    shelf.forget("kills")
    assert shelf.find("kills") is None


def test_the_state_names_the_commit() -> None:
    """By its beginning; what is not committed makes it another one."""
    commit, _, changes = tell_state().partition("+")
    assert len(commit) >= 7
    assert not changes or len(changes) == 12


def test_the_page_says_of_each_row_what_was_measured_or_that_nothing_was(tmp_path: Path) -> None:
    """With the command that makes it; what a person wrote around it stays."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write(draw_results(ROWS, {"kills": _RESULT}, "abc"), page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| told ends lost | 0 | 0 of 12,345 | yes |" in text
    assert "`make reliability ONLY=kills`" in text
    assert text.count("Not proven in this state of the code.") == len(ROWS) - 1


def test_our_page_has_a_place_for_the_results_and_names_each_row() -> None:
    """docs/reliability.md has both markers, in order."""
    text = PAGE.read_text(encoding="utf-8")
    assert 0 < text.index(BEGIN) < text.index(END)
