from __future__ import annotations

import gc
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from taskscope.errors import StoreError, StoreMissingError, StoreTooNewError
from taskscope.store.database import insert_many, open_database, transaction
from taskscope.store.migrations import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from pathlib import Path

_CREATE = """
import sys
from pathlib import Path
from taskscope.store.database import open_database
sys.stdin.readline()
connection = open_database(Path(sys.argv[1]), create=True)
connection.execute("BEGIN IMMEDIATE")
connection.execute(
    "INSERT INTO process(pid, boot, start_ticks, lock, started, seen) VALUES(1, '', 0, '', 0, 0)")
connection.execute("COMMIT")
"""


def test_threads_create_the_store_at_once(tmp_path: Path) -> None:
    """None finds it locked, half made or of another program: the kernel's lock knows processes only."""
    for round_number in range(20):
        path = tmp_path / f"{round_number}.db"
        barrier = threading.Barrier(4)

        def create(path: Path = path, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            with closing(open_database(path, create=True)) as connection:
                return int(connection.execute("PRAGMA application_id").fetchone()[0])

        with ThreadPoolExecutor(4) as pool:
            made = [pool.submit(create) for _ in range(4)]
            assert [one.result() for one in made] == [APPLICATION_ID] * 4


def test_sixteen_processes_create_the_store_at_once(tmp_path: Path) -> None:
    """None of them finds it locked, and the migration has run once."""
    path = tmp_path / "home" / "taskscope.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CREATE, str(path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(16)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    errors = [process.communicate()[1].decode() for process in processes]
    assert errors == [""] * 16
    with closing(open_database(path, create=False)) as connection:
        assert connection.execute("SELECT count(*) FROM process").fetchone() == (16,)
        assert connection.execute("SELECT count(*) FROM migration").fetchone() == (len(MIGRATIONS),)


def test_only_its_owner_may_read_the_store(tmp_path: Path) -> None:
    """Home is 700, the file and what SQLite puts beside it 600."""
    path = tmp_path / "home" / "taskscope.db"
    with closing(open_database(path, create=True)) as connection, transaction(connection):
        connection.execute("INSERT INTO meta VALUES('a', 'b')")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes.keys() >= {"taskscope.db", "taskscope.db-wal", "taskscope.db-shm", "taskscope.db.lock"}
    assert set(modes.values()) == {0o600}


def test_the_pragmas_hold(tmp_path: Path) -> None:
    """WAL, NORMAL and five seconds of patience, on a connection of the second opener too."""
    path = tmp_path / "taskscope.db"
    open_database(path, create=True).close()
    with closing(open_database(path, create=True)) as connection:
        values = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "busy_timeout", "journal_size_limit")
        ]
    assert values == ["wal", 1, 5000, 16777216]


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """It is not touched, and the message says what to do."""
    path = tmp_path / "taskscope.db"
    with closing(open_database(path, create=True)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for create in (True, False):
        with pytest.raises(StoreTooNewError, match=r"schema version 99.*upgrade Taskscope"):
            open_database(path, create=create)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)


def test_an_empty_store_is_read_after_a_writer_made_it_one(tmp_path: Path) -> None:
    """A reader does not change it and says what it is; the writer's steps are in the ledger."""
    path = tmp_path / "taskscope.db"
    path.touch()
    with pytest.raises(StoreMissingError, match="is empty: nothing was recorded yet"):
        open_database(path, create=False, read_only=True)
    open_database(path, create=True).close()
    with closing(open_database(path, create=False, read_only=True)) as connection:
        assert connection.execute("SELECT number, name FROM migration").fetchall() == [
            (number, name) for number, (name, _) in enumerate(MIGRATIONS, 1)
        ]


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """A table stands in its way: none of the other tables is there afterwards."""
    path = tmp_path / "taskscope.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("CREATE TABLE histogram(a)")
    with pytest.raises(StoreError, match="already exists"):
        open_database(path, create=True)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("histogram",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)


def test_a_missing_store_is_told(tmp_path: Path) -> None:
    """Reading does not create one."""
    path = tmp_path / "taskscope.db"
    with pytest.raises(StoreMissingError, match=r"no store at .*AGENT_HOME"):
        open_database(path, create=False, read_only=True)
    assert not path.exists()


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """Garbage and the database of another program are errors of the store, and stay as they are."""
    garbage, foreign = tmp_path / "garbage.db", tmp_path / "foreign.db"
    garbage.write_bytes(b"not a database, whatever it is" * 99)
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE t(a)")
    with pytest.raises(StoreError, match="not a database"):
        open_database(garbage, create=True)
    with pytest.raises(StoreError, match="of another program"):
        open_database(foreign, create=True)
    assert garbage.read_bytes().startswith(b"not a database")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file stands where the home folder should be."""
    (tmp_path / "home").write_text("a file")
    with pytest.raises(StoreError, match="cannot open the store"):
        open_database(tmp_path / "home" / "taskscope.db", create=True)


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 64, 575, 1100])
def test_many_rows_are_inserted_once_each(tmp_path: Path, rows: int) -> None:
    """However they fall into statements of 512, 64, 8 and 1."""
    with closing(open_database(tmp_path / "taskscope.db", create=True)) as connection:
        insert_many(connection, "meta", ("name", "value"), [(str(number), "x") for number in range(rows)])
        found = connection.execute("SELECT name FROM meta WHERE value = 'x' ORDER BY CAST(name AS INTEGER)")
        assert [name for (name,) in found] == [str(number) for number in range(rows)]


def test_inserting_leaves_nothing_in_memory(tmp_path: Path) -> None:
    """Not even freed tuples, of which CPython keeps 2,000 of each length until the next full collection."""
    with closing(open_database(tmp_path / "taskscope.db", create=True)) as connection:
        replace = "(name) DO UPDATE SET value = excluded.value"
        insert = partial(
            insert_many, connection, "meta", ("name", "value"), [("a", "b")], on_conflict=replace
        )
        insert()
        gc.collect()
        gc.disable()
        try:
            before = sys.getallocatedblocks()
            for _ in range(1000):
                insert()
            assert sys.getallocatedblocks() - before < 500
        finally:
            gc.enable()


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    """And the connection can be used again."""
    with closing(open_database(tmp_path / "taskscope.db", create=True)) as connection:
        with pytest.raises(sqlite3.IntegrityError), transaction(connection):
            insert_many(
                connection,
                "meta",
                ("name", "value"),
                [("a", "b"), *((str(n), "b") for n in range(7)), ("a", "b")],
            )
        with transaction(connection):
            assert connection.execute("SELECT count(*) FROM meta WHERE name = 'a'").fetchone() == (0,)


def test_reading_does_not_need_to_write(tmp_path: Path) -> None:
    """A read-only connection sees what a writer committed and refuses to write."""
    path = tmp_path / "taskscope.db"
    with (
        closing(open_database(path, create=True)) as writer,
        closing(open_database(path, create=False, read_only=True)) as reader,
    ):
        with transaction(writer):
            writer.execute("INSERT INTO meta VALUES('a', 'b')")
        assert reader.execute("SELECT value FROM meta WHERE name = 'a'").fetchone() == ("b",)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM meta")
    assert os.access(path, os.W_OK)


_VISIT = """
import sys
from pathlib import Path
from taskscope.store.database import open_database
open_database(Path(sys.argv[1]), create=True).close()
"""


def test_opening_again_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """A second connection comes, another process comes and goes: the first still writes the store.

    POSIX drops all locks of a process on a file when it closes any descriptor of it; the visitor would then
    take itself for the last one and delete the log file that the first connection goes on writing to.
    """
    path = tmp_path / "taskscope.db"
    with closing(open_database(path, create=True)) as first, closing(open_database(path, create=True)):
        with transaction(first):
            first.execute("INSERT INTO meta VALUES('a', '1')")
        subprocess.run([sys.executable, "-c", _VISIT, str(path)], check=True)
        with transaction(first):
            first.execute("INSERT INTO meta VALUES('b', '2')")
        query = (
            "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM meta'))"
        )
        seen = subprocess.run(
            [sys.executable, "-c", query, str(path)], check=True, capture_output=True, text=True
        )
    assert seen.stdout == "(3,)\n"
