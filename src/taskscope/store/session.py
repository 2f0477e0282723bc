"""One process's hold on the store: its lock file, its row, its connection; opened at the first write.

The connection may be laid down and taken up again around a fork: SQLite keeps its locks per process, and
a child that inherited an open database would think it holds the parent's. It is taken up anew too when the
file at its place is another one: a damaged store that was set aside, or one that a person has deleted.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .damage import is_damage, set_aside
from .database import find_inode, open_at, open_database
from .ingest import Ingest
from .mounts import find_network_type
from .processes import ProcessLock, register_process
from .records import LogRecord, SpanRecord
from .retention import Limits, NoteExpired, is_full, limit_pages, tend

if TYPE_CHECKING:
    from .accounts import Accounts
    from .records import Record, Source

_ROOM_FACTOR: Final = 2
"""What records take in the file, with indexes and the log, of what their bodies take."""
_TEND_S: Final = 10.0
"""How often age and size are looked at; at once again while there is more to do."""

_logger = logging.getLogger(__name__)


def bring_home(path: Path) -> int:
    """Bring home what dead processes left beside the store at `path`; the number of spans.

    Makes the store where there is none. Raises StoreError or sqlite3.Error, and may be tried again.
    """
    with contextlib.closing(open_database(path, create=True)) as connection:
        return Ingest(connection, None).recover()


def _size_of(record: Record) -> int:
    if isinstance(record, SpanRecord):
        return len(record.body)
    return len(record.encoded) if isinstance(record, LogRecord) else 0


@functools.cache
def _warn_of_network(kind: str, path: Path) -> None:
    _logger.warning(
        "taskscope: the store %s lies on a network file system (%s); several hosts at once would damage it: "
        "set AGENT_HOME to a local folder",
        path,
        kind,
    )


class StoreSession:
    """Writes for one process; every method may raise StoreError or sqlite3.Error, and may be tried again."""

    def __init__(
        self,
        path: Path,
        find_lock: Callable[[], ProcessLock | None] = lambda: None,
        *,
        limits: Limits | None = None,
        note_expired: NoteExpired = lambda _connection, _signal, _numbers: None,
        source: Source | None = None,
    ) -> None:
        """`find_lock`: the lock that this process holds as the owner of its journal, and lets go itself.

        `source`: who tells of this process's losses; without it they are counted alone.
        """
        self.path = path
        self._find_lock = find_lock
        self._limits = limits
        self._note_expired = note_expired
        self._source = source
        self._lock: ProcessLock | None = None
        self._own_lock: ProcessLock | None = None
        self._inode: int | None = None
        self._process_id: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._ingest: Ingest | None = None
        self._has_recovered = False
        self._brought_home = 0
        self._tend_at = time.monotonic() + _TEND_S

    @property
    def has_open_spans(self) -> bool:
        """Whether spans of this process are on record as open."""
        return self._ingest is not None and self._ingest.has_open_spans

    def write(self, batch: Sequence[Record], accounts: Accounts, *, journal_seq: int = 0) -> None:
        """Store a batch, whole or not at all, with the number of its last record in the journal.

        A damaged store is set aside: the error is raised, and the next try makes a new one.
        """
        try:
            try:
                self._open().write(batch, accounts, journal_seq=journal_seq)
            except sqlite3.Error as error:
                if not is_full(error):
                    raise
                self._tend_at = 0.0  # at its size, where only what leaves makes room
                self._tend(coming_bytes=_ROOM_FACTOR * sum(map(_size_of, batch)))
                self._open().write(batch, accounts, journal_seq=journal_seq)
        except (sqlite3.Error, OSError) as error:
            if is_damage(error):
                self._set_aside(error)
            raise
        self._tend()

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
        if self._inode != find_inode(self.path):
            self._begin_anew()
        if self._connection is not None and self._ingest is not None:
            return self._ingest
        connection, inode = open_at(self.path)
        if kind := find_network_type(self.path.parent):
            _warn_of_network(kind, self.path)
        try:
            if self._limits is not None:
                limit_pages(connection, self._limits.size_bytes)
            if self._lock is None:
                self._lock = self._find_lock()
            if self._lock is None:
                self._lock = self._own_lock = ProcessLock(self.path.parent / "journal")
            if self._process_id is None:
                self._process_id = register_process(connection, self._lock)
            ingest = self._ingest or Ingest(connection, self._process_id, self._source)
            ingest.connect(connection)
            if not self._has_recovered:
                self._brought_home = ingest.recover()
                self._has_recovered = True
        except BaseException:
            connection.close()
            raise
        self._connection, self._ingest, self._inode = connection, ingest, inode
        return ingest

    def _begin_anew(self) -> None:
        """Forget what was known of the file that stood here."""
        with contextlib.suppress(sqlite3.Error):
            self.suspend()
        self._connection = self._ingest = self._process_id = None

    def _set_aside(self, error: BaseException) -> None:
        inode = self._inode if self._connection is not None else find_inode(self.path)
        self._begin_anew()
        self._inode = None
        with contextlib.suppress(OSError):
            aside = set_aside(self.path, inode)
            if aside is not None:
                _logger.error(
                    "taskscope: the store is damaged (%s); it was set aside as %s, and a new one begins",
                    error,
                    aside,
                )

    def _tend(self, coming_bytes: int = 0) -> None:
        """Keep age and size, now and then; what fails is tried again."""
        if self._limits is None or self._connection is None or time.monotonic() < self._tend_at:
            return
        is_more = False
        with contextlib.suppress(sqlite3.Error):
            is_more = tend(
                self._connection,
                self._limits,
                time.time_ns(),
                self._note_expired,
                coming_bytes=coming_bytes,
            )
        self._tend_at = time.monotonic() + (0 if is_more else _TEND_S)
