"""The monitor: each check once however many ask, each within its time, and the right spans of it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from taskscope.health.monitor import HEALTHY_SPAN_INTERVAL_S, HealthMonitor
from taskscope.semconv import attributes as attr
from taskscope.telemetry import spans

from .fakes import FAIL, PASS, WARN, FakeClock, HangingCheck, ScriptedCheck

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskscope.health.checks import CheckResult
    from taskscope.health.report import CheckReport
    from taskscope.store.records import HealthReading
    from taskscope.testing import SpanRecorder


def run(monitor: HealthMonitor, times: int) -> None:
    for _ in range(times):
        monitor.run_all()


def statuses(recorder: SpanRecorder) -> list[object]:
    return [dict(span.attributes or {})[attr.HEALTH_STATUS] for span in recorder.spans]


@pytest.mark.parametrize(
    "answers, with_spans, readings",
    [
        ([PASS, PASS, PASS], ["pass"], ["pass", "pass"]),
        ([WARN, WARN], ["warn"], ["warn"]),
        ([PASS, FAIL, FAIL, PASS, PASS], ["pass", "fail", "fail", "pass"], ["pass"]),
        ([PASS, WARN, WARN, PASS], ["pass", "warn", "pass"], ["warn"]),
    ],
)
def test_first_runs_changes_and_failures_make_spans(
    answers: list[CheckResult], with_spans: list[str], readings: list[str], span_recorder: SpanRecorder
) -> None:
    """A run has a span or a reading for the metrics, never both, never neither."""
    kept: list[HealthReading] = []
    run(HealthMonitor([ScriptedCheck(*answers)], submit=kept.append), len(answers))
    assert statuses(span_recorder) == with_spans
    assert [reading.status for reading in kept] == readings


def test_a_healthy_check_gets_a_span_an_hour(span_recorder: SpanRecorder) -> None:
    """Within the hour it makes none, at the hour one."""
    clock = FakeClock()
    monitor = HealthMonitor([ScriptedCheck()], clock=clock)
    monitor.run_all()
    clock.now += HEALTHY_SPAN_INTERVAL_S - 1
    monitor.run_all()
    assert len(span_recorder.spans) == 1
    clock.now += 1
    monitor.run_all()
    assert len(span_recorder.spans) == 2


def test_a_check_is_the_root_of_its_own_trace(span_recorder: SpanRecorder) -> None:
    """Whoever asks for the run is not its parent."""
    with spans.step("other"):
        HealthMonitor([ScriptedCheck(name="a"), ScriptedCheck(name="b")]).run_all()
    checks = [span for span in span_recorder.spans if span.name.startswith("health_check")]
    assert [span.parent for span in checks] == [None, None]
    assert len({span.context.trace_id for span in span_recorder.spans if span.context}) == 3


def test_a_span_tells_check_group_need_and_failures_in_a_row(span_recorder: SpanRecorder) -> None:
    """The attributes of the contract stand on each span, and the failures count up."""
    check = ScriptedCheck(FAIL, name="disk", groups=("ready", "startup"), required=False)
    run(HealthMonitor([check]), 2)
    assert dict(span_recorder.spans[1].attributes or {}) == {
        attr.HEALTH_CHECK: "disk",
        attr.HEALTH_GROUP: "ready",
        attr.HEALTH_REQUIRED: False,
        attr.HEALTH_STATUS: "fail",
        attr.HEALTH_CONSECUTIVE_FAILURES: 2,
        attr.ERROR_TYPE: "_OTHER",
    }


def test_two_hundred_who_ask_at_once_cause_one_run() -> None:
    """Who comes while a cycle runs gets its results."""
    everybody, release = threading.Barrier(200), threading.Event()

    def look() -> CheckResult:
        release.wait()
        return PASS

    check = ScriptedCheck(look)
    monitor = HealthMonitor([check])

    def ask() -> str:
        everybody.wait()
        return monitor.run_all().status

    with ThreadPoolExecutor(200) as pool:
        asked = [pool.submit(ask) for _ in range(199)]
        everybody.wait()
        release.set()
        found = {one.result() for one in asked}
    assert found == {"pass"}
    # One run for those who came while it ran; who came after its end may have begun another.
    assert check.runs <= 2


def test_probes_run_nothing() -> None:
    """A report is what the last cycle found, however often it is asked for."""
    check = ScriptedCheck(groups=("live", "ready"))
    monitor = HealthMonitor([check])
    monitor.run_all()
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: monitor.report("ready").as_json(), range(200)))
    assert check.runs == 1


def test_a_hanging_check_fails_in_time_and_is_not_begun_again(span_recorder: SpanRecorder) -> None:
    """It is late once, then counted as stuck; when its thread is free, it runs again."""
    check = HangingCheck()
    monitor = HealthMonitor([check, ScriptedCheck(name="other")])
    first = monitor.run_all()
    assert [one.status for one in first.checks] == ["fail", "pass"]
    second = monitor.run_all()
    assert (second.checks[0].stuck_runs, second.checks[0].consecutive_failures, check.runs) == (1, 2, 1)
    late = [span for span in span_recorder.spans if "hanging" in span.name]
    assert [dict(span.attributes or {})[attr.ERROR_TYPE] for span in late] == ["timeout", "timeout"]
    check.released.set()
    check.left.wait()
    while monitor.run_all().checks[0].status != "pass":
        pass
    assert (check.runs, monitor.report().checks[0].stuck_runs) == (2, 0)


def test_a_secret_in_an_exception_is_not_told(span_recorder: SpanRecorder) -> None:
    """Whatever a check raises, exit and Ctrl-C too, is a failure that names the class and no more."""
    secret = "postgres://me:hunter2@db/x"
    checks = [
        ScriptedCheck(kind(secret), name=kind.__name__)
        for kind in (ValueError, SystemExit, KeyboardInterrupt, BaseException)
    ]
    report = HealthMonitor(checks).run_all()
    assert report.status == "fail"
    body = json.dumps(report.as_json(whole=True))
    assert "hunter2" not in body
    assert [check.detail for check in report.checks] == [
        "raised ValueError",
        "raised SystemExit",
        "raised KeyboardInterrupt",
        "raised BaseException",
    ]
    assert {span.name for span in span_recorder.spans} == {f"health_check {check.name}" for check in checks}


def test_changes_are_told_once(span_recorder: SpanRecorder) -> None:
    """Event and callback come with each change and with a first run that is no pass, else never."""
    told: list[tuple[str, str | None, int]] = []

    def tell(report: CheckReport, previous: str | None) -> None:
        told.append((report.status, previous, report.consecutive_failures))

    monitor = HealthMonitor([ScriptedCheck(WARN, WARN, FAIL, FAIL, PASS, PASS)], on_transition=tell)
    run(monitor, 6)
    assert told == [("warn", None, 0), ("fail", "warn", 1), ("pass", "fail", 0)]
    changed = [one for one in span_recorder.events if one.name == "taskscope.health.status_changed"]
    assert [one.attributes.get(attr.HEALTH_PREVIOUS_STATUS) for one in changed] == [None, "warn", "fail"]


def test_a_check_of_two_groups_runs_once_and_stands_in_both() -> None:
    """Groups are views of the same runs."""
    check = ScriptedCheck(groups=("ready", "startup"))
    monitor = HealthMonitor([check])
    monitor.run_all()
    assert check.runs == 1
    assert monitor.report("ready").checks == monitor.report("startup").checks != ()


@pytest.mark.parametrize(
    "checks, status",
    [
        ([ScriptedCheck(PASS)], "pass"),
        ([ScriptedCheck(PASS), ScriptedCheck(WARN, name="w")], "warn"),
        ([ScriptedCheck(PASS), ScriptedCheck(FAIL, name="f", required=False)], "warn"),
        ([ScriptedCheck(WARN), ScriptedCheck(FAIL, name="f")], "fail"),
        ([], "fail"),
    ],
)
def test_only_a_required_check_fails_a_group(checks: Iterable[ScriptedCheck], status: str) -> None:
    """Another failure warns, and a group without checks is never green."""
    monitor = HealthMonitor(list(checks))
    monitor.run_all()
    assert monitor.report("ready").status == status


def test_nothing_is_ready_before_the_first_run_nor_at_the_end() -> None:
    """A required check that has not run fails; so does `ready`, not `live`, once the end has begun."""
    monitor = HealthMonitor([ScriptedCheck()])
    assert monitor.report("ready").status == "fail"
    monitor.run_all()
    assert monitor.report("ready").status == "pass"
    monitor.drain()
    assert (monitor.report("ready").status, monitor.report("live").status) == ("fail", "pass")


def test_live_asks_for_the_monitor_alone() -> None:
    """A broken dependency leaves it alive; three intervals without a cycle do not."""
    clock = FakeClock()
    monitor = HealthMonitor([ScriptedCheck(FAIL, timeout=5)], interval=10, clock=clock)
    monitor.run_all()
    clock.now += 35
    assert monitor.report("live").status == "pass"
    clock.now += 1
    assert monitor.report("live").status == "fail"


def test_started_it_goes_on_until_it_is_stopped() -> None:
    """The first run comes at once, the next ones at each interval, and none after the end."""
    third = threading.Event()
    seen: list[CheckReport] = []

    def note(report: CheckReport) -> None:
        seen.append(report)
        if len(seen) == 3:
            third.set()

    monitor = HealthMonitor([ScriptedCheck()], interval=0.001, on_result=note)
    monitor.start()
    assert third.wait(60)
    monitor.stop(60)
    ended = len(seen)
    assert ended >= 3
    assert not [thread for thread in threading.enumerate() if thread.name == "taskscope-health"]


def test_a_callback_that_raises_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    """The cycle is logged as failed and the next one comes."""
    third = threading.Event()
    calls: list[int] = []

    def fail(_report: CheckReport) -> None:
        calls.append(1)
        if len(calls) == 3:
            third.set()
        raise RuntimeError("planted")

    monitor = HealthMonitor([ScriptedCheck()], interval=0.001, on_result=fail)
    monitor.start()
    assert third.wait(60)
    monitor.stop(60)
    assert "the health checks could not be run" in caplog.text
