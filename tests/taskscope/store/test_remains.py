"""What dead processes left is brought home: once, whole, and nothing of the living."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from taskscope.recorder.journal import Journal
from taskscope.semconv import events
from taskscope.store.accounts import Accounts
from taskscope.store.aggregates import read_aggregates
from taskscope.store.decoding import encode
from taskscope.store.history import open_history
from taskscope.store.journals import read_journal
from taskscope.store.session import StoreSession

from .builders import make_agent, make_log, make_span, make_task, make_tool, open_and_end, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from taskscope.store.records import Record, SpanRecord

    from .conftest import Store


def _append(journal: Journal, records: Sequence[Record]) -> None:
    for record in records:
        journal.append(*encode(record), "traces", True)


def _die_with(
    path: Path, records: Sequence[Record], then: Callable[[Journal], object] = lambda _: None
) -> None:
    """Have a process put records into its journal, do something more, and die."""
    child = os.fork()
    if child == 0:
        journal = Journal(path.parent / "journal", limit_bytes=0, memory_limit_bytes=10_000)
        _append(journal, records)
        then(journal)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def _store_some(path: Path, count: int) -> Callable[[Journal], object]:
    """Store the first records, as a writer does that dies before it lets them go."""

    def store(journal: Journal) -> None:
        session = StoreSession(path, lambda: journal.process_lock)
        batch = journal.read(count)
        from taskscope.store.decoding import decode

        records = [decode(entry.kind, entry.source, entry.body) for entry in batch.entries]
        session.write(records, Accounts(), journal_seq=batch.last_seq)

    return store


def _stored_spans(store: Store) -> list[bytes]:
    with closing(store.read()) as connection:
        return [row[0] for row in connection.execute("SELECT span FROM span ORDER BY seq")]


def _counts(store: Store) -> dict[str, dict[tuple[str, ...], float]]:
    with closing(store.read()) as connection:
        points = read_aggregates(connection)
    names = ("emitted", "delivered", "dropped", "recovered")
    return {name: values_of(points, f"taskscope.records.{name}") for name in names}


def test_a_process_that_never_stored_anything_is_brought_home(store: Store) -> None:
    """Its ended spans are there as they ended, its open ones as interrupted, in one whole tree."""
    task, agent = make_task("t-9"), make_agent()
    agent = agent._replace(parent_id=task.span_id)
    agent = _rebuilt(agent)
    tool = _rebuilt(make_tool()._replace(parent_id=agent.span_id))
    _die_with(store.path, [*map(_opened, (task, agent)), *open_and_end(tool), make_log(), make_log()])
    assert store.session.recover() == 3
    with open_history(store.path) as history:
        found = history.find_task("t-9")
        assert found.outcome == "interrupted"
        nodes = list(history.tree(found).walk())
    assert [(node.name, node.is_interrupted) for node in nodes] == [
        ("invoke_workflow repair", True),
        ("invoke_agent coder", True),
        ("execute_tool pytest", False),
    ]
    assert list((store.path.parent / "journal").glob("*.journal")) == []
    assert _counts(store) == {
        "emitted": {("traces",): 3, ("logs",): 3},
        "delivered": {("traces", "store"): 3, ("logs", "store"): 3},
        "dropped": {},
        "recovered": {(): 3},
    }
    with closing(store.read()) as connection:
        told = connection.execute("SELECT count(*) FROM log WHERE event = ?", (events.RECOVERED,)).fetchone()
    assert told == (1,)


@pytest.mark.parametrize("stored", [1, 3, 5])
def test_what_was_stored_before_the_kill_is_not_stored_again(store: Store, stored: int) -> None:
    """The position that was committed with the records tells where the replay begins."""
    spans = [make_span(str(number)) for number in range(5)]
    _die_with(store.path, spans, _store_some(store.path, stored))
    assert store.session.recover() == 5 - stored
    assert _stored_spans(store) == [span.span_id for span in spans]
    assert store.session.recover() == 0


def test_an_end_in_the_journal_is_an_end(store: Store) -> None:
    """A span that is open in the store and ended in the journal was not interrupted."""
    start, end = open_and_end(make_tool())
    _die_with(store.path, [start, end], _store_some(store.path, 1))
    assert store.session.recover() == 1
    with closing(store.read()) as connection:
        assert connection.execute("SELECT count(*) FROM open").fetchone() == (0,)
        assert connection.execute("SELECT body FROM span").fetchall() == [(end.body,)]


def test_many_who_find_it_bring_it_home_once(store: Store) -> None:
    """Six sessions recover the same four dead at the same moment."""
    spans = [[make_span() for _ in range(20)] for _ in range(4)]
    for some in spans:
        _die_with(store.path, some)
    sessions = [StoreSession(store.path) for _ in range(6)]
    barrier, brought = threading.Barrier(6), list[int]()

    def recover(session: StoreSession) -> None:
        barrier.wait()
        brought.append(session.recover())

    threads = [threading.Thread(target=recover, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for session in sessions:
        session.close()
    assert sum(brought) == 80
    assert sorted(_stored_spans(store)) == sorted(span.span_id for some in spans for span in some)


@pytest.mark.parametrize("state", ["running", "stopped", "with a child"])
def test_the_living_are_left_alone(store: Store, state: str) -> None:
    """A process that runs, that was stopped by a signal, or that has forked keeps its journal."""
    ready, wait = os.pipe(), os.pipe()
    owner = os.fork()
    if owner == 0:
        os.close(wait[1])
        journal = Journal(store.path.parent / "journal")
        _append(journal, [make_span()])
        if state == "with a child" and os.fork() == 0:
            journal.begin_in_child()
            os.write(ready[1], b"x")
            os._exit(0)
        if state != "with a child":
            os.write(ready[1], b"x")
        os.read(wait[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        if state == "stopped":
            os.kill(owner, signal.SIGSTOP)
        assert store.session.recover() == 0
        assert _stored_spans(store) == []
        assert len(list((store.path.parent / "journal").glob("*.journal"))) == 1
    finally:
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)
        for descriptor in (*ready, *wait):
            os.close(descriptor)
    assert store.session.recover() == 1


def test_a_failed_recovery_may_be_tried_again(store: Store) -> None:
    """Nothing of it is half done: the next one brings home all of it."""
    spans = [make_span(str(number)) for number in range(5)]
    store.session.write([], Accounts())
    _die_with(store.path, spans)
    with closing(_writable(store.path)) as other:
        other.execute("ALTER TABLE trace RENAME TO away")
        with pytest.raises(sqlite3.OperationalError, match="trace"):
            store.session.recover()
        assert _stored_spans(store) == []
        other.execute("ALTER TABLE away RENAME TO trace")
    assert store.session.recover() == 5
    assert _stored_spans(store) == [span.span_id for span in spans]


@pytest.mark.parametrize("poison", [0, 2, 4])
def test_a_record_that_no_table_takes_keeps_no_other_out(store: Store, poison: int) -> None:
    """All others are brought home, it is counted as dropped, and its journal is kept under another name."""
    store.session.write([], Accounts())
    names = ["good"] * 5
    names[poison] = "poison"
    spans = [make_span(name) for name in names]
    _die_with(store.path, spans)
    _die_with(store.path, [make_span("other")])
    with closing(_writable(store.path)) as other:
        other.execute(
            "CREATE TRIGGER fault BEFORE INSERT ON span WHEN instr(NEW.body, CAST('poison' AS BLOB)) "
            "BEGIN SELECT raise(ABORT, 'no'); END"
        )
    assert store.session.recover() == 5
    assert len(_stored_spans(store)) == 5
    assert spans[poison].span_id not in _stored_spans(store)
    left = [path.name for path in (store.path.parent / "journal").iterdir() if "journal" in path.name]
    assert [name.endswith(".journal.damaged") for name in left] == [True]
    counts = _counts(store)
    assert counts["dropped"] == {("traces", "store", "encode_error"): 1}
    assert store.session.recover() == 0
    assert _counts(store) == counts


def test_a_span_whose_start_no_table_takes_is_lost_once(store: Store) -> None:
    """With its end if it has one, with its start if it was open at the kill."""
    store.session.write([], Accounts())
    ended, killed = make_span("ended"), make_span("killed")
    _die_with(store.path, [_opened(ended), ended, _opened(killed)])
    with closing(_writable(store.path)) as other:
        for table in ("span", "open"):
            other.execute(
                f"CREATE TRIGGER fault_{table} BEFORE INSERT ON {table} BEGIN SELECT raise(ABORT, 'no'); END"
            )
    assert store.session.recover() == 0
    assert _counts(store)["dropped"] == {("traces", "store", "encode_error"): 2}


def test_what_the_dead_could_not_keep_is_counted_once(store: Store) -> None:
    """Records that were dropped, or waited in memory, are told by the file; those already told are not."""
    many = [make_span("x" * 2000) for _ in range(600)]

    def store_some_and_tell(journal: Journal) -> None:
        accounts = Accounts()
        accounts.dropped["traces", "queue_full"] = 2
        StoreSession(store.path, lambda: journal.process_lock).write([], accounts)

    _die_with(store.path, many, store_some_and_tell)
    (path,) = (store.path.parent / "journal").glob("*.journal")
    losses = read_journal(path).losses
    assert losses.lost_spans > 2
    assert losses.waiting_spans > 0
    brought = store.session.recover()
    assert brought + losses.lost_spans + losses.waiting_spans == 600
    counts = _counts(store)
    assert counts["dropped"] == {
        ("traces", "store", "queue_full"): losses.lost_spans,
        ("traces", "store", "shutdown"): losses.waiting_spans,
    }
    assert counts["emitted"]["traces",] == 600


def test_the_journal_of_another_format_is_left_alone(store: Store) -> None:
    """Another version of Taskscope wrote it, and will bring it home."""
    from zlib import crc32

    _die_with(store.path, [make_span()])
    (path,) = (store.path.parent / "journal").glob("*.journal")
    data = bytearray(path.read_bytes())
    data[:8] = b"TSJRNL99"
    data[64:68] = crc32(data[:64]).to_bytes(4, "little")
    path.write_bytes(data)
    assert store.session.recover() == 0
    assert path.exists()


def _writable(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def _opened(span: SpanRecord) -> SpanRecord:
    return open_and_end(span)[0]


def _rebuilt(span: SpanRecord) -> SpanRecord:
    """The span with a body that says what its fields say."""
    return make_span(
        span.name, dict(span.attributes), span_id=span.span_id, parent=span.parent_id, kind=span.kind
    )
