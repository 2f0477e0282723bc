"""A damaged store is set aside and told; a new one takes its place, and no record is lost by it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskscope.errors import StoreError
from taskscope.health.checks import StoreCheck
from taskscope.recorder.intake import Intake
from taskscope.recorder.journal import Journal
from taskscope.recorder.writer import Writer
from taskscope.store.accounts import Accounts
from taskscope.store.damage import find_set_aside, is_damage, set_aside
from taskscope.store.database import find_inode, open_database
from taskscope.store.session import StoreSession

from .builders import make_span, make_task, open_and_end

if TYPE_CHECKING:
    from .conftest import Store


def _spans(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT span FROM span ORDER BY seq")]


def _overwrite(path: Path, *, at: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(size))


@pytest.mark.parametrize("at", [0, 4096 * 3], ids=["head", "tables"])
def test_a_damaged_store_is_set_aside_and_the_records_go_into_a_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at: int
) -> None:
    """What waited in the journal is stored once; the old file is kept as it was and named."""
    path = tmp_path / "taskscope.db"
    session = StoreSession(path)
    session.write([make_span() for _ in range(500)], Accounts())
    session.close()
    _overwrite(path, at=at, size=path.stat().st_size - at)
    damaged = path.read_bytes()
    journal = Journal(tmp_path / "journal")
    writer = Writer(journal, lambda find_lock: StoreSession(path, find_lock))
    intake = Intake(journal, writer)
    new = [make_span() for _ in range(5)]
    for span in new:
        intake.submit(span)
    assert not writer.flush(30)
    assert writer.flush(30)
    assert writer.shutdown(30)
    assert _spans(path) == [span.span_id for span in new]
    (aside,) = find_set_aside(path)
    assert aside.read_bytes() == damaged
    assert str(aside) in caplog.text
    result = StoreCheck(path=path).run()
    assert (result.status, str(aside) in result.detail) == ("warn", True)


def test_a_file_that_takes_the_place_while_it_is_opened_is_not_taken_for_the_old_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a process writes for ever into a file that nobody can find."""
    store.session.write([], Accounts())
    opened: list[Path] = []

    def open_and_replace(path: Path, *, create: bool) -> sqlite3.Connection:
        connection = open_database(path, create=create)
        if not opened:
            for part in ("", "-wal", "-shm"):
                Path(f"{path}{part}").unlink(missing_ok=True)
        opened.append(path)
        return connection

    monkeypatch.setattr("taskscope.store.database.open_database", open_and_replace)
    span = make_span()
    session = StoreSession(store.path)
    session.write([span], Accounts())
    assert _spans(store.path) == [span.span_id]
    assert len(opened) > 1


def test_a_deleted_store_is_made_anew(store: Store) -> None:
    """A process does not go on writing into a file that nobody can find; open spans end in the new one."""
    start, end = open_and_end(make_task())
    store.session.write([start, make_span()], Accounts())
    for part in ("", "-wal", "-shm"):
        Path(f"{store.path}{part}").unlink()
    store.session.write([end], Accounts())
    assert _spans(store.path) == [end.span_id]


def test_of_many_who_find_the_damage_one_sets_it_aside(tmp_path: Path) -> None:
    """A store that has taken the damaged one's place is left alone."""
    path = tmp_path / "taskscope.db"
    path.write_text("no database")
    inode = find_inode(path)
    assert set_aside(path, inode) is not None
    path.write_text("a new one")
    assert set_aside(path, inode) is None
    assert path.read_text() == "a new one"
    second = find_inode(path)
    assert set_aside(path, second) is not None
    assert len(find_set_aside(path)) == 2


def test_only_the_files_own_fault_is_damage() -> None:
    """A full disk, a busy store, a wrong statement are none; what wraps the fault is."""
    with closing(sqlite3.connect(":memory:")) as connection:
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("SELECT nothing FROM nowhere")
        assert not is_damage(caught.value)
    assert not is_damage(OSError(28, "no space left on device"))
    assert not is_damage(None)
    damage = sqlite3.DatabaseError("file is not a database")
    damage.sqlite_errorcode = 26
    wrapped = StoreError("cannot open")
    wrapped.__cause__ = damage
    assert is_damage(wrapped)
