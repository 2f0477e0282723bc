"""The journal of a living process: order, room, growth, memory, forks."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskscope.recorder.journal import Journal
from taskscope.store import journals
from taskscope.store.journals import SEGMENT_BYTES, SPAN, read_journal
from taskscope.store.records import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Source(b"resource", b"scope")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    yield journal
    journal.close()


def _append(
    journal: Journal, body: bytes, source: Source = SOURCE, *, is_precious: bool = False
) -> str | None:
    return journal.append(SPAN, source, body, "traces", is_precious)


def _drain(journal: Journal, limit: int = 1000) -> list[bytes]:
    bodies: list[bytes] = []
    while journal.has_records:
        batch = journal.read(limit)
        bodies += [entry.body for entry in batch.entries]
        journal.release(batch)
    return bodies


def _on_disk(folder: Path) -> list[bytes]:
    (path,) = folder.glob("*.journal")
    return [record.body for record in read_journal(path).records]


def test_nothing_is_opened_before_the_first_record(tmp_path: Path) -> None:
    """A journal that took nothing made no file, and none is left of it."""
    journal = Journal(tmp_path / "journal")
    assert not journal.has_records
    assert journal.close()
    assert not (tmp_path / "journal").exists()


def test_a_record_is_in_the_file_when_append_returns(journal: Journal, tmp_path: Path) -> None:
    """Whole, in order, with its source: a kill at this moment loses none."""
    other = Source(b"another resource", b"")
    _append(journal, b"one")
    _append(journal, b"two", other)
    _append(journal, b"three")
    (path,) = tmp_path.glob("*.journal")
    remains = read_journal(path)
    assert [(one.seq, one.kind, one.source, one.body) for one in remains.records] == [
        (1, SPAN, SOURCE, b"one"),
        (2, SPAN, other, b"two"),
        (3, SPAN, SOURCE, b"three"),
    ]
    assert remains.identity is not None
    assert remains.identity.pid == os.getpid()


def test_what_is_read_stays_until_it_is_released(journal: Journal, tmp_path: Path) -> None:
    """A transaction that failed finds the same records again; one that was committed finds the next."""
    bodies = [b"%d" % number for number in range(5)]
    for body in bodies:
        _append(journal, body)
    first = journal.read(2)
    assert journal.read(2) == first
    journal.release(first)
    assert [entry.body for entry in journal.read(9).entries] == bodies[2:]
    assert _on_disk(tmp_path) == bodies


def test_a_drained_journal_begins_at_the_front_again(journal: Journal, tmp_path: Path) -> None:
    """What was released is not found by a reader of the file, though its bytes lie there still."""
    for number in range(1000):
        _append(journal, b"x" * 100)
        if number % 10 == 9:
            assert len(_drain(journal)) == 10
            assert _on_disk(tmp_path) == []
    _append(journal, b"last")
    assert _on_disk(tmp_path) == [b"last"]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks the kernel by /proc")
def test_what_a_burst_needed_leaves_the_memory_of_the_process(journal: Journal, tmp_path: Path) -> None:
    """Drained, no more of the file is resident than one segment; what comes next is in the file as ever."""
    for segments in (4, 3, 6):
        while journal.size_bytes < (segments - 0.5) * SEGMENT_BYTES:
            assert _append(journal, b"x" * 10_000) is None
        assert _read_resident_bytes(tmp_path) > (segments - 1) * SEGMENT_BYTES
        _drain(journal)
        assert _read_resident_bytes(tmp_path) < 1.5 * SEGMENT_BYTES
        _append(journal, b"next")
        assert _on_disk(tmp_path) == [b"next"]
        assert _drain(journal) == [b"next"]


def _read_resident_bytes(folder: Path) -> int:
    """Of this process's mappings of a journal in the folder."""
    resident, is_ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if not line[0].isupper():  # an address: the next mapping
            is_ours = str(folder) in line and line.endswith(".journal")
        elif is_ours and line.startswith("Rss:"):
            resident += int(line.split()[1]) * 1024
    return resident


def test_the_file_grows_to_its_bound_and_then_memory_takes_over(tmp_path: Path) -> None:
    """In order throughout; behind a record in memory the next ones wait there too, until it is drained."""
    journal = Journal(tmp_path, limit_bytes=2 * SEGMENT_BYTES, memory_limit_bytes=SEGMENT_BYTES)
    bodies = [b"%06d" % number + b"x" * 10_000 for number in range(250)]
    for body in bodies:
        assert _append(journal, body) is None
    in_file = _on_disk(tmp_path)
    assert 2 * SEGMENT_BYTES - 20_000 < sum(map(len, in_file)) < 2 * SEGMENT_BYTES
    first = journal.read(50)
    journal.release(first)
    assert _append(journal, b"behind") is None
    rest = [entry.body for entry in first.entries] + _drain(journal)
    assert rest == [*bodies, b"behind"]
    assert _append(journal, b"in the file again") is None
    assert _on_disk(tmp_path)[-1] == b"in the file again"
    (path,) = tmp_path.glob("*.journal")
    assert path.stat().st_size == 64 * 1024 + 2 * SEGMENT_BYTES
    assert not journal.close()


def test_what_no_longer_fits_is_refused_ordinary_records_first(tmp_path: Path) -> None:
    """The reason is told to the caller, and the file tells whoever recovers it."""
    journal = Journal(tmp_path, limit_bytes=0, memory_limit_bytes=10_000)
    while _append(journal, b"x" * 1000) is None:
        pass
    assert _append(journal, b"x" * 1000) == "queue_full"
    assert _append(journal, b"x" * 1000, is_precious=True) is None
    while _append(journal, b"x" * 1000, is_precious=True) is None:
        pass
    (path,) = tmp_path.glob("*.journal")
    losses = read_journal(path).losses
    assert losses.lost_spans == 3
    assert losses.waiting_spans > 1
    _drain(journal)
    assert read_journal(path).losses == losses._replace(waiting_spans=0)
    journal.close()


def test_a_record_larger_than_a_segment_waits_in_memory(journal: Journal, tmp_path: Path) -> None:
    """It is too large for the file, not for the store."""
    large = b"x" * (2 * SEGMENT_BYTES)
    _append(journal, b"before")
    assert _append(journal, large) is None
    _append(journal, b"behind")
    assert _on_disk(tmp_path) == [b"before"]
    assert _drain(journal) == [b"before", large, b"behind"]


def test_a_full_table_of_sources_costs_nothing(journal: Journal, tmp_path: Path) -> None:
    """A source that does not fit into the table travels with its records."""
    sources = [Source(b"%03d" % number * 1000, b"s") for number in range(40)]
    for source in sources:
        _append(journal, b"body", source)
    (path,) = tmp_path.glob("*.journal")
    assert [record.source for record in read_journal(path).records] == sources
    assert [entry.source for entry in journal.read(99).entries] == sources


@pytest.mark.parametrize("call", ["posix_fallocate", "open"])
def test_without_a_file_memory_serves_and_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A full disk, a folder that cannot be written: nothing is lost while it lasts, and it is made later."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    journal = Journal(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        assert _append(journal, b"one") is None
        assert _append(journal, b"two") is None
        assert isinstance(journal.error, OSError)
    assert list(tmp_path.glob("*.journal")) == []
    assert _drain(journal) == [b"one", b"two"]
    journal.try_again()
    assert not journal.has_records
    _append(journal, b"three")
    assert _on_disk(tmp_path) == [b"three"]
    assert not journal.close()


def test_a_file_that_cannot_grow_leaves_the_rest_to_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up under way raises nothing and loses nothing."""
    journal = Journal(tmp_path)
    _append(journal, b"x" * 1000)
    monkeypatch.setattr(journals, "_allocate", _full_disk)
    for _ in range(1500):
        assert _append(journal, b"x" * 1000) is None
    assert len(_drain(journal)) == 1501
    journal.close()


def _full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space left on device")


def test_threads_do_not_mix_their_records(journal: Journal) -> None:
    """Eight threads beside a draining one: every record arrives once, and each thread's in its order."""
    done = threading.Event()
    got: list[bytes] = []

    def drain() -> None:
        while not done.is_set() or journal.has_records:
            got.extend(_drain(journal, 64))

    def work(name: int) -> None:
        for number in range(500):
            _append(journal, b"%d %04d" % (name, number))

    drainer = threading.Thread(target=drain)
    drainer.start()
    workers = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done.set()
    drainer.join()
    assert len(got) == len(set(got)) == 4000
    assert [body for body in got if body.startswith(b"3 ")] == [b"3 %04d" % number for number in range(500)]


def test_a_forked_child_writes_a_file_of_its_own(journal: Journal, tmp_path: Path) -> None:
    """The parent's records stay the parent's, and its file is not touched by the child."""
    _append(journal, b"parent")
    child = os.fork()
    if child == 0:
        journal.begin_in_child()
        _append(journal, b"child")
        os._exit(0 if not journal.close() else 1)
    assert os.waitpid(child, 0)[1] == 0
    _append(journal, b"parent again")
    found = {
        read_journal(path).identity.pid: [one.body for one in read_journal(path).records]  # type: ignore[union-attr]
        for path in tmp_path.glob("*.journal")
    }
    assert found == {os.getpid(): [b"parent", b"parent again"], child: [b"child"]}


def test_closing_an_empty_journal_removes_it(tmp_path: Path) -> None:
    """One that still holds records is left for recovery, and takes no more."""
    journal = Journal(tmp_path)
    _append(journal, b"one")
    assert _drain(journal) == [b"one"]
    assert journal.close()
    assert list(tmp_path.glob("*.journal")) == []
    assert _append(journal, b"late") == "shutdown"
