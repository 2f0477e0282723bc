"""Carries one destination's records there: one request at a time, each answer understood and accounted for.

Nothing here waits or runs by itself; `loop.py` says when. Whoever calls `step` holds the destination's lock.
"""

from __future__ import annotations

import enum
import logging
import random
import time
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from taskscope.store.outbox import METRICS, Batch, Outbox, Request

from .http import Client
from .metrics import build_requests, make_resource
from .otlp import CONTENT_TYPE, Judgement, Verdict, build_request, judge, judge_error

if TYPE_CHECKING:
    from taskscope.store.aggregates import MetricPoint

    from .destinations import Destination, Endpoint

BATCH_BYTES = 1 << 20
"""No larger batch is made, unless one record alone is larger."""
BATCH_RECORDS = 2048
_FRAME_BYTES = 16
"""What a record's tag and length take at most, and its share of the frame around it."""
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0
_LONGEST_PAUSE_FOR_A_PERSON_S = 300.0
_WARNING_INTERVAL_S = 60.0
_LAST_INTERVAL_S = 1.0
"""How often metrics are sent at most by programs that end one after the other."""
_LEVEL = 3
"""Of zlib: 0.6 us for a span of ten attributes, where 6 takes 1.2."""
_NS = 1_000_000_000

_logger = logging.getLogger("taskscope.shipper")


class Step(enum.Enum):
    """What became of one step."""

    SENT = "sent"
    """Something was accounted for, and more may wait."""
    HELD = "held"
    """The destination takes nothing now."""
    STUCK = "stuck"
    """The destination takes nothing until a person does something."""
    IDLE = "idle"
    """Nothing waits."""


class Limits:
    """How large the next batch of a signal may be: halved to find what a destination refuses."""

    def __init__(self) -> None:
        self.records = BATCH_RECORDS
        self.size_bytes = BATCH_BYTES

    def shrink(self, batch: Batch, *, is_too_large: bool) -> None:
        """Let the next batch be half of this one; a size that was too large once is so for good."""
        if is_too_large:
            self.size_bytes = sum(len(entry.body) for entry in batch.entries) // 2
        else:
            self.records = len(batch.entries) // 2

    def grow(self) -> None:
        """Let batches become larger again."""
        self.records = min(self.records * 2, BATCH_RECORDS)

    def reset(self) -> None:
        """Begin anew: what was looked for is found."""
        self.records = BATCH_RECORDS


class Courier:
    """The requests of one destination; for one thread, but `abort` may come from any."""

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        *,
        redact: Callable[[str], str] = str,
        metrics_interval_s: float = 60.0,
        resource: Mapping[str, str] | None = None,
        service_name: str = "",
        own_points: Callable[[], list[MetricPoint]] = list,
    ) -> None:
        self.destination = destination
        self.outbox = outbox
        self.answered_s: float | None = None
        """How long the destination took for the last request that it took; None before the first one."""
        self._redact = redact
        self._metrics_interval_s = metrics_interval_s
        self._resource = dict(resource or {})
        self._service_name = service_name
        self._own_points = own_points
        self._limits = {signal: Limits() for signal in destination.endpoints}
        self._clients: dict[tuple[object, ...], Client] = {}
        self._owed: Callable[[], None] | None = None
        self._told: dict[str, float] = {}
        self._is_aborted = False
        self.problems: dict[str, str] = {}
        """By signal, what stands in its way, in words."""

    # --- for the loop

    def begin(self) -> None:
        """Have a cursor for every signal; StoreError or sqlite3.Error as from every method."""
        self.outbox.register(self.destination.endpoints, self._service_name)

    def step(self, signal: str, *, is_urgent: bool = False, is_last: bool = False) -> Step:
        """Make the next request of a signal, if there is one to make now.

        `is_urgent` tries a destination that is being waited for, and sends metrics before they are due; so
        does `is_last`, for nobody may be there when they are.
        """
        if self._owed is not None:  # first: a batch that arrived must not be sent again
            self._settle(self._owed)
        cursor = self.outbox.cursor(signal)
        if not is_urgent and _is_ahead(cursor.held_until_ns):
            return Step.HELD
        if signal == METRICS:
            interval_s = _LAST_INTERVAL_S if is_last else self._metrics_interval_s
            return self._send_metrics(is_due=is_urgent or _is_due(cursor.succeeded_ns, interval_s))
        limits = self._limits[signal]
        size_bytes = limits.size_bytes - _FRAME_BYTES * min(limits.records, BATCH_RECORDS)
        batch = self.outbox.read(signal, records=limits.records, size_bytes=max(size_bytes, 1))
        if not batch.entries:
            if batch.last > batch.after:  # what was there is gone
                self.outbox.settle(batch, None)
            return Step.IDLE
        judgement, request = self._post(signal, build_request(batch.entries, self.outbox.source))
        return self._take(batch, judgement, request)

    def next_attempt_s(self) -> float:
        """Seconds until something may have to be done though nobody calls."""
        waits = []
        for signal in self.destination.endpoints:
            held_s = self.held_s(signal)
            if signal == METRICS:
                sent_ns = self.outbox.cursor(signal).succeeded_ns or 0
                due_s = self._metrics_interval_s - (time.time_ns() - sent_ns) / _NS
                waits.append(max(held_s, min(due_s, self._metrics_interval_s)))
            elif held_s:
                waits.append(held_s)
        return min(max(min(waits, default=_LONGEST_PAUSE_S), 0.05), _LONGEST_PAUSE_S)

    def held_s(self, signal: str) -> float:
        """Seconds that a signal is still to be held."""
        until = self.outbox.cursor(signal).held_until_ns
        return (until - time.time_ns()) / _NS if _is_ahead(until) else 0.0

    def pending(self) -> int:
        """How many records are still to be sent; StoreError when nobody can tell."""
        return sum(self.outbox.pending(signal) for signal in self.destination.endpoints if signal != METRICS)

    def abort(self) -> None:
        """End the request that is on its way, for good."""
        self._is_aborted = True
        for client in list(self._clients.values()):
            client.abort()

    def close(self) -> None:
        """Let connections go."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self.outbox.close()

    # --- one request

    def _post(self, signal: str, body: bytes) -> tuple[Judgement, Request]:
        endpoint = self.destination.endpoints[signal]
        began = time.monotonic()
        try:
            headers = {"User-Agent": "taskscope", **endpoint.headers, "Content-Type": CONTENT_TYPE}
            if endpoint.is_compressed:
                headers["Content-Encoding"] = "gzip"
                body = _pack(body)
            answer = self._find_client(endpoint).post(endpoint.url, body, headers, endpoint.timeout_s)
            judgement = judge(answer, signal, endpoint)
        except Exception as error:  # noqa: BLE001  whatever the network makes of it, the records stay
            judgement = judge_error(error, endpoint)
        seconds = time.monotonic() - began
        if judgement.verdict is Verdict.TAKEN:
            self.answered_s = seconds
        if judgement.problem:
            problem = self._redact(f"{endpoint.shown_url}: {judgement.problem}")
            judgement = judgement._replace(problem=problem)
        return judgement, Request(seconds, judgement.error_type)

    def _find_client(self, endpoint: Endpoint) -> Client:
        key = endpoint.origin, endpoint.certificate, endpoint.client_certificate, endpoint.client_key
        if key not in self._clients:
            self._clients[key] = Client(endpoint)
        return self._clients[key]

    def _take(self, batch: Batch, judgement: Judgement, request: Request) -> Step:
        """Account for an answer."""
        limits = self._limits[batch.signal]
        if judgement.verdict is Verdict.TAKEN:
            limits.grow()
            self._accept(batch, judgement, request)
        elif judgement.verdict is not Verdict.RECORD:
            return self._hold(batch.signal, judgement, request)
        elif len(batch.entries) > 1:
            limits.shrink(batch, is_too_large=judgement.reason == "too_large")
            self.outbox.note(batch.signal, request)
        elif self._is_sound(batch.signal):
            limits.reset()
            self._set_apart(batch, judgement, request)
        else:
            return self._hold(batch.signal, judgement, request)
        return Step.SENT

    def _accept(self, batch: Batch, judgement: Judgement, request: Request) -> None:
        rejected, problem = judgement.rejected, judgement.problem
        self.problems.pop(batch.signal, None)
        self._settle(lambda: self.outbox.settle(batch, request, rejected=rejected, problem=problem))
        self._tell_success(judgement)

    def _set_apart(self, batch: Batch, judgement: Judgement, request: Request) -> None:
        reason, problem = judgement.reason, judgement.problem
        self._settle(lambda: self.outbox.quarantine(batch, request, reason=reason, problem=problem))
        self._warn("quarantine", f"a record is in quarantine: {problem}; see `taskscope records`")

    def _is_sound(self, signal: str) -> bool:
        """Whether a refusal speaks of the record: the destination took others, or takes a request of none.

        Otherwise a wrong endpoint that answers 400 to everything would fill the quarantine.
        """
        if self.outbox.cursor(signal).succeeded_ns is not None:
            return True
        judgement, request = self._post(signal, b"")
        self.outbox.note(signal, request)
        return judgement.verdict is Verdict.TAKEN

    def _settle(self, change: Callable[[], None]) -> None:
        """Write down what a destination said; what cannot be written now comes before the next request."""
        self._owed = change
        change()
        self._owed = None

    def _hold(self, signal: str, judgement: Judgement, request: Request) -> Step:
        """Wait as long as the server asks, else twice as long each time, with jitter; endless but bounded."""
        self.problems[signal] = judgement.problem
        if self._is_aborted:  # by us: it says nothing of the destination
            return Step.HELD
        is_lasting = judgement.verdict is not Verdict.LATER
        longest = _LONGEST_PAUSE_FOR_A_PERSON_S if is_lasting else _LONGEST_PAUSE_S
        failures = min(self.outbox.cursor(signal).failures, 30)
        pause = min(_FIRST_PAUSE_S * 2**failures, longest) * random.uniform(0.5, 1)  # noqa: S311  jitter
        seconds = max(judgement.wait_s or 0.0, pause)
        self.outbox.hold(signal, request, seconds=seconds, problem=judgement.problem)
        self._warn(judgement.error_type, f"{judgement.problem}; records are kept and sent later")
        return Step.STUCK if is_lasting else Step.HELD

    # --- metrics

    def _send_metrics(self, *, is_due: bool) -> Step:
        if not is_due:
            return Step.IDLE
        points, identity = self.outbox.aggregates()
        resource = make_resource(identity.instance, identity.service_name, self._resource)
        times_ns = identity.created_ns, time.time_ns()
        judgement, request = Judgement(Verdict.TAKEN), Request(0.0)
        limits = self._limits[METRICS]
        for body in build_requests(
            [*points, *self._own_points()], resource, times_ns, size_bytes=limits.size_bytes
        ):
            judgement, request = self._post(METRICS, body)
            if judgement.verdict is not Verdict.TAKEN:
                if judgement.reason == "too_large":
                    limits.size_bytes = max(len(body) // 2, 1)
                return self._hold(METRICS, judgement, request)
        self.problems.pop(METRICS, None)
        self.outbox.note_metrics(request, judgement.problem)
        self._tell_success(judgement)
        return Step.IDLE

    # --- words

    def _warn(self, kind: str, sentence: str) -> None:
        """Warn once of each kind of problem, until it is over."""
        if kind not in self._told:
            self._told[kind] = time.monotonic()
            _logger.warning("taskscope: destination %s: %s", self.destination.name, sentence)

    def _tell_success(self, judgement: Judgement) -> None:
        if judgement.problem:
            self._warn("partial", judgement.problem)
        elif self._told and time.monotonic() - max(self._told.values()) > _WARNING_INTERVAL_S:
            self._told.clear()


def _is_due(succeeded_ns: int | None, interval_s: float) -> bool:
    """Whether the interval is over; a clock that was set back counts as such."""
    return succeeded_ns is None or not 0 <= time.time_ns() - succeeded_ns < interval_s * _NS


def _is_ahead(time_ns: int) -> bool:
    """Whether a moment is still to come; one beyond all that we wait is of a clock that was set back."""
    return 0 < time_ns - time.time_ns() < 2 * 600 * _NS


def _pack(body: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, wbits=31)  # 31: gzip
    return packer.compress(body) + packer.flush()
