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


class CountingLock:
    """A lock that tells how many have come, those who still wait among them."""

    def __init__(self, expected: int) -> None:
        self.everybody_came = threading.Event()
        self._left = expected
        self._count, self._lock = threading.Lock(), threading.Lock()

    def __enter__(self) -> None:
        with self._count:
            self._left -= 1
            if not self._left:
                self.everybody_came.set()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_two_hundred_who_ask_at_once_cause_one_run() -> None:
    """Who comes while a cycle runs gets its results."""
    gate = CountingLock(200)

    def look() -> CheckResult:
        gate.everybody_came.wait()
        return PASS

    check = ScriptedCheck(look)
    monitor = HealthMonitor([check])
    monitor._cycle = gate  # type: ignore[assignment]  # to know when all of them wait
    with ThreadPoolExecutor(200) as pool:
        found = {one.result().status for one in [pool.submit(monitor.run_all) for _ in range(200)]}
    assert (found, check.runs) == ({"pass"}, 1)


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


def test_a_listener_that_raises_keeps_no_check_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    """Its mistakes are logged; every check is settled, and every listener called."""
    told: list[str] = []

    def fail(report: CheckReport, *_: object) -> None:
        told.append(report.name)
        raise RuntimeError("planted")

    checks = [ScriptedCheck(FAIL, name="a"), ScriptedCheck(name="b")]
    report = HealthMonitor(checks, on_result=fail, on_transition=fail).run_all()
    assert sorted(told) == ["a", "a", "b"]
    assert {check.name: check.status for check in report.checks} == {"a": "fail", "b": "pass"}
    assert caplog.text.count("a listener of the health checks failed") == 3


def test_a_cycle_that_cannot_run_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    """A host without room for another thread is logged, and the next interval tries again."""
    third = threading.Event()

    class Unstartable(ScriptedCheck):
        timeout_reads = 0

        @property
        def timeout(self) -> float:
            self.timeout_reads += 1
            if self.timeout_reads >= 4:
                third.set()
            if self.timeout_reads >= 2:  # the first reading is that of the monitor's start
                raise RuntimeError("planted")
            return 1.0

        @timeout.setter
        def timeout(self, _seconds: float) -> None:
            pass

    monitor = HealthMonitor([Unstartable()], interval=0.001)
    monitor.start()
    assert third.wait(60)
    monitor.stop(60)
    assert "the health checks could not be run" in caplog.text
