"""Each row of docs/reliability.md in a small form: the same code, counts only; no time decides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from reliability.__main__ import ROWS
from reliability.findings import Finding
from reliability.loads.soak import slope_of
from reliability.page import judge
from reliability.stage import Stage, share

if TYPE_CHECKING:
    from pathlib import Path

SCALE = 0.0005
_OF_TIME = ("ms", "peak RSS", "flushes that failed or came late", "ends with", "more than a second")
"""What a busy machine decides: shown on the page, and not asked for here."""
_WAITING = ("kills", "disk", "soak")
"""Rows that wait and whom no load disturbs: here one beside the other."""
_TIMED = ("farewells",)
"""Rows whose counts need no second program: that is there for the spread of the times."""


class SingleStage(Stage):
    """A stage where things are done once that a row does twice at least, for the sake of their times."""

    __slots__ = ()

    def count(self, full: int, least: int = 1) -> int:
        """As often as at this scale, or once."""
        return super().count(full, min(least, 1))


@pytest.mark.parametrize(
    "names", [_WAITING, *((name,) for name in ROWS if name not in _WAITING)], ids="+".join
)
def test_a_row_holds_in_small(names: tuple[str, ...], tmp_path: Path) -> None:
    """All that is counted is what it must be, and something was tried."""
    with ThreadPoolExecutor(len(names)) as pool:
        proofs = {name: pool.submit(prove, name, tmp_path / name) for name in names}
    for name, proof in proofs.items():
        counted = [one for one in proof.result() if not any(word in one.what for word in _OF_TIME)]
        missed = [one.cells() for one in counted if one.holds is False]
        assert not missed, name
        assert any(one.holds for one in counted), name
        assert judge(counted).startswith("holds"), name


def prove(name: str, folder: Path) -> list[Finding]:
    folder.mkdir()
    stage = SingleStage(folder, SCALE) if name in _TIMED else Stage(folder, SCALE)
    findings: list[Finding] = ROWS[name].prove(stage)
    return findings


@pytest.mark.parametrize(
    "finding, holds",
    [
        (Finding("x", 0, 10, most=0), True),
        (Finding("x", 1, 10, most=0), False),
        (Finding("x", 9, 10, most=10, least=10), False),
        (Finding("x", 0, 0, most=0), None),
        (Finding("x", 7), None),
    ],
)
def test_a_finding_judges_itself(finding: Finding, holds: bool | None) -> None:
    """By its bounds; and nothing is proven where nothing could be tried."""
    assert finding.holds is holds


@pytest.mark.parametrize("full", [60, 200, 500])
def test_the_processes_of_a_full_proof_try_each_case_once(full: int, tmp_path: Path) -> None:
    """In steps of as many as there are of them; in small, no case is beyond the last."""
    whole, small = Stage(tmp_path), Stage(tmp_path, 0.05)
    shares, stride = share(full, 2), whole.stride(full, full)
    tried = [seed + stride * number for seed, part in enumerate(shares) for number in range(part)]
    assert sorted(tried) == list(range(full))
    count = small.count(full)
    assert small.stride(full, count) * (count - 1) < full


def test_one_miss_is_a_miss() -> None:
    """However much else holds."""
    assert judge([Finding("x", 0, 5, most=0), Finding("y", 1, 5, most=0)]) == "missed"
    assert judge([Finding("x", 0, 5, most=0), Finding("y", 1)]) == "holds"


def test_an_arena_that_was_away_is_no_slope_and_a_leak_is() -> None:
    """A step near an end is nothing; what grows with each look grows by just that, with a step or without."""
    steady = [(at, 34.0 if at > 10 else 33.0) for at in range(100)]
    growing = [(at, size + at * 0.02) for at, size in steady]
    assert slope_of(steady) == 0
    assert slope_of(growing) == pytest.approx(0.02)
