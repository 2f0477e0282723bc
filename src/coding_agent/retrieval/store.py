"""Files and chunks of one repository on disk, kept equal to a tree file by file.

The tree is a fresh clone for each task, so a file is known by its content; its stamp only saves reading it.
Paths are kept as bytes: file names need not be valid UTF-8.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coding_agent.records import IndexReport

from ._database import Database
from .chunks import cut, decode
from .files import SkippedFileError, Tree
from .tokens import split_tokens

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

# The tokens are our own splitting, joined by blanks; the tokenizer `ascii` takes all beyond ASCII as letters,
# so that with `_` it splits at those blanks and nowhere else.
_SCHEMA = """
CREATE TABLE files (
    path BLOB NOT NULL PRIMARY KEY, stamp TEXT NOT NULL, digest BLOB, skipped TEXT
) WITHOUT ROWID;
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL, start_line INTEGER NOT NULL, end_line INTEGER NOT NULL,
    part INTEGER NOT NULL, digest TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX chunks_path ON chunks (path);
CREATE INDEX chunks_digest ON chunks (digest);
CREATE VIRTUAL TABLE terms USING fts5(tokens, tokenize = "ascii tokenchars '_'")
"""
_DELETE_TERMS = "DELETE FROM terms WHERE rowid IN (SELECT id FROM chunks WHERE path = ?)"
_VERSION = 1
_BATCH = 500


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with its place; `digest` is of its text, equal texts share it."""

    id: int
    path: str
    start_line: int
    end_line: int
    digest: str
    text: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store holds of one file."""

    stamp: str
    digest: bytes | None
    skipped: str | None


class ChunkStore:
    """The files, chunks and terms of one repository, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA, version=_VERSION)

    def exists(self) -> bool:
        """Whether anything was ever indexed here."""
        return self._database.exists()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection for reads."""
        return self._database.reading()

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """A write transaction; while it is open no other process changes the chunks."""
        return self._database.writing()

    def update(self, root: Path, paths: Iterable[str]) -> IndexReport:
        """Make the store equal to these files in one transaction; `indexed` counts the files cut anew."""
        with self._database.writing() as connection:
            return _Update(connection, Tree(root)).run(paths)

    def count(self) -> tuple[int, int]:
        """Return how many files and chunks there are."""
        with self._database.reading() as connection:
            files = connection.execute("SELECT count(*) FROM files WHERE skipped IS NULL").fetchone()[0]
            return files, connection.execute("SELECT count(*) FROM chunks").fetchone()[0]

    def digests(self, connection: sqlite3.Connection) -> set[str]:
        """Return the digests of all chunks, as the transaction of this connection sees them."""
        return {digest for (digest,) in connection.execute("SELECT DISTINCT digest FROM chunks")}

    def texts(self, digests: Sequence[str]) -> dict[str, str]:
        """Return the texts of chunks by digest; those gone meanwhile are left out."""
        rows = self._select("digest, text", "digest", digests)
        return dict(rows)

    def chunk_ids(self, digests: Sequence[str]) -> dict[str, list[int]]:
        """Return the chunks of each digest, in the order of their places."""
        found: dict[str, list[int]] = {}
        for _path, _part, digest, key in sorted(self._select("path, part, digest, id", "digest", digests)):
            found.setdefault(digest, []).append(key)
        return found

    def chunks(self, ids: Sequence[int]) -> dict[int, StoredChunk]:
        """Return chunks by id; those gone meanwhile are left out."""
        rows = self._select("id, path, start_line, end_line, digest, text", "id", ids)
        return {row[0]: StoredChunk(row[0], os.fsdecode(row[1]), *row[2:]) for row in rows}

    def set_aside(self, reason: str) -> None:
        """Move a broken file out of the way; the next update builds it anew."""
        self._database.set_aside(reason)

    def _select(self, columns: str, key: str, values: Sequence[object]) -> list[tuple]:  # type: ignore[type-arg]
        rows: list[tuple] = []  # type: ignore[type-arg]
        with self._database.reading() as connection:
            for at in range(0, len(values), _BATCH):
                batch = values[at : at + _BATCH]
                marks = ", ".join("?" * len(batch))
                rows += connection.execute(f"SELECT {columns} FROM chunks WHERE {key} IN ({marks})", batch)  # noqa: S608
        return rows


class _Update:
    """One pass over the files, inside one transaction."""

    def __init__(self, connection: sqlite3.Connection, tree: Tree) -> None:
        self._connection = connection
        self._tree = tree
        self._counts: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        rows = connection.execute("SELECT path, stamp, digest, skipped FROM files")
        self._known = {path: _Known(stamp, digest, skipped) for path, stamp, digest, skipped in rows}

    def run(self, paths: Iterable[str]) -> IndexReport:
        names = {os.fsencode(path): path for path in paths}
        for key in self._known.keys() - names.keys():
            self._forget(key)
            self._counts["removed"] += self._known[key].skipped is None
        for key in sorted(names):
            self._look(key, names[key])
        return IndexReport(
            indexed=self._counts["indexed"],
            unchanged=self._counts["unchanged"],
            removed=self._counts["removed"],
            skipped=dict(self._skipped),
        )

    def _look(self, key: bytes, path: str) -> None:
        known = self._known.get(key)
        try:
            stamp = self._tree.stamp(path)
            if known and stamp and stamp == known.stamp:
                self._count_unchanged(known)
            else:
                self._take(key, path, stamp, known)
        except SkippedFileError as skipped:
            self._skip(key, "", None, skipped.reason)

    def _take(self, key: bytes, path: str, stamp: str, known: _Known | None) -> None:
        content = self._tree.read(path)
        digest = hashlib.sha256(content).digest()
        if known and known.digest == digest:
            self._connection.execute("UPDATE files SET stamp = ? WHERE path = ?", (stamp, key))
            self._count_unchanged(known)
            return
        try:
            text = decode(path, content)
        except SkippedFileError as skipped:
            self._skip(key, stamp, digest, skipped.reason)
            return
        self._forget(key)
        self._keep(key, stamp, digest, None)
        self._add_chunks(key, path, text)
        self._counts["indexed"] += 1

    def _count_unchanged(self, known: _Known) -> None:
        if known.skipped is None:
            self._counts["unchanged"] += 1
        else:
            self._skipped[known.skipped] += 1

    def _skip(self, key: bytes, stamp: str, digest: bytes | None, reason: str) -> None:
        self._skipped[reason] += 1
        self._forget(key)
        self._keep(key, stamp, digest, reason)

    def _keep(self, key: bytes, stamp: str, digest: bytes | None, skipped: str | None) -> None:
        self._connection.execute("INSERT INTO files VALUES (?, ?, ?, ?)", (key, stamp, digest, skipped))

    def _forget(self, key: bytes) -> None:
        if key not in self._known:
            return
        self._connection.execute(_DELETE_TERMS, (key,))
        self._connection.execute("DELETE FROM chunks WHERE path = ?", (key,))
        self._connection.execute("DELETE FROM files WHERE path = ?", (key,))

    def _add_chunks(self, key: bytes, path: str, text: str) -> None:
        """Add a file's chunks; the words of its path count as words of each, since issues name files."""
        names = split_tokens(path)
        for part, chunk in enumerate(cut(path, text)):
            digest = hashlib.sha256(chunk.text.encode()).hexdigest()[:32]
            cursor = self._connection.execute(
                "INSERT INTO chunks VALUES (NULL, ?, ?, ?, ?, ?, ?)",
                (key, chunk.start_line, chunk.end_line, part, digest, chunk.text),
            )
            tokens = " ".join(names + split_tokens(chunk.text))
            row = (cursor.lastrowid, tokens)
            self._connection.execute("INSERT INTO terms (rowid, tokens) VALUES (?, ?)", row)
