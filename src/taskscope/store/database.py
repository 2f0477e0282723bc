"""Opens the store's file: created once under a lock, WAL, with our pragmas; and runs its transactions.

Every error of SQLite that a person has to know leaves as a StoreError; which tables there are stands in
`migrations.py`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from taskscope.errors import StoreError, StoreMissingError, TaskscopeError

from .exclusion import exclusively
from .migrations import APPLICATION_ID, MIGRATIONS, migrate, read_version, refuse_newer

_P = ParamSpec("_P")
_T = TypeVar("_T")

_BUSY_TIMEOUT_MS = 5000  # four writers at 500 spans/s: no BUSY with 50 ms; a creation may take longer
_PRAGMAS = (
    "PRAGMA synchronous = NORMAL",  # safe from kill -9; a power cut may cost the last commits, not the file
    "PRAGMA wal_autocheckpoint = 1000",
    "PRAGMA journal_size_limit = 16777216",
    "PRAGMA cache_size = -512",  # KiB, and what a process that runs task after task grows by
)


def open_database(path: Path, *, create: bool, read_only: bool = False) -> sqlite3.Connection:
    """A connection to the store at `path`, in autocommit mode; the caller closes it.

    Raises StoreMissingError when there is none and `create` is false, StoreTooNewError when a newer version
    has changed it, StoreError when it cannot be opened or is no store of ours.
    """
    try:
        if create and not read_only:
            _prepare(path)
        elif not path.exists():
            advice = "run `taskscope run` once, or set AGENT_HOME to the folder that has one"
            msg = f"no store at {str(path)!r}: {advice}"
            raise StoreMissingError(msg)
        return _open(path, read_only=read_only)
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, StoreError):
            raise
        msg = f"cannot open the store {str(path)!r}: {error}; set AGENT_HOME to a folder that can be written"
        raise StoreError(msg) from error


def open_at(path: Path) -> tuple[sqlite3.Connection, int]:
    """A connection for writing and the number of the file that it is to; raises what `open_database` does.

    Never one that took the other's place meanwhile: who held the old one for it would write for ever into a
    file that nobody can find.
    """
    while True:
        before = find_inode(path)
        connection = open_database(path, create=True)
        if before is not None and before == find_inode(path):
            return connection, before
        connection.close()


def find_inode(path: Path) -> int | None:
    """Which file stands at `path` now, None if there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _prepare(path: Path) -> None:
    """Create or migrate the file under a lock: without, 33 of 320 that did so at once found it locked."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusively(path):
        # Only a file that is not there yet: to close any descriptor of the database drops all locks that this
        # process holds on it, and another process then tidies away the log file that we go on writing to.
        with contextlib.suppress(FileExistsError):
            # SQLite gives -wal and -shm the mode of the file.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with contextlib.closing(_connect(path, "rw")) as connection:
            _check(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            migrate(connection)


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    connection = _connect(path, "ro" if read_only else "rw")
    try:
        _check(connection, path)
        if read_version(connection) == 0:
            msg = f"store {str(path)!r} is empty: nothing was recorded yet, or its disk was full"
            raise StoreMissingError(msg)  # noqa: TRY301  one border for all errors of opening
        if read_version(connection) < len(MIGRATIONS):
            msg = (
                f"store {str(path)!r} is of an older version: run any writing command, `taskscope run`, once"
            )
            raise StoreMissingError(msg)  # noqa: TRY301  as above
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_TIMEOUT_MS / 1000,
        check_same_thread=False,  # a writer's connection is closed by whoever shuts it down
    )
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is not ours or too new."""
    with one_moment(connection):  # another process may create the tables between two looks
        version = read_version(connection)
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        has_tables = connection.execute("SELECT EXISTS(SELECT 1 FROM sqlite_master)").fetchone()[0]
    refuse_newer(version, path)
    if has_tables and application != APPLICATION_ID:
        msg = f"{str(path)!r} is a database of another program: set AGENT_HOME to another folder"
        raise StoreError(msg)


def tells_store_errors(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """A function that reads the store, with what it finds broken as StoreError."""

    @functools.wraps(read)
    def reading(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except TaskscopeError:
            raise
        except (sqlite3.Error, ValueError) as error:  # ValueError: a body that is no OTLP
            msg = f"cannot read the store: {error}; move its file away, or set AGENT_HOME to another folder"
            raise StoreError(msg) from error

    return reading


@contextlib.contextmanager
def one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """One read transaction: all that is read in it belongs together."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:  # an I/O error ends it by itself
            connection.execute("ROLLBACK")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: taken at once, so that it cannot fail half way for being busy."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk rolls back by itself
            connection.execute("ROLLBACK")
        raise


def find_locks_path(connection: sqlite3.Connection) -> Path:
    """The folder of the lock files of a store's processes: `journal/` beside the file."""
    return Path(connection.execute("PRAGMA database_list").fetchone()[2]).parent / "journal"


def read_free_bytes(connection: sqlite3.Connection) -> int:
    """How much of the store's file holds nothing: pages of what left, which new records fill first."""
    page_size, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "freelist_count")
    )
    return int(free * page_size)


_ROWS_AT_ONCE = (512, 64, 8, 1)  # at most 5,120 variables; SQLite allows 32,766 since 3.32


def insert_many(
    connection: sqlite3.Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[tuple[object, ...]],
    *,
    on_conflict: str = "",
) -> None:
    """Insert rows by statements of 512, 64, 8 and 1 rows.

    `executemany` steps once for each row and gives the GIL away each time: 1,300 rows/s beside a busy thread
    against 31,000.
    """
    for some in cut(rows):
        # A list: CPython keeps up to 2,000 freed tuples of each length. One that is made of an iterator is
        # taken from those of length 10 and left to those of its own: each call would leave one more.
        flat = list(itertools.chain.from_iterable(some))
        connection.execute(_insertion(table, columns, len(some), on_conflict), flat)


def cut(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Pieces of 512, 64, 8 and 1: of few sizes, because each makes a statement that is kept prepared."""
    position = 0
    for size in _ROWS_AT_ONCE:
        while len(rows) - position >= size:
            yield rows[position : position + size]
            position += size


@functools.cache
def _insertion(table: str, columns: tuple[str, ...], size: int, on_conflict: str) -> str:
    """The statement; one text each time, so that SQLite's prepared one is found by identity."""
    values = ", ".join((f"({', '.join('?' * len(columns))})",) * size)
    tail = f" ON CONFLICT{on_conflict}" if on_conflict else ""
    return f"INSERT INTO {table}({', '.join(columns)}) VALUES {values}{tail}"  # noqa: S608  our own words
