"""Every benchmark runs and counts what it should; how fast it was decides nothing here."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import APART, BENCHMARKS
from benchmarks.measurement import LoadError, ratios, spread_of, take_turns, time_process
from benchmarks.page import BEGIN, END, PAGE, PageError, draw_results, find_markers, write_page
from benchmarks.peers import PYTHON
from benchmarks.results import Goal, Row, draw_table
from benchmarks.scene import Effort, Scene

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROWS = {
    "commands": 4,
    "agent": 9,
    "spans": 15,
    "starts": 4,
    "start": 8,
    "stores": 4,
    "large": 4,
    "receiver": 2,
    "peers": 10,
    "gateway": 13,
    "logs": 4,
    "growth": 3,
    "retrieval": 3,
    "redaction": 5,
}
"""Lines of each table, as small as it can be."""


def test_every_benchmark_is_counted_here() -> None:
    """No benchmark is added without its line above."""
    assert set(ROWS) == set(BENCHMARKS | APART)


@pytest.mark.parametrize("name", sorted(set(ROWS) - {"gateway"}))  # needs the programs: tests/stack
def test_a_benchmark_yields_finite_numbers(name: str, tmp_path: Path) -> None:
    """With counts as small as can be, each benchmark fills its table with finite numbers."""
    if name == "peers" and not PYTHON.exists():
        pytest.skip("other libraries are installed by `make bench-peers` alone")
    check_rows(name, (BENCHMARKS | APART)[name][1](Scene(tmp_path, Effort.TINY)))


def check_rows(name: str, rows: Sequence[Row]) -> None:
    """What holds for the table of each benchmark."""
    assert len(rows) == ROWS[name]
    spreads = [spread for row in rows for spread in (row.measured, row.ratio) if spread is not None]
    assert all(math.isfinite(value) for it in spreads for value in (it.low, it.median, it.high))
    assert all(it.low <= it.median <= it.high for it in spreads)
    assert len({row.what for row in rows}) == len(rows)
    assert len(draw_table(rows)) == len(rows) + 2


def test_a_made_repository_lacks_its_colon_alone(tmp_path: Path) -> None:
    """Its own tests, of which the agent that is measured asks whether it succeeded, pass with the colon."""
    repository = Scene(tmp_path, Effort.TINY).make_repository("repository", modules=2, tests=3)
    broken = repository / "part_0.py"
    text = broken.read_text()
    with pytest.raises(SyntaxError):
        compile(text, broken, "exec")
    broken.write_text(text.replace("def weigh_0(items)", "def weigh_0(items):"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert "3 passed" in done.stdout, done.stdout


def test_variants_change_places_every_other_round() -> None:
    """A, B, then B, A: who goes first is not always the same."""
    order: list[str] = []

    take_turns({name: partial(order.append, name) for name in "AB"}, 3)

    assert order == ["A", "B", "B", "A", "A", "B"]


def test_a_ratio_is_made_within_its_round() -> None:
    """A round in which all is twice as slow changes no ratio."""
    assert ratios([1.5, 3.0, 1.5], [1.0, 2.0, 1.0]).median == 1.5


@pytest.mark.parametrize("count, cut", [(1, 0), (5, 0), (6, 0), (9, 1), (15, 3), (25, 7)])
def test_the_interval_leaves_out_what_the_sign_test_allows(count: int, cut: int) -> None:
    """The bounds are the order statistics of the tables for a 95 % interval of the median."""
    spread = spread_of(range(count))

    assert (spread.low, spread.high) == (cut, count - 1 - cut)


def test_a_program_that_fails_is_no_measurement(tmp_path: Path) -> None:
    """The time of a failed program is not handed on, and what it said is told."""
    with pytest.raises(LoadError, match=r"ended with 3, expected 0: no luck"):
        time_process(["sh", "-c", "echo no luck >&2; exit 3"], environment={}, folder=tmp_path)


def test_what_a_program_used_is_measured_with_its_children(tmp_path: Path) -> None:
    """CPU time of a child that the program waited for counts as the program's."""
    busy = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"

    sample = time_process(
        ["sh", "-c", f"sh -c '{busy}'; echo '{{\"done\": 1}}'"], environment={}, folder=tmp_path
    )

    assert sample.cpu > 0
    assert sample.answer == {"done": 1}


@pytest.mark.parametrize(
    "goal, value, verdict",
    [
        (Goal(200), 200, "yes"),
        (Goal(200), 210, "**no**, 5 % over"),
        (Goal(10, is_least=True), 9, "**no**, 10 % short"),
        (Goal(1.02, is_ratio=True), 1.05, "**no**, by 3.0 points"),
    ],
)
def test_a_missed_goal_is_said_with_its_distance(goal: Goal, value: float, verdict: str) -> None:
    """The table tells by how much a goal is missed, at least and at most alike."""
    assert goal.judge(spread_of([value])) == verdict


def test_a_verdict_that_may_be_chance_says_so() -> None:
    """A goal that lies within the interval is neither met nor missed for certain."""
    assert Goal(200).judge(spread_of([150, 190, 260])) == "yes, not certain"
    assert Goal(200).judge(spread_of([150, 190, 199])) == "yes"


def test_the_page_keeps_what_a_person_wrote(tmp_path: Path) -> None:
    """Only what stands between the markers is written anew."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")

    write_page(["", "new"], page)
    write_page(["", "newer"], page)

    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    """Results are not put anywhere else."""
    page = tmp_path / "page.md"
    page.write_text("all mine\n", encoding="utf-8")

    with pytest.raises(PageError):
        write_page(["new"], page)

    assert page.read_text(encoding="utf-8") == "all mine\n"


def test_our_page_has_a_place_for_the_results() -> None:
    """docs/benchmarks.md has both markers of each part, in order."""
    text = PAGE.read_text(encoding="utf-8")

    markers = [BEGIN, END, *(marker for name in APART for marker in find_markers(name))]
    places = [text.index(marker) for marker in markers]
    assert places == sorted(places)


def test_a_busy_machine_is_told() -> None:
    """Who reads numbers of a loaded machine is warned of it."""
    row = Row("thing", spread_of([1.0]), "ms")

    assert "Others were at work" in draw_results({"title": [row]}, (2.5, 2.5))[1]
    assert "Others were at work" not in draw_results({"title": [row]}, (0.2, 1.1))[1]
