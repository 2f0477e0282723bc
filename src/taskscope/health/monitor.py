"""Runs the checks: all at the start and at each interval, each once however many ask, each within its time.

The monitor makes the span of a run: of the first, of each change, of each failure, of a healthy check once
an hour; every other run is a reading for the metrics. What a check does is recorded below its span, unless it
was well the last time: a gateway leaves healthy probes out, and what is below them would stand alone. A check
runs on a thread of its own; one that does not come back in time is a failure, and is not begun again while
its thread hangs.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import threading
import time
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context

from taskscope.semconv import attributes as attr
from taskscope.semconv import events
from taskscope.semconv import spans as names
from taskscope.store.records import HealthReading
from taskscope.telemetry import spans
from taskscope.telemetry.context import attach, detach
from taskscope.telemetry.events import emit_event
from taskscope.telemetry.failures import class_name
from taskscope.telemetry.providers import get_providers

from .checks import CheckResult
from .report import CheckReport, HealthReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .checks import Check, Status

HEALTHY_SPAN_INTERVAL_S = 3600.0
"""How often a check that stays healthy gets a span."""
_LATE_CYCLES = 3
"""Intervals without a finished cycle after which the monitor itself does not live."""

_logger = logging.getLogger(__name__)


class HealthMonitor:
    """The checks of this process and what they found; safe for threads."""

    def __init__(
        self,
        checks: Sequence[Check],
        *,
        interval: float = 30.0,
        submit: Callable[[HealthReading], object] | None = None,
        on_result: Callable[[CheckReport], object] | None = None,
        on_transition: Callable[[CheckReport, Status | None], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the checks; nothing runs yet.

        `submit` gets the readings of runs without a span. `on_result` hears of each run, `on_transition` of
        each change of status, with the status before, and of a first one that is no pass.
        """
        self._entries = [_Entry(check) for check in checks]
        self._interval = interval
        self._submit = submit
        self._on_result = on_result
        self._on_transition = on_transition
        self._clock = clock
        self._cycle = threading.Lock()
        self._cycles = 0
        self._last_cycle = clock()
        self._longest = max((check.timeout for check in checks), default=0.0)
        self._stopping = threading.Event()
        self._is_draining = False
        self._thread: threading.Thread | None = None

    # --- running

    def start(self) -> None:
        """Run all checks now and at each interval, on a thread; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="taskscope-health", daemon=True)
            self._thread.start()

    def drain(self) -> None:
        """Let `ready` fail from now on: this process is about to end."""
        self._is_draining = True

    def stop(self, timeout: float = 1.0) -> None:
        """Run no more; a check that hangs is left behind."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def run_all(self) -> HealthReport:
        """Run all checks once and return what they found; who comes meanwhile gets the same results."""
        seen = self._cycles
        with self._cycle:
            if self._cycles == seen:
                self._run_cycle()
                self._cycles += 1
                self._last_cycle = self._clock()
        return self.report()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.run_all()
            except Exception:  # the border: one bad cycle must not end the watch
                _logger.exception("the health checks could not be run")
            self._stopping.wait(self._interval)

    def _run_cycle(self) -> None:
        """Begin all, settle each as it ends or is late: five that hang cost one timeout, not five."""
        ended: queue.SimpleQueue[_Run] = queue.SimpleQueue()
        waiting = {run: entry for entry in self._entries if (run := self._begin(entry, ended)) is not None}
        while waiting:
            first = min(run.deadline for run in waiting)
            with contextlib.suppress(queue.Empty):
                run = ended.get(timeout=max(first - time.monotonic(), 0))
                if run in waiting and run.result is not None:
                    self._settle(waiting.pop(run), run, run.result)
                    continue
            for run in [run for run in waiting if run.deadline <= time.monotonic()]:
                entry = waiting.pop(run)
                entry.stuck = run
                self._settle(entry, run, CheckResult("fail", f"no answer within {entry.check.timeout:g} s"))

    def _begin(self, entry: _Entry, ended: queue.SimpleQueue[_Run]) -> _Run | None:
        """Start a run; None where an earlier one still hangs, which is settled as a failure at once."""
        if entry.is_stuck:
            result = CheckResult("fail", "an earlier run still hangs, so that it was not begun again")
            self._settle(entry, _Run(entry.check, None, ended), result)
            return None
        entry.stuck = None
        span = None
        if not entry.is_well and entry.is_due(self._clock()):
            span = _make_span(entry.check)
            span.start()
        run = _Run(entry.check, span, ended)
        run.start()
        return run

    def _settle(self, entry: _Entry, run: _Run, result: CheckResult) -> None:
        previous = entry.report.status if entry.report else None
        failures = entry.failures + 1 if result.status == "fail" else 0
        duration = (run.ended or time.monotonic()) - run.began  # of one that is late: so far
        entry.failures = failures
        is_change = previous is None or previous != result.status
        span = run.span
        if span is None and (is_change or result.status == "fail" or entry.is_due(self._clock())):
            span = _make_span(entry.check, started_ns=run.began_ns)
            span.start()
        if span is not None:
            entry.span_at = self._clock()
            _end_span(span, run, result, failures)
        entry.report = _report(entry, result, duration)
        if span is None and self._submit is not None:
            self._submit(_reading(entry.report))
        self._tell(entry.report, previous, span, is_change=is_change)

    def _tell(
        self, report: CheckReport, previous: Status | None, span: spans.HealthSpan | None, *, is_change: bool
    ) -> None:
        if is_change and (previous is not None or report.status != "pass"):
            emit_event(
                events.HEALTH_STATUS_CHANGED,
                {
                    attr.HEALTH_CHECK: report.name,
                    attr.HEALTH_STATUS: report.status,
                    attr.HEALTH_PREVIOUS_STATUS: previous,
                    attr.HEALTH_CONSECUTIVE_FAILURES: report.consecutive_failures,
                },
                severity=events.HEALTH_SEVERITIES.get(report.status, events.INFO),
                context=span.context if span else None,
            )
            _call(self._on_transition, report, previous)
        _call(self._on_result, report)

    # --- what is known

    def report(self, group: str | None = None) -> HealthReport:
        """Return what the latest runs found, of all checks or of one group; runs nothing."""
        checks = tuple(entry.known() for entry in self._entries)
        if group == "live":
            checks = (self._own_life(), *checks)
        if group is None:
            return HealthReport(checks)
        chosen = tuple(check for check in checks if group in check.groups)
        if not chosen:
            return HealthReport((), f"no check belongs to {group}")
        return HealthReport(chosen, "it is about to end" if group == "ready" and self._is_draining else "")

    def _own_life(self) -> CheckReport:
        """Whether the monitor keeps its rhythm: what `live` asks, which depends on nothing else."""
        silence = self._clock() - self._last_cycle
        is_late = silence > _LATE_CYCLES * self._interval + self._longest
        return CheckReport(
            name="monitor",
            status="fail" if is_late else "pass",
            detail=f"no check has run for {silence:.0f} s" if is_late else "",
            groups=("live",),
            required=True,
            time_ns=get_providers().clock(),
            duration_s=0.0,
            consecutive_failures=0,
        )


class _Entry:
    """What is known of one check."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.report: CheckReport | None = None
        self.failures = 0
        self.span_at: float | None = None
        self.stuck: _Run | None = None

    @property
    def is_stuck(self) -> bool:
        """Whether a run that came too late still holds its thread."""
        return self.stuck is not None and not self.stuck.has_ended

    @property
    def is_well(self) -> bool:
        """Whether the latest run found nothing."""
        return self.report is not None and self.report.status == "pass"

    def is_due(self, now: float) -> bool:
        """Whether the next run gets a span whatever it finds."""
        if self.report is None or self.span_at is None or self.report.status == "fail":
            return True
        return now - self.span_at >= HEALTHY_SPAN_INTERVAL_S

    def known(self) -> CheckReport:
        """Return the latest run, or that there was none."""
        return self.report or _report(self, CheckResult("fail", "has not run yet"), 0.0, has_run=False)


class _Run:
    """One run of a check on a thread; what it raises is kept, whatever it is."""

    def __init__(self, check: Check, span: spans.HealthSpan | None, ended: queue.SimpleQueue[_Run]) -> None:
        self.span = span
        self.began = time.monotonic()
        self.deadline = self.began + check.timeout
        self.began_ns = get_providers().clock()
        self.ended: float | None = None
        self.result: CheckResult | None = None
        self.error: BaseException | None = None
        self._check = check
        self._queue = ended
        self._context = span.context if span is not None else _unrecorded()

    @property
    def has_ended(self) -> bool:
        """Whether its thread is free."""
        return self.ended is not None

    def start(self) -> None:
        """Begin, on a daemon thread: one that hangs must not hold the end of the process."""
        threading.Thread(target=self._run, name=f"taskscope-check-{self._check.name}", daemon=True).start()

    def _run(self) -> None:
        token = attach(self._context)
        try:
            result = self._check.run()
        except BaseException as error:  # noqa: BLE001  the border: a check may raise what it likes
            self.error = error
            # The message may hold a secret (a URL with a password): it goes to the log, redacted.
            result = CheckResult("fail", f"raised {class_name(type(error))}")
        detach(token)
        self.ended = time.monotonic()
        self.result = result
        self._queue.put(self)


def _call(listener: Callable[..., object] | None, *arguments: object) -> None:
    """Tell a listener, if there is one; what it raises must not keep the other checks from being told."""
    try:
        if listener is not None:
            listener(*arguments)
    except Exception:  # the border to whoever listens
        _logger.exception("a listener of the health checks failed")


def _make_span(check: Check, *, started_ns: int | None = None) -> spans.HealthSpan:
    return spans.health_check(
        check.name, group=check.groups[0], required=check.required, started_ns=started_ns
    )


def _end_span(span: spans.HealthSpan, run: _Run, result: CheckResult, failures: int) -> None:
    is_late = result is not run.result
    span.finish(
        result.status,
        consecutive_failures=failures,
        description=result.detail,
        error_type=names.ERROR_TIMEOUT if is_late else None,
    )
    span.end(None if is_late else run.error)


def _report(entry: _Entry, result: CheckResult, duration: float, *, has_run: bool = True) -> CheckReport:
    check = entry.check
    return CheckReport(
        name=check.name,
        status=result.status,
        detail=result.detail,
        groups=tuple(check.groups),
        required=check.required,
        time_ns=get_providers().clock() if has_run else None,
        duration_s=duration,
        consecutive_failures=entry.failures,
        stuck_runs=int(entry.is_stuck),
    )


def _reading(report: CheckReport) -> HealthReading:
    return HealthReading(report.name, report.groups[0], report.status, report.time_ns or 0, report.duration_s)


def _unrecorded() -> Context:
    """Return a context whose span is not sampled: what a healthy check does makes no spans without a root."""
    parent = trace.SpanContext(
        trace_id=secrets.randbits(128) | 1,
        span_id=secrets.randbits(64) | 1,
        is_remote=False,
        trace_flags=trace.TraceFlags(trace.TraceFlags.DEFAULT),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
