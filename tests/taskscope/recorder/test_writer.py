from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.recorder.writer import Writer
from taskscope.store.aggregates import read_aggregates
from taskscope.store.database import open_database
from taskscope.store.ingest import Accounts
from taskscope.store.session import StoreSession
from tests.taskscope.store.builders import make_log, make_span, make_task, open_and_end, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskscope.store.records import Record

_PATIENCE_S = 30.0


class FakeSession:
    """Keeps what is written in a list; fails where it is told to, and holds while `gate` is closed."""

    def __init__(self, faults: dict[int, Exception] | None = None) -> None:
        self.faults = faults or {}
        self.poison: Record | None = None
        self.written: list[Record] = []
        self.accounts = Accounts()
        self.calls = 0
        self.beats = threading.Event()
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()
        self.is_closed = False
        self.has_open_spans = False

    def write(self, batch: list[Record], accounts: Accounts) -> None:
        self.calls += 1
        self.entered.set()
        self.gate.wait(_PATIENCE_S)
        if error := self.faults.pop(self.calls, None):
            raise error
        if any(record is self.poison for record in batch):
            raise OverflowError("a number too large")
        self.written += batch
        self.accounts.add(accounts)

    def recover(self) -> int:
        return 0

    def beat(self) -> None:
        self.beats.set()

    def suspend(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def writer(session: FakeSession) -> Iterator[Writer]:
    writer = Writer(lambda: session)
    yield writer
    session.gate.set()
    writer.shutdown(_PATIENCE_S)


def _balance(accounts: Accounts, stored: int) -> tuple[int, int]:
    return sum(accounts.emitted.values()), stored + sum(accounts.dropped.values())


def test_no_thread_before_the_first_record() -> None:
    """And no session: nothing is opened by being there."""
    before = threading.active_count()
    writer = Writer(lambda: pytest.fail("opened"))
    assert threading.active_count() == before
    assert writer.flush(0)
    assert writer.shutdown(0)


def test_the_order_of_records_is_kept(writer: Writer, session: FakeSession) -> None:
    """Starts and ends travel the same queue."""
    records = [record for _ in range(50) for record in open_and_end(make_task())]
    for record in records:
        writer.submit(record, is_urgent=record.is_open)
    assert writer.flush(_PATIENCE_S)
    assert session.written == records
    assert writer.queue_bytes == 0


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
def test_a_failed_write_loses_nothing_and_it_goes_on(k: int, fault: Exception) -> None:
    """The k-th write fails: the caller notices nothing, all is stored once, in order, the sums are right."""
    session = FakeSession({k: fault, k + 1: fault})
    writer = Writer(lambda: session)
    records: list[Record] = []
    for _ in range(8):
        some: list[Record] = [make_span(), make_log()]
        records += some
        for record in some:
            writer.submit(record)
        is_stored = writer.flush(_PATIENCE_S)
        assert is_stored is not writer.is_failing
    assert writer.shutdown(_PATIENCE_S)
    assert session.written == records
    assert _balance(session.accounts, len(records)) == (16, 16)
    assert session.accounts.errors == Counter({("store", type(fault).__name__): 2})


def test_while_the_store_fails_one_warning_is_given(caplog: pytest.LogCaptureFixture) -> None:
    """However often it fails; and `is_failing` says so until it is back."""
    session = FakeSession(dict.fromkeys(range(1, 6), OSError("no space left")))
    writer = Writer(lambda: session)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            writer.submit(make_span())
            assert not writer.flush(_PATIENCE_S)
            assert writer.is_failing
        assert writer.flush(_PATIENCE_S)
    assert not writer.is_failing
    assert [record.message for record in caplog.records] == [
        "taskscope: the store cannot be written (no space left); telemetry is kept in memory, up to 8 MiB"
    ]
    assert len(session.written) == 5
    writer.shutdown(_PATIENCE_S)


@pytest.mark.parametrize("place", [0, 3, 9])
def test_a_record_that_cannot_be_stored_goes_alone(writer: Writer, session: FakeSession, place: int) -> None:
    """Its neighbours are stored once, it is dropped and counted, and the flush says that one was lost."""
    records: list[Record] = [make_span() for _ in range(10)]
    session.poison = records[place]
    session.gate.clear()
    for record in records:
        writer.submit(record)
    session.gate.set()
    assert not writer.flush(_PATIENCE_S)
    assert writer.flush(_PATIENCE_S)
    assert session.written == records[:place] + records[place + 1 :]
    writer.submit(make_log())
    assert writer.flush(_PATIENCE_S)
    assert session.accounts.dropped == Counter({("traces", "encode_error"): 1})
    assert _balance(session.accounts, 10) == (11, 11)


def test_a_full_queue_drops_ordinary_records_first(session: FakeSession) -> None:
    """Roots, errors and ends of what is on record as open still fit; all that is dropped is counted."""
    writer = Writer(lambda: session, limit_bytes=40_000)
    session.gate.clear()
    writer.submit(make_span())
    assert session.entered.wait(_PATIENCE_S)
    ordinary = [make_span(parent=b"p" * 8) for _ in range(100)]
    for record in ordinary:
        writer.submit(record)
    precious: list[Record] = [
        make_span("root"),
        make_span("error", parent=b"p" * 8, status_code=2),
        make_span("end", parent=b"p" * 8, was_open=True),
    ]
    for one in precious:
        writer.submit(one)
    assert writer.queue_bytes <= 40_000
    session.gate.set()
    assert writer.flush(_PATIENCE_S)
    assert session.written[-3:] == precious
    dropped = session.accounts.dropped["traces", "queue_full"]
    assert 0 < dropped < 100
    assert _balance(session.accounts, len(session.written)) == (104, 104)
    writer.shutdown(_PATIENCE_S)


def test_the_bound_holds_for_precious_records_too(session: FakeSession) -> None:
    """Nothing grows without end."""
    writer = Writer(lambda: session, limit_bytes=10_000)
    session.gate.clear()
    for _ in range(100):
        writer.submit(make_span("root"))
    assert writer.queue_bytes <= 10_000
    session.gate.set()
    writer.shutdown(_PATIENCE_S)


def test_a_flush_keeps_its_bound_and_says_what_is_true(writer: Writer, session: FakeSession) -> None:
    """A hanging store makes it False in time; when the store goes on, the next one is True."""
    session.gate.clear()
    writer.submit(make_span())
    assert not writer.flush(0.05)
    session.gate.set()
    assert writer.flush(_PATIENCE_S)


def test_a_shutdown_keeps_its_bound_and_counts_what_is_left(
    session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Records that a hanging store never took are lost, and told."""
    writer = Writer(lambda: session)
    session.gate.clear()
    writer.submit(make_span())
    assert session.entered.wait(_PATIENCE_S)
    writer.submit(make_span())
    assert not writer.shutdown(0.05)
    assert "1 records were not stored" in caplog.text
    session.gate.set()


def test_after_the_end_nothing_is_taken(session: FakeSession) -> None:
    """A late record is dropped; the session was closed once all was written."""
    writer = Writer(lambda: session)
    writer.submit(make_span())
    assert writer.shutdown(_PATIENCE_S)
    assert session.is_closed
    writer.submit(make_span())
    assert len(session.written) == 1


def test_a_record_may_be_submitted_from_within_submit(session: FakeSession) -> None:
    """A signal handler or finalizer that ends a span while this thread holds the lock does not block it."""
    writer = Writer(lambda: session)
    inner = make_span("inner")

    class Interrupting:
        parent_id = None
        status_code = 0
        is_open = False

        @property
        def size_bytes(self) -> int:
            with writer._lock:
                writer.submit(inner)
            return 1

    record: Any = Interrupting()
    writer.submit(record)
    assert writer.flush(_PATIENCE_S)
    assert inner in session.written
    writer.shutdown(_PATIENCE_S)


def test_a_sign_of_life_is_given_while_spans_are_open(writer: Writer, session: FakeSession) -> None:
    """Without any record."""
    session.has_open_spans = True
    writer.submit(open_and_end(make_task())[0], is_urgent=True)
    assert session.beats.wait(_PATIENCE_S)
    session.beats.clear()
    assert session.beats.wait(_PATIENCE_S)


def test_errors_counted_elsewhere_come_with_the_next_batch(session: FakeSession) -> None:
    """Those of guards, asked for, and those of processors, told."""
    elsewhere = [{("instrumentation", "KeyError"): 2}]
    writer = Writer(lambda: session, drain_errors=lambda: elsewhere.pop() if elsewhere else {})
    writer.count_error("processor", "ValueError")
    writer.count_drop("traces", "encode_error")
    writer.submit(make_span())
    writer.flush(_PATIENCE_S)
    writer.shutdown(_PATIENCE_S)
    assert session.accounts.errors == Counter(
        {("instrumentation", "KeyError"): 2, ("processor", "ValueError"): 1}
    )
    assert _balance(session.accounts, 1) == (2, 2)


def test_a_real_disk_fault_is_survived(tmp_path: Path) -> None:
    """A trigger refuses every second row in a real store: what it takes and what is counted add up."""
    path = tmp_path / "home" / "taskscope.db"
    writer = Writer(lambda: StoreSession(path))
    writer.submit(make_span())
    assert writer.flush(_PATIENCE_S)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(
            "CREATE TRIGGER fault BEFORE INSERT ON span WHEN length(NEW.body) % 2 "
            "BEGIN SELECT raise(ABORT, 'no'); END"
        )
    for number in range(40):
        writer.submit(make_span("x" * number))
    assert not writer.flush(_PATIENCE_S)
    assert writer.shutdown(_PATIENCE_S)
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
    writer = Writer(lambda: StoreSession(blocked / "taskscope.db"))
    writer.submit(make_span())
    assert not writer.flush(_PATIENCE_S)
    blocked.unlink()
    assert writer.flush(_PATIENCE_S)
    assert not writer.is_failing
    writer.shutdown(_PATIENCE_S)
    with closing(open_database(blocked / "taskscope.db", create=False)) as connection:
        assert connection.execute("SELECT count(*) FROM span").fetchone() == (1,)
