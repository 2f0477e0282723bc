"""One thread that takes records from the journal to the store; the application never waits for it.

While the store cannot be written (full disk, no rights, newer version), records stay in the journal, one
warning is given, and the thread tries again after 0.5 to 30 s and at every flush: when the store is back, it
goes on with what was kept. What no longer fits is dropped and counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from taskscope.errors import StoreError
from taskscope.store import journals
from taskscope.store.accounts import Accounts
from taskscope.store.decoding import decode

if TYPE_CHECKING:
    from taskscope.store.processes import ProcessLock
    from taskscope.store.records import Record

    from .journal import Batch, Journal

_WINDOW_S = 0.1
"""How long records are gathered before a transaction."""
_BEAT_S = 1.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_BATCH_RECORDS = 4096
_FORK_PATIENCE_S = 1.0
"""How long a fork waits for a transaction to end; then the child keeps clear of the open database."""

_SIGNALS = {journals.SPAN: "traces", journals.LOG: "logs"}

_logger = logging.getLogger(__name__)


class Session(Protocol):
    """What the writer writes to: `store.session.StoreSession`."""

    @property
    def has_open_spans(self) -> bool:
        """Whether spans are on record as open."""

    def write(self, batch: list[Record], accounts: Accounts, *, journal_seq: int) -> None:
        """Store a batch, whole or not at all."""

    def beat(self) -> None:
        """Give a sign of life."""

    def suspend(self) -> None:
        """Let the connection go until the next write."""

    def close(self, *, is_done: bool) -> None:
        """End; `is_done` unless something is left in the journal."""


class OpenSpans(Protocol):
    """Who knows which spans are open: `sink.RecordingSink`."""

    def sweep(self) -> float | None:
        """Record the starts of those open for long; seconds until the next one is due."""

    def before_fork(self) -> None:
        """Record their starts: what a child makes may belong below any of them."""

    def begin_in_child(self) -> None:
        """Forget them: they are the parent's."""


class Writer:
    """The thread behind a journal; `make_session` is called anew in every forked child."""

    def __init__(
        self,
        journal: Journal,
        make_session: Callable[[Callable[[], ProcessLock | None]], Session],
        *,
        drain_errors: Callable[[], Mapping[tuple[str, str], int]] | None = None,
        on_stored: Callable[[], object] = lambda: None,
    ) -> None:
        """`on_stored` is called after each transaction, on the writer's thread.

        `make_session` gets what finds the lock that this process holds.
        """
        self._journal = journal
        self._make_session = make_session
        self._drain_errors = drain_errors or dict
        self._spans: OpenSpans | None = None
        self._on_stored = on_stored
        journal.wake = self.wake
        self._inherited: list[object] = []
        self._begin()
        _WRITERS.add(self)

    def _begin(self) -> None:
        """Set up everything that belongs to one process."""
        self._lock = threading.RLock()
        self._store_lock = threading.Lock()
        self._settled = threading.Condition(threading.Lock())
        self._wake = threading.Event()
        self._stored = 0
        self._lost = 0
        self._attempts_begun = 0
        self._attempts_ended = 0
        self._accounts = Accounts()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._unreleased: Batch | None = None
        """Stored, and not yet forgotten by the journal."""
        self._is_closing = False
        self._is_closed = False
        self._forced = False
        self._pause_s = 0.0
        self._try_again_at = 0.0
        self._has_warned = False
        self._beat_at = 0.0

    def serve(self, spans: OpenSpans) -> None:
        """Ask it now and then to record what has been open for long."""
        self._spans = spans

    # --- the application's side

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to write failed, so that records are kept in the journal."""
        return self._pause_s > 0

    def wake(self) -> None:
        """Have the thread look, begun if need be; never blocks, never raises."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._start()
            self._journal.is_writer_resting = self._thread is None
        self._wake.set()

    def count_error(self, component: str, error_type: str) -> None:
        """Count an error that a guard kept from the host; stored with the next batch."""
        with self._lock:
            self._accounts.errors[component, error_type] += 1

    def count_drop(self, signal: str, reason: str) -> None:
        """Count a record that was not kept."""
        with self._lock:
            self._lost += 1
            self._accounts.dropped[signal, reason] += 1
        if self._journal.is_writer_resting:
            self._journal.is_writer_resting = False
            self.wake()

    def flush(self, timeout: float) -> bool:
        """Whether all that was taken before is stored, in `timeout` seconds, and none was lost meanwhile."""
        deadline = time.monotonic() + timeout
        with self._lock:
            goal, lost, begun = self._journal.appended, self._lost, self._attempts_begun
            if self._stored >= goal and not self._accounts:
                return True
            self._forced = True
        if not self._is_closed:
            self.wake()

        def is_settled() -> bool:
            # Of the attempts only one that began after this call has seen all of our records and counts.
            has_tried = self._attempts_ended > begun
            return self._is_closed or (has_tried and (self.is_failing or self._stored >= goal))

        with self._settled:
            self._settled.wait_for(is_settled, max(deadline - time.monotonic(), 0))
        with self._lock:
            return self._stored >= goal and self._lost == lost

    def shutdown(self, timeout: float) -> bool:
        """Flush, stop the thread and leave the store; the truth about the flush, within `timeout` seconds.

        What is not stored then stays in the journal, for the next process to bring home.
        """
        deadline = time.monotonic() + timeout
        is_flushed = self.flush(timeout)
        self._is_closing = True
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(deadline - time.monotonic(), 0))
        self._is_closed = True
        given_up = self._journal.give_up_memory()
        left = given_up.total()
        if left:
            _logger.warning("taskscope: %d records were not stored before the end and are lost", left)
        if thread is None or not thread.is_alive():
            self._leave(given_up)
        _WRITERS.discard(self)
        return is_flushed and not left

    def _start(self) -> None:
        with self._lock:
            is_wanted = self._thread is None or not self._thread.is_alive()
            if is_wanted and not (self._is_closed or self._is_closing):
                thread = threading.Thread(target=self._run, name="taskscope-writer", daemon=True)
                with contextlib.suppress(RuntimeError):  # none to be had now: the next record tries again
                    thread.start()
                    self._thread = thread

    # --- the thread's side

    def _run(self) -> None:
        while not self._is_closing:
            try:
                self._turn()
            except BaseException as error:  # noqa: BLE001  whatever comes, the thread lives on
                self.count_error("recorder", type(error).__name__)
                self._wake.wait(_WINDOW_S)
        with self._store_lock, contextlib.suppress(BaseException):
            self._write_all()

    def _turn(self) -> None:
        """Rest until something comes, gather more for a moment, write it."""
        self._rest(self._spans.sweep() if self._spans is not None else None)
        with self._store_lock:
            if self._forced or time.monotonic() >= self._try_again_at:
                self._write_all()
            if self._session is not None and self._session.has_open_spans:
                self._beat(self._session)

    def _rest(self, sweep_in_s: float | None) -> None:
        """Wait for records, or for as long as the store wants to be left alone; and while they gather."""
        if self._pause_s:
            self._wait(self._try_again_at - time.monotonic(), is_pause=True)
            return
        self._journal.is_writer_resting = True
        # Looked at after that is said: a record that came just before has not seen it.
        if not self._is_urged() and not self._journal.has_records and not self._accounts:
            has_open = self._session is not None and self._session.has_open_spans
            waits = [_BEAT_S] if has_open else []
            waits += [sweep_in_s] if sweep_in_s is not None else []
            self._wake.wait(min(waits, default=None))
        self._journal.is_writer_resting = False
        self._wait(_WINDOW_S)

    def _is_urged(self) -> bool:
        return self._is_closing or self._forced

    def _wait(self, seconds: float, *, is_pause: bool = False) -> None:
        """Let time pass, cut short by a flush or the end; and by a filling journal, unless it is a pause."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._wake.clear()
            if self._is_urged() or (self._wake.wait(left) and not is_pause):
                return

    def _beat(self, session: Session) -> None:
        now = time.monotonic()
        if now >= self._beat_at:
            self._beat_at = now + _BEAT_S
            session.beat()

    def _write_all(self) -> None:
        """Write until the journal is empty or the store refuses."""
        self._forced = False
        if self._journal.error is not None:
            self._journal.try_again()
        with self._lock:
            self._accounts.errors.update(self._drain_errors())
        limit = _BATCH_RECORDS
        while True:
            with self._lock:
                self._attempts_begun += 1
            try:
                self._release()
                batch = self._journal.read(limit)
                is_written = self._try(batch) if batch.entries or self._accounts else True
            finally:  # whatever comes: who waits for an attempt must see its end
                with self._settled:
                    self._attempts_ended += 1
                    self._settled.notify_all()
            # None: one of its records is at fault, so that it is narrowed down.
            limit = max(len(batch.entries) // 2, 1) if is_written is None else _BATCH_RECORDS
            if is_written is False or not (self._journal.has_records or self._accounts):
                return

    def _try(self, batch: Batch) -> bool | None:
        """Write a batch: True when that is done, False when the store refuses, None to be asked for less."""
        with self._lock:
            accounts, self._accounts = self._accounts, Accounts()
        began = time.monotonic()
        records, told = _decode(batch)  # what cannot be read is told with the batch, once
        told.add(accounts)
        try:
            if self._session is None:
                self._session = self._make_session(lambda: self._journal.process_lock)
            self._session.write(records, told, journal_seq=batch.last_seq)
        except BaseException as error:  # noqa: BLE001  the border to the host
            with self._lock:
                self._accounts.add(accounts)
                self._accounts.errors["store", type(error).__name__] += 1
            if batch.entries and not _is_unusable(error):
                return self._narrow(batch)
            self._hold(error)
            return False
        self._unreleased = batch
        self._release()
        self._resume(time.monotonic() - began)
        return True

    def _release(self) -> None:
        """Let the journal forget what is stored; tried until it is done, so that nothing is stored twice."""
        batch = self._unreleased
        if batch is not None:
            self._journal.release(batch)
            self._unreleased = None
            with contextlib.suppress(Exception):
                self._on_stored()  # first: who then sees by `flush` that all is stored finds that it was told
            self._stored += len(batch.entries)

    def _narrow(self, batch: Batch) -> bool | None:
        """Go around a record that the store cannot take; alone, it is dropped and counted."""
        if len(batch.entries) > 1:
            return None
        self._unreleased = batch
        self._release()
        with self._lock:
            self._lost += 1
            if signal := _SIGNALS.get(batch.entries[0].kind):
                self._accounts.dropped[signal, "encode_error"] += 1
        return True

    def _hold(self, error: BaseException) -> None:
        self._pause_s = min(self._pause_s * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._try_again_at = time.monotonic() + self._pause_s
        if self._session is not None:
            # Its connection may be stuck in a transaction that could not be rolled back either.
            with contextlib.suppress(Exception):
                self._session.suspend()
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "taskscope: the store cannot be written (%s); telemetry waits in %s", error, self._where()
            )

    def _where(self) -> str:
        if self._journal.process_lock is not None and self._journal.error is None:
            return "the journal"
        return "memory"

    def _resume(self, seconds: float) -> None:
        self._pause_s = self._try_again_at = 0.0
        with self._lock:
            self._accounts.write_durations_s.append(seconds)

    def _leave(self, given_up: Counter[str | None]) -> None:
        """Close journal and session; both files go when nothing stands in them."""
        with self._store_lock:
            session = self._session
            if session is not None and given_up:
                accounts = Accounts()
                for signal, records in given_up.items():
                    if signal is not None:
                        accounts.dropped[signal, "shutdown"] = records
                with contextlib.suppress(Exception):
                    session.write([], accounts, journal_seq=0)
            is_done = self._journal.close()
            if session is not None:
                session.close(is_done=is_done)
            if self._journal.process_lock is not None:
                self._journal.process_lock.release(remove=is_done)
                self._journal.process_lock = None  # its descriptor may be another file's from here on
            self._session = None

    # --- around a fork

    def _before_fork(self) -> None:
        with contextlib.suppress(Exception):
            if self._spans is not None:
                self._spans.before_fork()
        self._has_store_lock = self._store_lock.acquire(timeout=_FORK_PATIENCE_S)
        # In the order in which an application's thread takes them.
        self._journal.lock.acquire()
        self._lock.acquire()
        if self._session is not None and self._has_store_lock:
            with contextlib.suppress(Exception):
                self._session.suspend()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()
        self._journal.lock.release()
        if self._has_store_lock:
            self._store_lock.release()

    def _after_fork_in_child(self) -> None:
        # Not closed and not collected: descriptors and locks in there are the parent's.
        self._inherited.append((self._session, self._thread, self._lock, self._store_lock))
        is_closed = self._is_closed
        self._journal.begin_in_child()
        if self._spans is not None:
            self._spans.begin_in_child()
        self._begin()
        self._is_closed = is_closed


def _decode(batch: Batch) -> tuple[list[Record], Accounts]:
    """The records of a batch; what cannot be read back is dropped and counted."""
    records, accounts = [], Accounts()
    for entry in batch.entries:
        try:
            records.append(decode(entry.kind, entry.source, entry.body))
        except ValueError:
            accounts.dropped[_SIGNALS.get(entry.kind, "logs"), "encode_error"] += 1
    return records, accounts


def _is_unusable(error: BaseException) -> bool:
    """Whether an error speaks of the store and not of a record."""
    import sqlite3  # not before there is a store

    if isinstance(error, StoreError | OSError | sqlite3.OperationalError | sqlite3.InternalError):
        return True
    # "file is not a database", "malformed"; and what is no matter of any record at all.
    return (
        type(error) is sqlite3.DatabaseError
        or not isinstance(error, Exception)
        or isinstance(error, MemoryError)
    )


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
