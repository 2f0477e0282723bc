from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.recorder.intake import Intake
from taskscope.recorder.journal import Journal
from taskscope.recorder.writer import Writer
from taskscope.store.accounts import Accounts
from taskscope.store.aggregates import read_aggregates
from taskscope.store.database import open_database
from taskscope.store.journals import SEGMENT_BYTES, read_journal
from taskscope.store.session import StoreSession
from tests.taskscope.store.builders import make_log, make_span, make_task, open_and_end, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

    from taskscope.recorder.writer import Session
    from taskscope.store.records import Record

_PATIENCE_S = 30.0
FILLING = 1100
"""Spans of a kilobyte that fill a segment."""


class FakeSession:
    """Keeps what is written in a list; fails where it is told to, and holds while `gate` is closed."""

    def __init__(self, faults: dict[int, Exception] | None = None) -> None:
        self.faults = faults or {}
        self.poison: Record | None = None
        self.written: list[Record] = []
        self.accounts = Accounts()
        self.calls = 0
        self.journal_seq = 0
        self.beats = threading.Event()
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()
        self.is_closed = False
        self.has_open_spans = False

    def write(self, batch: list[Record], accounts: Accounts, *, journal_seq: int) -> None:
        self.calls += 1
        self.entered.set()
        self.gate.wait(_PATIENCE_S)
        if error := self.faults.pop(self.calls, None):
            raise error
        if any(record == self.poison for record in batch):
            raise OverflowError("a number too large")
        self.written += batch
        self.journal_seq = max(self.journal_seq, journal_seq)
        self.accounts.add(accounts)

    def beat(self) -> None:
        self.beats.set()

    def suspend(self) -> None:
        pass

    def close(self, *, is_done: bool) -> None:
        self.is_closed = is_done


class Recorder:
    """A journal, its writer and their entrance, on a real file and a session of the test."""

    def __init__(self, folder: Path, make_session: Callable[[], Session], **more: Any) -> None:
        limits = {name: more.pop(name) for name in ("limit_bytes", "memory_limit_bytes") if name in more}
        self.journal = Journal(folder / "journal", **limits)
        self.writer = Writer(self.journal, lambda _: make_session(), **more)
        self.intake = Intake(self.journal, self.writer)
        self.submit = self.intake.submit
        self.flush = self.writer.flush
        self.shutdown = self.writer.shutdown


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def recorder(session: FakeSession, tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path, lambda: session)
    yield recorder
    session.gate.set()
    recorder.shutdown(_PATIENCE_S)


def _lost(accounts: Accounts) -> int:
    return accounts.dropped.total()


def test_no_thread_before_the_first_record(tmp_path: Path) -> None:
    """And no session, and no file: nothing is opened by being there."""
    before = threading.active_count()
    recorder = Recorder(tmp_path, lambda: pytest.fail("opened"))
    assert threading.active_count() == before
    assert recorder.flush(0)
    assert recorder.shutdown(0)
    assert list(tmp_path.iterdir()) == []


def test_the_order_of_records_is_kept(recorder: Recorder, session: FakeSession) -> None:
    """Starts and ends travel the same queue."""
    records = [record for _ in range(50) for record in open_and_end(make_task())]
    for record in records:
        recorder.submit(record)
    assert recorder.flush(_PATIENCE_S)
    assert session.written == records
    assert recorder.journal.size_bytes == 0


@pytest.mark.parametrize("k", range(1, 6))
@pytest.mark.parametrize(
    "fault",
    [
        sqlite3.OperationalError("database or disk is full"),
        OSError("no space"),
        sqlite3.DatabaseError("malformed"),
    ],
    ids=["full", "os", "corrupt"],
)
def test_a_failed_write_loses_nothing_and_it_goes_on(k: int, fault: Exception, tmp_path: Path) -> None:
    """The k-th write fails: the caller notices nothing, all is stored once, in order, the sums are right."""
    session = FakeSession({k: fault, k + 1: fault})
    recorder = Recorder(tmp_path, lambda: session)
    records: list[Record] = []
    for _ in range(8):
        some: list[Record] = [make_span(), make_log()]
        records += some
        for record in some:
            recorder.submit(record)
        is_stored = recorder.flush(_PATIENCE_S)
        assert is_stored is not recorder.writer.is_failing
    assert recorder.shutdown(_PATIENCE_S)
    assert session.written == records
    assert _lost(session.accounts) == 0
    assert session.accounts.errors == Counter({("store", type(fault).__name__): 2})


def test_while_the_store_fails_one_warning_is_given(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """However often it fails; and `is_failing` says so until it is back."""
    session = FakeSession(dict.fromkeys(range(1, 6), OSError("no space left")))
    recorder = Recorder(tmp_path, lambda: session)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            recorder.submit(make_span())
            assert not recorder.flush(_PATIENCE_S)
            assert recorder.writer.is_failing
        assert recorder.flush(_PATIENCE_S)
    assert not recorder.writer.is_failing
    assert [record.message for record in caplog.records] == [
        "taskscope: the store cannot be written (no space left); telemetry waits in the journal"
    ]
    assert len(session.written) == 5
    recorder.shutdown(_PATIENCE_S)


@pytest.mark.parametrize("place", [0, 3, 9])
def test_a_record_that_cannot_be_stored_goes_alone(
    recorder: Recorder, session: FakeSession, place: int
) -> None:
    """Its neighbours are stored once, it is dropped and counted, and the flush says that one was lost."""
    records: list[Record] = [make_span() for _ in range(10)]
    session.poison = records[place]
    session.gate.clear()
    for record in records:
        recorder.submit(record)
    session.gate.set()
    assert not recorder.flush(_PATIENCE_S)
    assert recorder.flush(_PATIENCE_S)
    assert session.written == records[:place] + records[place + 1 :]
    recorder.submit(make_log())
    assert recorder.flush(_PATIENCE_S)
    assert session.accounts.dropped == Counter({("traces", "encode_error"): 1})
    assert len(session.written) == 10


def test_what_cannot_be_read_back_is_counted_once(session: FakeSession, tmp_path: Path) -> None:
    """However often the store refuses the batch that it stands in."""
    session.faults = dict.fromkeys(range(1, 4), OSError("no space left"))
    recorder = Recorder(tmp_path, lambda: session)
    good = make_span()
    recorder.intake.end(good.source, b"\x0a\xff no span", False)
    recorder.submit(good)
    for _ in range(3):
        assert not recorder.flush(_PATIENCE_S)
    assert recorder.flush(_PATIENCE_S)
    assert session.written == [good]
    assert session.accounts.dropped == Counter({("traces", "encode_error"): 1})
    recorder.shutdown(_PATIENCE_S)


def test_a_full_queue_drops_ordinary_records_first(session: FakeSession, tmp_path: Path) -> None:
    """Roots, errors and ends of what is on record as open still fit; all that is dropped is counted."""
    recorder = Recorder(tmp_path, lambda: session, limit_bytes=0, memory_limit_bytes=10_000)
    session.gate.clear()
    recorder.submit(make_span())
    assert session.entered.wait(_PATIENCE_S)
    for _ in range(FILLING):  # the file is full from here on
        recorder.submit(make_span("x" * 1000, parent=b"p" * 8))
    ordinary = [make_span(parent=b"p" * 8) for _ in range(100)]
    for record in ordinary:
        recorder.submit(record)
    precious: list[Record] = [make_span("root"), make_span("error", parent=b"p" * 8, status_code=2)]
    for one in precious:
        recorder.submit(one)
    end = make_span("end", parent=b"p" * 8)
    recorder.intake.end(end.source, end.body, True)
    precious.append(end)
    session.gate.set()
    assert recorder.flush(_PATIENCE_S)
    assert session.written[-3:] == precious
    dropped = session.accounts.dropped["traces", "queue_full"]
    assert dropped > 0
    assert len(session.written) + dropped == 1 + FILLING + 100 + 3
    recorder.shutdown(_PATIENCE_S)


def test_the_bound_holds_for_precious_records_too(session: FakeSession, tmp_path: Path) -> None:
    """Nothing grows without end."""
    recorder = Recorder(tmp_path, lambda: session, limit_bytes=0, memory_limit_bytes=10_000)
    session.gate.clear()
    for _ in range(FILLING + 100):
        recorder.submit(make_span("x" * 1000))
    assert recorder.journal.size_bytes <= SEGMENT_BYTES + 10_000
    session.gate.set()
    recorder.shutdown(_PATIENCE_S)


def test_a_flush_keeps_its_bound_and_says_what_is_true(recorder: Recorder, session: FakeSession) -> None:
    """A hanging store makes it False in time; when the store goes on, the next one is True."""
    session.gate.clear()
    recorder.submit(make_span())
    assert not recorder.flush(0.05)
    session.gate.set()
    assert recorder.flush(_PATIENCE_S)


def test_a_shutdown_keeps_its_bound_and_leaves_the_rest_in_the_journal(
    session: FakeSession, tmp_path: Path
) -> None:
    """Records that a hanging store never took stand in the file; the flush says that they are not stored."""
    recorder = Recorder(tmp_path, lambda: session)
    session.gate.clear()
    records = [make_span(), make_span()]
    recorder.submit(records[0])
    assert session.entered.wait(_PATIENCE_S)
    recorder.submit(records[1])
    assert not recorder.shutdown(0.05)
    (path,) = (tmp_path / "journal").glob("*.journal")
    assert [record.body for record in read_journal(path).records] == [record.body for record in records]
    session.gate.set()


def test_a_shutdown_tells_what_only_memory_held(
    session: FakeSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no file can be made, records that were never stored are lost with the process, and told."""
    (tmp_path / "journal").write_text("in the way")
    recorder = Recorder(tmp_path, lambda: session)
    session.gate.clear()
    recorder.submit(make_span())
    assert session.entered.wait(_PATIENCE_S)
    recorder.submit(make_span())
    assert not recorder.shutdown(0.05)
    assert "2 records were not stored" in caplog.text
    session.gate.set()


def test_after_the_end_nothing_is_taken(session: FakeSession, tmp_path: Path) -> None:
    """A late record is dropped; the session was closed once all was written, and no file is left."""
    recorder = Recorder(tmp_path, lambda: session)
    recorder.submit(make_span())
    assert recorder.shutdown(_PATIENCE_S)
    assert session.is_closed
    recorder.submit(make_span())
    assert len(session.written) == 1
    assert list((tmp_path / "journal").iterdir()) == []


def test_a_record_may_be_submitted_from_within_submit(recorder: Recorder, session: FakeSession) -> None:
    """A signal handler or finalizer that ends a span while this thread is copying one loses neither."""
    inner = make_span("inner")

    class Interrupting(bytes):
        """A body whose copying is interrupted."""

        def __add__(self, other: Buffer) -> bytes:
            recorder.submit(inner)
            return bytes(self) + bytes(other)

    outer = make_span("outer")
    recorder.intake.end(outer.source, Interrupting(outer.body), False)
    last = make_span("last")
    recorder.submit(last)
    assert recorder.flush(_PATIENCE_S)
    assert session.written == [outer, inner, last]


def test_a_sign_of_life_is_given_while_spans_are_open(recorder: Recorder, session: FakeSession) -> None:
    """Without any record."""
    session.has_open_spans = True
    recorder.submit(open_and_end(make_task())[0])
    assert session.beats.wait(_PATIENCE_S)
    session.beats.clear()
    assert session.beats.wait(_PATIENCE_S)


def test_errors_counted_elsewhere_come_with_the_next_batch(session: FakeSession, tmp_path: Path) -> None:
    """Those of guards, asked for, and those of processors, told."""
    elsewhere = [{("instrumentation", "KeyError"): 2}]
    recorder = Recorder(tmp_path, lambda: session, drain_errors=lambda: elsewhere.pop() if elsewhere else {})
    recorder.writer.count_error("processor", "ValueError")
    recorder.writer.count_drop("traces", "encode_error")
    recorder.submit(make_span())
    recorder.flush(_PATIENCE_S)
    recorder.shutdown(_PATIENCE_S)
    assert session.accounts.errors == Counter(
        {("instrumentation", "KeyError"): 2, ("processor", "ValueError"): 1}
    )
    assert _lost(session.accounts) == 1


def test_a_real_disk_fault_is_survived(tmp_path: Path) -> None:
    """A trigger refuses every second row in a real store: what it takes and what is counted add up."""
    path = tmp_path / "home" / "taskscope.db"
    recorder = Recorder(tmp_path, lambda: StoreSession(path))
    recorder.submit(make_span())
    assert recorder.flush(_PATIENCE_S)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(
            "CREATE TRIGGER fault BEFORE INSERT ON span WHEN length(NEW.body) % 2 "
            "BEGIN SELECT raise(ABORT, 'no'); END"
        )
    for number in range(40):
        recorder.submit(make_span("x" * number))
    assert not recorder.flush(_PATIENCE_S)
    assert recorder.shutdown(_PATIENCE_S)
    with closing(open_database(path, create=False, read_only=True)) as connection:
        points = read_aggregates(connection)
        stored = connection.execute("SELECT count(*) FROM span").fetchone()[0]
    assert values_of(points, "taskscope.records.emitted") == {("traces",): 41}
    assert values_of(points, "taskscope.records.delivered") == {("traces", "store"): stored}
    assert values_of(points, "taskscope.records.dropped") == {
        ("traces", "store", "encode_error"): 41 - stored
    }
    assert stored == 21


def test_a_store_that_comes_back_gets_all(tmp_path: Path) -> None:
    """A file stands where the home should be; when it is gone, what was kept in memory is written."""
    blocked = tmp_path / "home"
    blocked.write_text("in the way")
    recorder = Recorder(tmp_path, lambda: StoreSession(blocked / "taskscope.db"))
    recorder.submit(make_span())
    assert not recorder.flush(_PATIENCE_S)
    blocked.unlink()
    assert recorder.flush(_PATIENCE_S)
    assert not recorder.writer.is_failing
    recorder.shutdown(_PATIENCE_S)
    with closing(open_database(blocked / "taskscope.db", create=False)) as connection:
        assert connection.execute("SELECT count(*) FROM span").fetchone() == (1,)
