"""What the record holds of health checks: spans of few runs, metrics of all."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from taskscope.bootstrap import build_checks, build_runtime
from taskscope.config import load_settings
from taskscope.health.monitor import HEALTHY_SPAN_INTERVAL_S, HealthMonitor
from taskscope.store.aggregates import read_aggregates
from taskscope.store.history import open_history
from taskscope.store.tally import Histogram
from taskscope.telemetry import spans
from tests.taskscope.otel_globals import fresh_otel

from .fakes import FAIL, PASS, WARN, FakeClock, ScriptedCheck

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskscope.bootstrap import Runtime
    from taskscope.health.checks import CheckResult


@contextmanager
def runtime(home: Path, **variables: str) -> Iterator[Runtime]:
    with fresh_otel():
        made = build_runtime(load_settings(home.parent, {"AGENT_HOME": str(home), **variables}))
        try:
            yield made
        finally:
            assert made.close(10)


def read(home: Path, name: str) -> dict[tuple[str, ...], float | int | Histogram]:
    with closing(open_history(home / "taskscope.db")) as history:
        points = read_aggregates(history.connection)
    return {tuple(v for _, v in point.labels): point.value for point in points if point.name == name}


def root_names(home: Path) -> list[str | None]:
    with closing(open_history(home / "taskscope.db")) as history:
        rows = history.connection.execute("SELECT root_name FROM trace ORDER BY start").fetchall()
    return [row[0] for row in rows]


def count_below(home: Path) -> list[int]:
    """How many spans each trace has below its root, in the order in which they began."""
    with closing(open_history(home / "taskscope.db")) as history:
        rows = history.connection.execute("SELECT spans - 1 FROM trace ORDER BY start").fetchall()
    return [row[0] for row in rows]


def test_metrics_tell_the_latest_run_also_without_its_span(tmp_path: Path) -> None:
    """Status and time are those of the last run, and each run is in the histogram of its status."""
    home = tmp_path / "home"
    with runtime(home) as made:
        check = ScriptedCheck(PASS, FAIL, PASS, PASS, PASS, name="store")
        monitor = HealthMonitor([check], submit=made.recording.submit)
        for _ in range(5):
            last = monitor.run_all()
    label = ("store", "ready")
    assert read(home, "taskscope.health.status") == {
        (*label, "pass"): 1,
        (*label, "warn"): 0,
        (*label, "fail"): 0,
    }
    durations = read(home, "taskscope.health.check.duration")
    counts = {labels: one.count for labels, one in durations.items() if isinstance(one, Histogram)}
    assert counts == {("store", "pass"): 4, ("store", "fail"): 1}
    stamp = read(home, "taskscope.health.check.timestamp")[("store",)]
    assert stamp == pytest.approx((last.checks[0].time_ns or 0) / 1e9, abs=1e-6)
    assert root_names(home) == ["health_check store"] * 3


def test_a_reading_does_not_overtake_a_later_span(tmp_path: Path) -> None:
    """Whatever order a batch is written in, the later run is the status."""
    home = tmp_path / "home"
    with runtime(home) as made:
        monitor = HealthMonitor([ScriptedCheck(PASS, PASS, FAIL)], submit=made.recording.submit)
        for _ in range(3):
            monitor.run_all()
    assert read(home, "taskscope.health.status")[("scripted", "ready", "fail")] == 1
    assert read(home, "taskscope.health.status")[("scripted", "ready", "pass")] == 0


def test_what_a_check_does_is_recorded_below_its_span_or_not_at_all(tmp_path: Path) -> None:
    """Every trace of a check begins with `health_check {name}`: no span of its work stands alone.

    The first run, and those after one that was not well, tell what they did. The healthy one of an hour does
    not: a gateway leaves it out.
    """
    found = iter([PASS, PASS, FAIL, FAIL, WARN, PASS, PASS])

    def look() -> CheckResult:
        with spans.database("SELECT", system="sqlite"):
            return next(found)

    home, clock = tmp_path / "home", FakeClock()
    with runtime(home) as made:
        monitor = HealthMonitor([ScriptedCheck(look)], submit=made.recording.submit, clock=clock)
        for _ in range(7):
            monitor.run_all()
            clock.now += HEALTHY_SPAN_INTERVAL_S
    assert root_names(home) == ["health_check scripted"] * 7
    assert count_below(home) == [1, 0, 0, 1, 1, 1, 0]


def test_a_fresh_home_is_well(tmp_path: Path) -> None:
    """On a machine where nothing was done yet no required check fails, and an empty index warns."""
    with runtime(tmp_path / "home") as made:
        report = HealthMonitor(build_checks(made)).run_all()
    found = {check.name: check.status for check in report.checks}
    assert found.pop("index") == "warn"
    assert set(found.values()) == {"pass"}
    assert report.status == "warn"
    versions = {
        check.name: check.detail for check in report.checks if check.name in {"git", "ruff", "pytest"}
    }
    assert all(any(sign.isdigit() for sign in detail) for detail in versions.values()), versions


def test_chroma_that_is_not_installed_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both collections say what to install, nothing fails."""
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with runtime(tmp_path / "home", AGENT_VECTOR_STORE="chroma") as made:
        report = HealthMonitor(build_checks(made)).run_all()
    vectors = {check.name: check for check in report.checks if check.name.startswith("vector:")}
    assert [check.status for check in vectors.values()] == ["warn", "warn"]
    assert all("taskscope[chroma]" in check.detail for check in vectors.values())
    assert report.status == "warn"
