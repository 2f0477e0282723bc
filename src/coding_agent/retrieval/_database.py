"""SQLite files that hold nothing which could not be built again: indexes and caches.

Several processes share one file (WAL, waiting, BEGIN IMMEDIATE). A connection lives for one operation, so
that threads and forks need no care. A broken file, or one of another version, is set aside and begun anew.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from coding_agent.shared_files import locked, make_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

_log = logging.getLogger(__name__)

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PRIMARY = 0xFF
"""SQLite's extended error codes keep the primary one in the low byte."""


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, as against busy, full or unreadable."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY in _CORRUPT


class Database:
    """One file, its schema, and short-lived connections to it."""

    def __init__(
        self, path: Path, schema: str, *, version: int, wait: float = 30.0, page_size: int = 4096
    ) -> None:
        self.path = path
        self._schema = schema
        self._version = version
        self._wait = wait
        self._page_size = page_size
        self._prepared: tuple[int, int] | None = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reads; changes made through it are not kept."""
        with closing(self._connect()) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one write transaction, kept on success, undone on any exception."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK") if connection.in_transaction else None
                raise
            connection.execute("COMMIT")

    def exists(self) -> bool:
        """Whether the file is there; asking makes none."""
        return self.path.exists()

    def set_aside(self, reason: str) -> None:
        """Move the file out of the way, and say so; another process may have done it already."""
        seen = self._prepared
        with self._locked():
            if self._identity() is not None and (seen is None or self._identity() == seen):
                kept = self.path.with_name(f"{self.path.name}.broken")
                for suffix in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                self.path.replace(kept)
                _log.warning("index %s set aside as %s and built anew: %s", self.path, kept.name, reason)
        self._prepared = None

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self.set_aside(str(error))
            return self._open()

    def _open(self) -> sqlite3.Connection:
        if self._prepared is None or self._prepared != self._identity():
            self._prepare()
        connection = sqlite3.connect(self.path, timeout=self._wait, isolation_level=None)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _prepare(self) -> None:
        """Make or check the file, once for each instance and file, under a lock that all processes share."""
        make_private(self.path.parent)
        with self._locked():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)) if not self.exists() else None
            with closing(sqlite3.connect(self.path, timeout=self._wait, isolation_level=None)) as connection:
                found = connection.execute("PRAGMA user_version").fetchone()[0]
                if found == 0:
                    self._create(connection)
        self._prepared = self._identity()
        if found not in {0, self._version}:
            self.set_aside(f"version {found}, this program writes {self._version}")
            self._prepare()

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA page_size = {self._page_size:d}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {self._schema}; PRAGMA user_version = {self._version:d}; COMMIT;")

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _locked(self) -> AbstractContextManager[None]:
        """The lock of making and setting aside; not on the file itself: closing that drops SQLite's."""
        return locked(self.path.with_name(f"{self.path.name}.lock"))
