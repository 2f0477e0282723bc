"""What dead processes left in the folder of journals, and how it is read for bringing it home.

A process is dead when nobody holds the lock of its file; that is the kernel's word, and a process that is
stopped, or a parent whose child lives on, keeps its own. The transaction that brings it home is in
`ingest.py`.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .accounts import Accounts
from .decoding import NO_SOURCE, decode
from .journals import SUFFIX, Remains, read_journal
from .processes import Identity, enter_process, find_process, is_owner_alive
from .records import LogRecord, SpanRecord

if TYPE_CHECKING:
    from .journals import JournalRecord
    from .records import Record, Source

_UNKNOWN = Identity(0, "", 0)
_SIGNALS = ("traces", "logs")
_UNLOCKED_S = 60
"""A lock file is locked, and gets its name, within microseconds; this old, its maker is dead."""
_SIZE_LIMIT = 64 * 1024 * 1024
"""Of a file that is taken for a journal; ours end at 8 MiB and a bit."""


@dataclass(frozen=True)
class LeftJournal:
    """The journal of a dead process."""

    path: Path
    remains: Remains
    last_sign_ns: int
    """When the process was last known to live."""

    @property
    def source(self) -> Source:
        """Who wrote it: resource and scope of its first record."""
        return next((record.source for record in self.remains.records), NO_SOURCE)

    def enter(self, connection: sqlite3.Connection) -> tuple[int | None, int]:
        """The process's number in the store and the last record that it stored itself; None if it has ended.

        One that died before its first write gets its row here.
        """
        lock = self.path.with_suffix(".lock").name
        process = find_process(connection, lock)
        if process is None:
            identity, started_ns = self.remains.identity or _UNKNOWN, self.remains.started_ns
            return enter_process(connection, identity, lock, started_ns), 0
        return None if process.ended_ns is not None else process.id, process.journal_seq

    def read_after(
        self, seq: int, records: Sequence[JournalRecord] | None = None
    ) -> tuple[list[Record], Accounts]:
        """Those of the journal's records, or of `records`, that were not stored yet; errors are counted."""
        accounts = Accounts()
        read: list[Record] = []
        for record in self.remains.records if records is None else records:
            if record.seq > seq:
                try:
                    read.append(decode(record.kind, record.source, record.body))
                except ValueError as error:
                    accounts.errors["store", type(error).__name__] += 1
        return read, accounts

    def add_losses(self, accounts: Accounts, connection: sqlite3.Connection) -> None:
        """Count the records that are in no file, but for those whose loss the process told itself."""
        lock = self.path.with_suffix(".lock").name
        row = connection.execute("SELECT lost_spans, lost_logs FROM process WHERE lock = ?", (lock,))
        told = row.fetchone() or (0, 0)
        losses = self.remains.losses
        for signal, lost, known in zip(_SIGNALS, losses[:2], told, strict=True):
            accounts.dropped[signal, "queue_full"] += max(lost - known, 0)
        for signal, waiting in zip(_SIGNALS, losses[2:], strict=True):
            accounts.dropped[signal, "shutdown"] += waiting
        accounts.dropped = +accounts.dropped

    def count_lost(self, records: Iterable[Record]) -> Counter[tuple[str, str]]:
        """What is lost with records that no table takes, by signal and reason.

        A span is lost once: with its end, or with its start if it never ended.
        """
        lost: Counter[tuple[str, str]] = Counter()
        for record in records:
            if isinstance(record, LogRecord):
                lost["logs", "encode_error"] += 1
            elif isinstance(record, SpanRecord) and not (record.is_open and record.span_id in self._ended):
                lost["traces", "encode_error"] += 1
        return lost

    @functools.cached_property
    def _ended(self) -> set[bytes]:
        """Ids of the spans whose end stands here too."""
        records, _ = self.read_after(0)
        return {one.span_id for one in records if isinstance(one, SpanRecord) and not one.is_open}

    def set_aside(self) -> None:
        """Keep the file under a name that is not looked at again."""
        with contextlib.suppress(OSError):
            self.path.rename(self.path.with_name(f"{self.path.name}.damaged"))
            self.path.with_suffix(".lock").unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the journal and its lock file: all that stood there is in the store."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".lock").unlink(missing_ok=True)


def find_left(folder: Path) -> Iterator[LeftJournal]:
    """The journals in a folder whose owner is dead; those of another format are left alone."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with contextlib.suppress(OSError):
            lock = path.with_suffix(".lock")
            # The lock first, which costs a microsecond: a journal that is being written is not read.
            if lock.exists() and is_owner_alive(lock, None):
                continue
            found = path.stat()
            if found.st_size > _SIZE_LIMIT:
                continue
            remains = read_journal(path)
            if remains.is_foreign or is_owner_alive(lock, remains.identity):
                continue
            yield LeftJournal(path, remains, _last_sign_ns(lock, remains.started_ns))


def has_left(folder: Path) -> bool:
    """Whether a dead process left a journal."""
    return any(
        not is_owner_alive(lock, None) for lock in (p.with_suffix(".lock") for p in folder.glob(f"*{SUFFIX}"))
    )


def tidy_up(connection: sqlite3.Connection, folder: Path) -> None:
    """Remove lock files of the dead that nobody will ask for again.

    A kill leaves them between the making of a lock and its journal, or in the midst of bringing home.
    """
    for lock in folder.glob("*.lock"):
        with contextlib.suppress(OSError):
            if lock.with_suffix(SUFFIX).exists() or is_owner_alive(lock, None):
                continue
            process = find_process(connection, lock.name)
            if process is None or process.ended_ns is not None:
                lock.unlink(missing_ok=True)
    for unlocked in folder.glob("*.new"):
        with contextlib.suppress(OSError):
            if time.time() - unlocked.stat().st_mtime > _UNLOCKED_S:
                unlocked.unlink(missing_ok=True)


def _last_sign_ns(lock: Path, started_ns: int) -> int:
    with contextlib.suppress(OSError):
        return max(started_ns, lock.stat().st_mtime_ns)
    return started_ns
