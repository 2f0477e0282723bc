"""Age and size of a store: the oldest leave, sums stay, and nothing grows without end."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from taskscope.store.accounts import Accounts
from taskscope.store.aggregates import read_aggregates
from taskscope.store.database import open_database
from taskscope.store.records import Source
from taskscope.store.retention import Limits, limit_pages, tend
from taskscope.store.session import StoreSession

from .builders import SECOND, START, make_log, make_span, make_task, open_and_end, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .conftest import Store

_NO_SIZE = 10**12
_DAY = 86_400 * SECOND


@pytest.fixture
def connection(store: Store) -> Iterator[sqlite3.Connection]:
    store.session.write([], Accounts())
    with closing(open_database(store.path, create=True)) as connection:
        yield connection


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  our own words


def test_what_is_too_old_leaves_and_the_sums_stay(store: Store, connection: sqlite3.Connection) -> None:
    """Spans, logs, summaries and ledger rows from before it go; younger ones and all counters remain."""
    for day in range(4):
        trace, at = bytes([day]) * 16, START + day * _DAY
        store.session.write(
            [make_task(f"t-{day}", trace=trace, start_ns=at, end_ns=at + SECOND), make_log(trace=trace)],
            Accounts(),
        )
    before = values_of(read_aggregates(connection), "taskscope.records.delivered")
    tend(connection, Limits(2 * _DAY + _DAY // 2, _NO_SIZE), START + 4 * _DAY)
    assert [_count(connection, table) for table in ("span", "trace", "task", "log")] == [2, 2, 2, 0]
    assert values_of(read_aggregates(connection), "taskscope.records.delivered") == before


def test_a_trace_with_something_left_keeps_its_row(store: Store, connection: sqlite3.Connection) -> None:
    """A task that still has spans, open or ended, is still listed."""
    old = make_task("t-1", trace=b"a" * 16, start_ns=START, end_ns=START + SECOND)
    young = make_span(trace=b"a" * 16, start_ns=START + 9 * _DAY, end_ns=START + 9 * _DAY)
    opened = open_and_end(make_task("t-2", trace=b"b" * 16))[0]
    store.session.write([old, young, opened, make_span(trace=b"b" * 16)], Accounts())
    tend(connection, Limits(_DAY, _NO_SIZE), START + 9 * _DAY + SECOND)
    assert _count(connection, "span") == 1
    assert {row[0] for row in connection.execute("SELECT id FROM task")} == {"t-1", "t-2"}
    assert _count(connection, "trace") == 2


def test_sources_leave_with_the_last_of_their_records(store: Store, connection: sqlite3.Connection) -> None:
    """Not while a span, a log record or an open span is theirs; a writer that knew one writes it again."""
    late = START + 9 * _DAY
    gone, kept, opened, logged = (Source(name.encode(), b"") for name in ("gone", "kept", "opened", "logged"))
    store.session.write(
        [
            make_span()._replace(source=gone),
            make_span()._replace(source=kept),
            open_and_end(make_span())[0]._replace(source=opened),
            make_log()._replace(source=gone),
        ],
        Accounts(),
    )
    young = make_span(start_ns=late, end_ns=late)._replace(source=kept)
    store.session.write([young, make_log()._replace(source=logged, time_ns=late)], Accounts())

    def names() -> set[bytes]:
        return {row[0] for row in connection.execute("SELECT resource FROM source")} & {
            one.resource for one in (gone, kept, opened, logged)
        }

    tend(connection, Limits(_DAY, _NO_SIZE), late + SECOND)
    tend(connection, Limits(_DAY, _NO_SIZE), late + SECOND)
    assert names() == {b"kept", b"opened", b"logged"}
    store.session.write([young._replace(source=gone, span_id=b"another.")], Accounts())
    assert names() == {b"gone", b"kept", b"opened", b"logged"}
    joined = "SELECT count(*) FROM span JOIN source ON source.id = span.source"
    assert connection.execute(joined).fetchone()[0] == _count(connection, "span")


def test_a_clock_that_ran_ahead_does_not_stop_it(store: Store, connection: sqlite3.Connection) -> None:
    """A span from the future stays, and those behind it leave all the same."""
    future = make_span(start_ns=START + 99 * _DAY, end_ns=START + 99 * _DAY)
    store.session.write([future, *(make_span() for _ in range(10))], Accounts())
    tend(connection, Limits(_DAY, _NO_SIZE), START + 2 * _DAY)
    assert _count(connection, "span") == 1


def test_the_size_is_kept_while_records_pour_in(store: Store, connection: sqlite3.Connection) -> None:
    """The file stays below its limit, the newest records are there, and what left is told by its number."""
    limits = Limits(10**18, 4_000_000)
    limit_pages(connection, limits.size_bytes)
    told: list[int] = []

    def note(_: sqlite3.Connection, signal: str, numbers: Sequence[int]) -> None:
        assert signal == "traces"
        told.extend(numbers)

    for _ in range(40):
        store.session.write([make_span("x" * 500) for _ in range(500)], Accounts())
        while tend(connection, limits, START, note):
            pass
        assert store.path.stat().st_size <= limits.size_bytes
    left = [row[0] for row in connection.execute("SELECT seq FROM span ORDER BY seq")]
    assert told == list(range(1, left[0]))
    assert left == list(range(left[0], 20_001))
    assert len(left) > 2000


def test_a_store_never_grows_beyond_its_limit(store: Store, connection: sqlite3.Connection) -> None:
    """Where nothing leaves in time, SQLite refuses the write, and the records are kept for another try."""
    limit_pages(connection, 400_000)
    rows = [(str(number), "x" * 500) for number in range(10_000)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        connection.executemany("INSERT INTO meta VALUES(?, ?)", rows)
    assert store.path.stat().st_size <= 400_000


def test_processes_that_ended_long_ago_are_forgotten(store: Store, connection: sqlite3.Connection) -> None:
    """Those that live, or ended of late, keep their rows."""
    insert = (
        "INSERT INTO process(pid, boot, start_ticks, lock, started, seen, ended) VALUES(1, '', 0, ?, 0, 0, ?)"
    )
    connection.execute(insert, ("old", START))
    connection.execute(insert, ("young", START + 5 * _DAY))
    tend(connection, Limits(2 * _DAY, _NO_SIZE), START + 6 * _DAY)
    locks = {row[0] for row in connection.execute("SELECT lock FROM process WHERE ended IS NOT NULL")}
    assert locks == {"young"}
    assert _count(connection, "process") == 2


def test_a_store_that_is_full_before_it_was_looked_at_makes_room_at_once(store: Store) -> None:
    """Whoever writes faster than retention looks loses nothing of the new and is never refused."""
    session = StoreSession(store.path, limits=Limits(10**18, 1_500_000))
    for _ in range(20):
        session.write([make_span("x" * 500) for _ in range(500)], Accounts())
    session.close()
    assert store.path.stat().st_size <= 1_500_000
    with closing(store.read()) as connection:
        assert connection.execute("SELECT max(seq) FROM span").fetchone() == (10_000,)
