"""One thread that takes records from a bounded queue to the store; the application never waits for it.

While the store cannot be written (full disk, no rights, newer version), records stay in the queue, one
warning is given, and the thread tries again after 0.5 to 30 s and at every flush: when the store is back,
it goes on with what it kept. What no longer fits is dropped and counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Protocol

from taskscope.errors import StoreError
from taskscope.store.ingest import Accounts
from taskscope.store.records import STATUS_ERROR, LogRecord, Record, SpanRecord

QUEUE_LIMIT_BYTES = 8 * 1024 * 1024
_ORDINARY_SHARE = 0.75
"""Of the queue, for records that are neither roots nor errors nor ends of what is on record as open."""
_WINDOW_S = 0.1
_BEAT_S = 1.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_BATCH_RECORDS = 4096

_logger = logging.getLogger(__name__)


class Session(Protocol):
    """What the writer writes to: `store.session.StoreSession`."""

    @property
    def has_open_spans(self) -> bool:
        """Whether spans are on record as open."""

    def write(self, batch: list[Record], accounts: Accounts) -> None:
        """Store a batch, whole or not at all."""

    def recover(self) -> int:
        """Close what dead processes left open."""

    def beat(self) -> None:
        """Give a sign of life."""

    def suspend(self) -> None:
        """Let the connection go until the next write."""

    def close(self) -> None:
        """End."""


class Writer:
    """The queue and its thread; `make_session` is called anew in every forked child."""

    def __init__(
        self,
        make_session: Callable[[], Session],
        *,
        limit_bytes: int = QUEUE_LIMIT_BYTES,
        drain_errors: Callable[[], Mapping[tuple[str, str], int]] | None = None,
        on_stored: Callable[[], object] | None = None,
    ) -> None:
        self._make_session = make_session
        self._drain_errors = drain_errors or dict
        self._limit_bytes = limit_bytes
        self._on_stored = on_stored
        self._inherited: list[object] = []
        self._begin()
        _WRITERS.add(self)

    def _begin(self) -> None:
        """Set up everything that belongs to one process."""
        # Re-entrant: a signal handler or a finalizer may end a span while this thread is in `submit`.
        self._lock = threading.RLock()
        self._store_lock = threading.Lock()
        self._settled = threading.Condition(threading.Lock())
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._queue: list[Record] = []
        self._queue_bytes = 0
        self._submitted = 0
        self._written = 0
        self._lost = 0
        self._attempts_begun = 0
        self._attempts_ended = 0
        self._accounts = Accounts()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._is_closing = False
        self._is_closed = False
        self._forced = False
        self._pause_s = 0.0
        self._try_again_at = 0.0
        self._has_warned = False

    # --- the application's side

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to write failed, so that records are kept in memory."""
        return self._pause_s > 0

    @property
    def queue_bytes(self) -> int:
        """About how much memory the waiting records take."""
        return self._queue_bytes

    def submit(self, record: Record, *, is_urgent: bool = False) -> None:
        """Take a record, or drop and count it when the queue is full; never blocks, never raises."""
        size = record.size_bytes
        with self._lock:
            self._submitted += 1
            _count_emitted(self._accounts, record)
            limit = self._limit_bytes if _is_precious(record) else self._limit_bytes * _ORDINARY_SHARE
            if self._is_closed or self._queue_bytes + size > limit:
                self._drop(record, "shutdown" if self._is_closed else "queue_full")
                return
            self._queue.append(record)
            self._queue_bytes += size
            is_first = len(self._queue) == 1
        if is_urgent:
            self._urgent.set()
        if is_urgent or is_first:
            self._wake.set()
        if self._thread is None:
            self._start()

    def count_error(self, component: str, error_type: str) -> None:
        """Count an error that a guard kept from the host; stored with the next batch."""
        with self._lock:
            self._accounts.errors[component, error_type] += 1

    def count_drop(self, signal: str, reason: str) -> None:
        """Count a record that could not even be made."""
        with self._lock:
            self._submitted += 1
            self._lost += 1
            self._accounts.emitted[signal] += 1
            self._accounts.dropped[signal, reason] += 1

    def flush(self, timeout: float) -> bool:
        """Whether all submitted before is stored, within `timeout` seconds, and none was lost meanwhile."""
        deadline = time.monotonic() + timeout
        with self._lock:
            goal, lost, begun = self._submitted, self._lost, self._attempts_begun
            if self._written + self._lost >= goal and not self._accounts:
                return True
            if self._thread is None and not self._is_closed:
                self._start()
            self._forced = True
        self._urgent.set()
        self._wake.set()
        with self._settled:
            # Of the attempts only one that began after this call has seen all of our records.
            self._settled.wait_for(
                lambda: (
                    self._is_done(goal)
                    or self._is_closed
                    or (self.is_failing and self._attempts_ended > begun)
                ),
                max(deadline - time.monotonic(), 0),
            )
        with self._lock:
            return self._is_done(goal) and self._lost == lost

    def _is_done(self, goal: int) -> bool:
        return self._written + self._lost >= goal

    def shutdown(self, timeout: float) -> bool:
        """Flush, stop the thread and leave the store; the truth about the flush, within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        is_flushed = self.flush(timeout)
        with self._lock:
            self._is_closing = True
            thread = self._thread
        self._urgent.set()
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(deadline - time.monotonic(), 0))
        with self._lock:
            self._is_closed = True
            for record in self._queue:
                self._drop(record, "shutdown")
            left, self._queue, self._queue_bytes = len(self._queue), [], 0
        if left:
            _logger.warning("taskscope: %d records were not stored before the end and are lost", left)
        _WRITERS.discard(self)
        return is_flushed and not left

    def _drop(self, record: Record, reason: str) -> None:
        self._lost += 1
        signal = _signal_of(record)
        if signal:
            self._accounts.dropped[signal, reason] += 1

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._is_closed:
                thread = threading.Thread(target=self._run, name="taskscope-writer", daemon=True)
                with contextlib.suppress(
                    RuntimeError
                ):  # no thread to be had now: the next record tries again
                    thread.start()
                    self._thread = thread

    # --- the thread's side

    def _run(self) -> None:
        while not self._is_closing:
            with contextlib.suppress(Exception):
                self._turn()
        with self._store_lock:
            self._write_all()
            if self._session is not None:
                self._session.close()
                self._session = None

    def _turn(self) -> None:
        """Wait for records, gather more for a moment, write them."""
        session = self._session
        self._wake.wait(_BEAT_S if session is not None and session.has_open_spans else self._pause_s or None)
        if not self._urgent.is_set():
            self._urgent.wait(_WINDOW_S)
        self._wake.clear()
        self._urgent.clear()
        with self._store_lock:
            if self._forced or time.monotonic() >= self._try_again_at:
                self._write_all()
            if self._session is not None and self._session.has_open_spans:
                self._session.beat()
        if self._pause_s and not self._is_closing:
            self._urgent.wait(max(self._try_again_at - time.monotonic(), 0))
            self._wake.set()

    def _write_all(self) -> None:
        """Write until the queue is empty or the store refuses."""
        self._forced = False
        errors = self._drain_errors()
        while True:
            with self._lock:
                self._accounts.errors.update(errors)
                errors = {}
                batch, self._queue = self._queue[:_BATCH_RECORDS], self._queue[_BATCH_RECORDS:]
                accounts, self._accounts = self._accounts, Accounts()
                self._attempts_begun += 1
            is_written = self._try(batch, accounts) if batch or accounts else True
            with self._settled:
                self._attempts_ended += 1
                self._settled.notify_all()
            if not is_written or not self._queue:
                return

    def _try(self, batch: list[Record], accounts: Accounts) -> bool:
        began = time.monotonic()
        try:
            self._write(batch, accounts)
        except BaseException as error:  # noqa: BLE001  the border to the host
            with self._lock:
                self._queue[:0] = batch
                self._accounts.add(accounts)
                self._accounts.errors["store", type(error).__name__] += 1
            self._hold(error)
            return False
        self._resume(time.monotonic() - began)
        return True

    def _write(self, batch: list[Record], accounts: Accounts) -> None:
        """Write a batch and take from it what is stored; halved around a bad record until that is alone."""
        if self._session is None:
            self._session = self._make_session()
        size = len(batch)
        while batch or accounts:
            part = batch[:size]
            try:
                self._session.write(part, accounts)
            except Exception as error:
                if _is_unusable(error) or not part:
                    raise
                size = len(part) // 2
                if not size:
                    self._refuse(part[0], error)
                    del batch[:1]
                    size = len(batch)
                continue
            _clear(accounts)
            self._note_written(part)
            del batch[:size]
            size = len(batch)

    def _refuse(self, record: Record, error: Exception) -> None:
        """Drop a record that the store cannot take, and say so in the counts."""
        with self._lock:
            self._drop(record, "encode_error")
            self._accounts.errors["store", type(error).__name__] += 1
            self._queue_bytes -= record.size_bytes

    def _note_written(self, batch: list[Record]) -> None:
        if self._on_stored is not None:
            # First: who waits in `flush` and then asks whether all is sent finds that somebody was told.
            with contextlib.suppress(Exception):
                self._on_stored()
        with self._lock:
            self._written += len(batch)
            self._queue_bytes -= sum(record.size_bytes for record in batch)

    def _hold(self, error: BaseException) -> None:
        self._pause_s = min(self._pause_s * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._try_again_at = time.monotonic() + self._pause_s
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "taskscope: the store cannot be written (%s); telemetry is kept in memory, up to %d MiB",
                error, self._limit_bytes >> 20,
            )  # fmt: skip

    def _resume(self, seconds: float) -> None:
        self._pause_s = self._try_again_at = 0.0
        with self._lock:
            self._accounts.write_durations_s.append(seconds)

    # --- around a fork

    def _before_fork(self) -> None:
        self._store_lock.acquire()
        self._lock.acquire()
        if self._session is not None:
            with contextlib.suppress(sqlite3.Error):
                self._session.suspend()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()
        self._store_lock.release()

    def _after_fork_in_child(self) -> None:
        # Not closed and not collected: descriptors and locks in there are the parent's.
        self._inherited.extend((self._session, self._thread, self._lock, self._store_lock, self._queue))
        is_closed = self._is_closed
        self._begin()
        self._is_closed = is_closed


def _clear(accounts: Accounts) -> None:
    for counts in (accounts.emitted, accounts.dropped, accounts.errors, accounts.write_durations_s):
        counts.clear()


def _count_emitted(accounts: Accounts, record: Record) -> None:
    signal = _signal_of(record)
    if signal:
        accounts.emitted[signal] += 1


def _signal_of(record: Record) -> str | None:
    """The signal that a record counts in; the start of a span is a preview, its end is the record."""
    if isinstance(record, SpanRecord):
        return None if record.is_open else "traces"
    return "logs" if isinstance(record, LogRecord) else None


def _is_precious(record: Record) -> bool:
    """Roots, errors, notes and ends of what would stay open for ever: the last to be dropped."""
    if isinstance(record, SpanRecord):
        return record.parent_id is None or record.status_code == STATUS_ERROR or record.was_open
    return not isinstance(record, LogRecord) or record.severity_number >= _SEVERITY_ERROR


_SEVERITY_ERROR = 17


def _is_unusable(error: Exception) -> bool:
    """Whether an error speaks of the store and not of a record."""
    if isinstance(error, StoreError | OSError | sqlite3.OperationalError | sqlite3.InternalError):
        return True
    return type(error) is sqlite3.DatabaseError  # "file is not a database", "malformed"


_WRITERS: weakref.WeakSet[Writer] = weakref.WeakSet()


def _each(step: str) -> None:
    for writer in list(_WRITERS):
        getattr(writer, step)()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _each("_before_fork"),
        after_in_parent=lambda: _each("_after_fork_in_parent"),
        after_in_child=lambda: _each("_after_fork_in_child"),
    )
