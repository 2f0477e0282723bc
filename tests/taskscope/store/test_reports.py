"""The store tells of losses: once a minute, as whoever lost them, and never more than was committed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from taskscope.semconv import attributes as attr
from taskscope.semconv import events
from taskscope.store.accounts import Accounts
from taskscope.store.aggregates import read_aggregates
from taskscope.store.database import open_database
from taskscope.store.decoding import decode_log
from taskscope.store.records import Source
from taskscope.store.session import StoreSession

from .builders import make_span, values_of

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = Source(b"\x0a\x04\x0a\x02me", b"")


def lose(session: StoreSession, records: int, reason: str = "queue_full") -> None:
    accounts = Accounts()
    accounts.dropped["traces", reason] = records
    session.write([], accounts)


def read_told(path: Path) -> list[tuple[object, ...]]:
    """What the events say: signal, reason, number; each of them as from the process that lost them."""
    with closing(open_database(path, create=False, read_only=True)) as connection:
        rows = connection.execute(
            "SELECT resource, scope, event, severity, body "
            "FROM log JOIN source ON source.id = source ORDER BY seq"
        ).fetchall()
        stored = values_of(read_aggregates(connection), "taskscope.records.delivered")
    assert stored.get(("logs", "store"), 0) == len(rows)
    told: list[tuple[object, ...]] = []
    for resource, scope, event, severity, body in rows:
        assert (Source(resource, scope), event, severity) == (SOURCE, events.RECORDS_DROPPED, events.WARN)
        said = decode_log(body, SOURCE).attributes
        told.append((said[attr.SIGNAL], said[attr.DROP_REASON], said[attr.DROP_COUNT]))
    return told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "taskscope.db"


def test_losses_are_told_as_by_whom_they_happened_to(path: Path) -> None:
    """One event for each signal and reason, and a record like any other: counted."""
    session = StoreSession(path, source=SOURCE)
    accounts = Accounts()
    accounts.dropped["traces", "queue_full"] = 3
    accounts.dropped["logs", "encode_error"] = 1
    session.write([make_span()], accounts)
    assert read_told(path) == [("logs", "encode_error", 1), ("traces", "queue_full", 3)]
    session.close()
    assert len(read_told(path)) == 2


def test_losses_that_go_on_are_told_together(path: Path) -> None:
    """What is lost within a minute of an event is told later; the end of the process tells the rest."""
    session = StoreSession(path, source=SOURCE)
    for _ in range(4):
        lose(session, 2)
    assert read_told(path) == [("traces", "queue_full", 2)]
    session.close()
    assert read_told(path) == [("traces", "queue_full", 2), ("traces", "queue_full", 6)]


def test_what_could_not_be_told_is_told_with_the_next_try(path: Path) -> None:
    """A transaction that fails has told nothing: the losses come again with the writer's next try."""
    session = StoreSession(path, source=SOURCE)
    session.write([make_span()], Accounts())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TRIGGER fault BEFORE INSERT ON log BEGIN SELECT raise(ABORT, 'no'); END")
        with pytest.raises(sqlite3.IntegrityError):
            lose(session, 2)
        other.execute("DROP TRIGGER fault")
    assert read_told(path) == []
    lose(session, 2)
    assert read_told(path) == [("traces", "queue_full", 2)]
    session.close()


def test_nobody_tells_of_losses_that_are_nobodys(path: Path) -> None:
    """Without a resource they are counted alone: an event of no service is found by no one."""
    session = StoreSession(path)
    lose(session, 2)
    session.close()
    assert read_told(path) == []
