"""Keeps the store within its age and size: the oldest records leave first, in small transactions.

Aggregates, the sums behind the metrics, stay. A full disk refuses deletion too, since the write-ahead log
needs room first: so the bound is kept from below, and the log is cut back when it has grown.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .database import read_free_bytes, transaction

_SLICE: Final = 2_000
"""Rows that one transaction deletes; 10,000 spans took 14 ms."""
_SLICES_AT_ONCE: Final = 10
_FULL: Final = 0.9
"""Share of the size from which on the oldest records leave."""
_RELIEVED: Final = 0.85
_ALL_NS: Final = 1 << 63
_LOG_LIMIT_BYTES: Final = 64 * 1024 * 1024
_CHARGES_KEPT_NS: Final = 62 * 86_400 * 10**9
"""What calls cost, for the sums of two months; a row is some 50 bytes."""
_SIGNALS: Final = {"span": "traces", "log": "logs"}

NoteExpired = Callable[[sqlite3.Connection, str, Sequence[int]], None]
"""Told, within the transaction, which numbers of a signal leave: a destination may not have had them yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a store keeps."""

    age_ns: int
    size_bytes: int


def limit_pages(connection: sqlite3.Connection, size_bytes: int) -> None:
    """Have SQLite refuse to grow the file beyond its size, whatever comes."""
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count = {max(size_bytes // page_size, 1)}")


def is_full(error: BaseException) -> bool:
    """Whether an error says that neither file nor disk may grow."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def tend(
    connection: sqlite3.Connection,
    limits: Limits,
    now_ns: int,
    note_expired: NoteExpired = lambda _connection, _signal, _numbers: None,
    *,
    coming_bytes: int = 0,
) -> bool:
    """Let go what is too old or too much, a bounded part of it at once; whether more is to be done.

    `coming_bytes` are to fit in too.
    """
    too_old_ns = now_ns - limits.age_ns
    coming = coming_bytes / limits.size_bytes
    is_full = _share_used(connection, limits) + coming > _FULL
    for _ in range(_SLICES_AT_ONCE):
        is_full = is_full and _share_used(connection, limits) + coming > _RELIEVED
        before_ns = _ALL_NS if is_full else too_old_ns
        with transaction(connection):
            left = sum(_expire(connection, table, before_ns, note_expired) for table in _SIGNALS)
            if not left:
                _forget_rows(connection, too_old_ns, now_ns)
        if not left:
            break
    _cut_log(connection)
    return bool(left)


def _share_used(connection: sqlite3.Connection, limits: Limits) -> float:
    page_size, pages = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count")
    )
    return float((pages * page_size - read_free_bytes(connection)) / limits.size_bytes)


def _expire(connection: sqlite3.Connection, table: str, before_ns: int, note_expired: NoteExpired) -> int:
    """Delete those of the oldest rows of a table that are from before a time; how many."""
    time_column = "stop" if table == "span" else "time"
    oldest = f"SELECT seq, {time_column} AS time, trace FROM {table} ORDER BY seq LIMIT {_SLICE}"  # noqa: S608  our own words
    # Chosen by SQLite: what stays, and that is mostly all, never becomes objects of ours.
    leaving = connection.execute(
        f"SELECT seq, trace FROM ({oldest}) WHERE time <= ?",  # noqa: S608  our own words
        (before_ns - 1,),
    ).fetchall()
    if not leaving:
        return 0
    numbers = [seq for seq, _ in leaving]
    note_expired(connection, _SIGNALS[table], numbers)
    until = connection.execute(f"SELECT count(*) FROM {table} WHERE seq <= ?", (numbers[-1],)).fetchone()[0]  # noqa: S608  our own words
    if len(numbers) == until:
        connection.execute(f"DELETE FROM {table} WHERE seq <= ?", (numbers[-1],))  # noqa: S608  our own words
    else:
        connection.executemany(f"DELETE FROM {table} WHERE seq = ?", [(seq,) for seq in numbers])  # noqa: S608  our own words
    if table == "span":
        _forget_traces(connection, {trace for _, trace in leaving})
    return len(numbers)


def _forget_traces(connection: sqlite3.Connection, traces: set[bytes]) -> None:
    """Delete summaries and tasks of traces of which nothing is left."""
    for trace in traces:
        is_left = connection.execute(
            "SELECT EXISTS(SELECT 1 FROM span WHERE trace = ?1) "
            "OR EXISTS(SELECT 1 FROM open WHERE trace = ?1)",
            (trace,),
        ).fetchone()[0]
        if not is_left:
            connection.execute("DELETE FROM trace WHERE trace = ?", (trace,))
            connection.execute("DELETE FROM task WHERE trace = ? AND ended IS NOT NULL", (trace,))


def _forget_rows(connection: sqlite3.Connection, before_ns: int, now_ns: int) -> None:
    """Delete what else grows with time: ended processes, calls in no sum any more, sources of what left.

    The youngest source stays: its number would be given again, and others may remember whose it was.
    """
    connection.execute(
        "DELETE FROM process WHERE ended < ? AND id NOT IN (SELECT process FROM open)", (before_ns,)
    )
    connection.execute("DELETE FROM charge WHERE time < ?", (now_ns - _CHARGES_KEPT_NS,))
    connection.execute(
        "DELETE FROM source WHERE id < (SELECT max(id) FROM source) "
        "AND last_span < (SELECT coalesce(min(seq), 1 << 62) FROM span) "
        "AND last_log < (SELECT coalesce(min(seq), 1 << 62) FROM log) "
        "AND id NOT IN (SELECT source FROM open)"
    )


def _cut_log(connection: sqlite3.Connection) -> None:
    """Empty the write-ahead log where a long reader let it grow."""
    path = Path(f"{connection.execute('PRAGMA database_list').fetchone()[2]}-wal")
    with contextlib.suppress(OSError, sqlite3.Error):
        if path.stat().st_size > _LOG_LIMIT_BYTES:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
