"""Small forms of the proofs that need a collector: all that they count must hold, and nothing here is timed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability import farewells, fat, outages, unended
from reliability.findings import draw_findings
from reliability.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.findings import Finding

SCALE = 0.01


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, SCALE)


def hold(findings: list[Finding]) -> None:
    """Assert that nothing is missed, and something asked."""
    asked = [finding for finding in findings if finding.most is not None or finding.least is not None]
    assert asked
    assert not [finding for finding in asked if finding.holds is False], "\n".join(draw_findings(findings))


def test_what_was_open_arrives_closed(stage: Stage) -> None:
    """Task, step and tool of a killed process come to a plain OTLP backend, interrupted, in their place."""
    hold(unended.prove(stage))


def test_fat_spans_cost_nobody_else(stage: Stage) -> None:
    """A fat attribute is cut and arrives; a span that is too large is kept, marked and counted."""
    hold(fat.prove(stage))


def test_a_collector_that_is_away_gets_all_later(stage: Stage) -> None:
    """Killed and started again while an application works: all arrives once, and both sides count the same."""
    hold(outages.be_away(stage))


@pytest.mark.parametrize("kind", ["503", "partial", "taken_torn"])
def test_a_bad_answer_loses_nothing(stage: Stage, kind: str) -> None:
    """All but what was refused arrives, and `records` says what the application counted."""
    hold(outages.answer_badly(stage, kind))


@pytest.mark.parametrize("kind", ["refusing", "hang"])
def test_the_end_of_a_program_is_its_own(stage: Stage, kind: str) -> None:
    """It ends with its own exit code, and what was not sent is stored and arrives with the next round."""
    _, counts = farewells.end_before(stage, kind)
    hold(counts)
