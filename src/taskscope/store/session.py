"""One process's hold on the store: its lock file, its row, its connection; opened at the first write.

The connection may be laid down and taken up again around a fork: SQLite keeps its locks per process, and
a child that inherited an open database would think it holds the parent's.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .database import open_database
from .ingest import Ingest
from .processes import ProcessLock, register_process

if TYPE_CHECKING:
    from .accounts import Accounts
    from .records import Record


def bring_home(path: Path) -> int:
    """Bring home what dead processes left beside the store at `path`; the number of spans.

    Makes the store where there is none. Raises StoreError or sqlite3.Error, and may be tried again.
    """
    with contextlib.closing(open_database(path, create=True)) as connection:
        return Ingest(connection, None).recover()


class StoreSession:
    """Writes for one process; every method may raise StoreError or sqlite3.Error, and may be tried again."""

    def __init__(self, path: Path, find_lock: Callable[[], ProcessLock | None] = lambda: None) -> None:
        """`find_lock`: the lock that this process holds as the owner of its journal, and lets go itself."""
        self.path = path
        self._find_lock = find_lock
        self._lock: ProcessLock | None = None
        self._own_lock: ProcessLock | None = None
        self._process_id: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._ingest: Ingest | None = None
        self._has_recovered = False
        self._brought_home = 0

    @property
    def has_open_spans(self) -> bool:
        """Whether spans of this process are on record as open."""
        return self._ingest is not None and self._ingest.has_open_spans

    def write(self, batch: Sequence[Record], accounts: Accounts, *, journal_seq: int = 0) -> None:
        """Store a batch, whole or not at all, with the number of its last record in the journal."""
        self._open().write(batch, accounts, journal_seq=journal_seq)

    def recover(self) -> int:
        """Bring home what dead processes left; the number of spans, those of the session's own start too."""
        brought = self._open().recover() + self._brought_home
        self._brought_home = 0
        return brought

    def beat(self) -> None:
        """Give a sign of life."""
        if self._lock is not None:
            self._lock.beat()

    def suspend(self) -> None:
        """Close the connection, keep the rest; the next write opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self, *, is_done: bool = True) -> None:
        """Let everything go; errors of the store are not told.

        With `is_done` the process is noted to have ended well. Without, something stands in its journal
        yet, and whoever finds its lock free brings that home.
        """
        with contextlib.suppress(sqlite3.Error, OSError):
            if is_done and self._connection is not None and self._ingest is not None:
                self._ingest.end_process(time.time_ns())
        with contextlib.suppress(sqlite3.Error, OSError):
            self.suspend()
            if self._own_lock is not None:
                self._own_lock.release(remove=is_done)
        self._own_lock = self._lock = self._ingest = self._process_id = None

    def _open(self) -> Ingest:
        if self._connection is not None and self._ingest is not None:
            return self._ingest
        connection = open_database(self.path, create=True)
        try:
            if self._lock is None:
                self._lock = self._find_lock()
            if self._lock is None:
                self._lock = self._own_lock = ProcessLock(self.path.parent / "journal")
            if self._process_id is None:
                self._process_id = register_process(connection, self._lock)
            ingest = self._ingest or Ingest(connection, self._process_id)
            ingest.connect(connection)
            if not self._has_recovered:
                self._brought_home = ingest.recover()
                self._has_recovered = True
        except BaseException:
            connection.close()
            raise
        self._connection, self._ingest = connection, ingest
        return ingest
