"""What the agent keeps on disk: notes of a running task, an archive of finished ones, and plans.

One JSON file an entry, replaced whole, so that several processes share a home without a server. Above a size
the oldest entries become one line per task. Memory only helps: what cannot be read or written is counted and
said, and stops no task.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coding_agent.errors import TaskStoppedError
from coding_agent.records import MemoryEntry
from coding_agent.shared_files import locked, make_private, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from coding_agent.protocols import Embedder
    from coding_agent.records import Plan

_log = logging.getLogger(__name__)

_ARCHIVE = "archive"
_SCRATCH = "scratch"
_SUMMARY = "summary.jsonl"
_SUMMARY_CHARACTERS = 200
"""Of an entry's first line, kept when it is summarised."""
_SCRATCH_SECONDS = 7 * 24 * 3600
"""Age at which the notes of a task that never finished are removed."""
_QUERY_WORDS = 256

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStatus:
    """How much is remembered, and what was lost on the way."""

    archived: int
    summarised: int
    """Entries that are kept as a line of the summary."""
    broken: int
    """Files and lines that could not be read."""


class FileMemory:
    """Scratch, archive and plans below one home.

    With an embedder the archive is searched by vectors, without one (or when it cannot answer) by words.
    """

    def __init__(
        self, home: Path, embedder: Embedder | None = None, *, results: int = 5, summarise_above: int = 200
    ) -> None:
        self.name = "memory"
        self.lost = 0
        """Writes that failed; each is said in the log."""
        self._folder = home / "memory"
        self._plans = home / "plans"
        self._embedder = embedder
        self._results = results
        self._summarise_above = summarise_above

    def search(self, text: str, *, limit: int | None = None) -> tuple[MemoryEntry, ...]:
        """Return the entries of the archive that speak of the text, best first; summaries are among them."""
        most = self._results if limit is None else limit
        entries, _broken = self._remembered()
        if not entries or not text.strip() or most < 1:
            return ()
        order = self._nearest(text, entries)
        return tuple(entries[at] for at in order[:most])

    def upsert(self, entry: MemoryEntry) -> None:
        """Write or replace one entry; one for the archive ends the scratch of its task."""
        if entry.store not in {_ARCHIVE, _SCRATCH}:
            msg = f"memory store {entry.store!r} is unknown, expected 'scratch' or 'archive'"
            raise ValueError(msg)
        folder = self._folder / entry.store
        if entry.store == _SCRATCH:
            folder /= _file_name(entry.task_id)
        self._try(
            "entry", entry.id, lambda: _write_json(folder / f"{_file_name(entry.id)}.json", asdict(entry))
        )
        if entry.store == _ARCHIVE:
            self._try("clean-up", entry.task_id, lambda: self._clean_scratch(entry.task_id))
            self._try("summary", entry.task_id, self._summarise)

    def keep_plan(self, task_id: str, plan: Plan) -> None:
        """Write the plan to disk as JSON, one file a revision: `plans/<task>/<revision>.json`."""
        path = self._plans / _file_name(task_id) / f"{plan.revision}.json"
        self._try("plan", task_id, lambda: _write_json(path, {"task_id": task_id, **asdict(plan)}))

    def scratch(self, task_id: str) -> tuple[MemoryEntry, ...]:
        """Return the notes of a task that is not archived yet, oldest first."""
        entries, _broken = _read_entries(self._folder / _SCRATCH / _file_name(task_id))
        return tuple(entries)

    def status(self) -> MemoryStatus:
        """Return how much is remembered."""
        archived, broken = _read_entries(self._folder / _ARCHIVE)
        lines, broken_lines = _read_summary(self._folder / _SUMMARY)
        known = {entry.id for entry in archived}
        summarised = {key for line in lines.values() for key in line.ids} - known
        return MemoryStatus(archived=len(archived), summarised=len(summarised), broken=broken + broken_lines)

    def _remembered(self) -> tuple[list[MemoryEntry], int]:
        """Return the archive, newest first, then the summary; an entry that is in both counts once."""
        archived, broken = _read_entries(self._folder / _ARCHIVE)
        lines, broken_lines = _read_summary(self._folder / _SUMMARY)
        if broken + broken_lines:
            _log.warning("memory in %s: %d broken entries skipped", self._folder, broken + broken_lines)
        known = {entry.id for entry in archived}
        summaries = [line.entry() for line in lines.values() if not known.issuperset(line.ids)]
        return [*reversed(archived), *reversed(summaries)], broken + broken_lines

    def _nearest(self, text: str, entries: Sequence[MemoryEntry]) -> list[int]:
        """Return positions of entries that have something to do with the text, best first."""
        if self._embedder is not None:
            try:
                return _rank_by_vectors(self._embedder, text, entries)
            except TaskStoppedError:
                raise
            except Exception as error:  # noqa: BLE001 - providers fail in their own ways; memory only helps
                _log.warning(
                    "memory: embedder %s cannot answer (%s), searching by words", self._embedder.name, error
                )
        return _rank_by_words(text, entries)

    def _summarise(self) -> None:
        """Turn what is above the size into lines; written before the entries go, so a kill loses nothing."""
        if len(_list_json(self._folder / _ARCHIVE)) <= self._summarise_above:
            return
        with locked(self._folder / "lock"):
            archived, _broken = _read_entries(self._folder / _ARCHIVE)
            oldest = archived[: max(0, len(archived) - self._summarise_above)]
            if not oldest:
                return
            lines, _broken_lines = _read_summary(self._folder / _SUMMARY)
            _append_lines(self._folder / _SUMMARY, _merge(lines, oldest))
            for entry in oldest:
                (self._folder / _ARCHIVE / f"{_file_name(entry.id)}.json").unlink(missing_ok=True)

    def _clean_scratch(self, task_id: str) -> None:
        """Remove the notes of this task, and of tasks that died long ago."""
        folder = self._folder / _SCRATCH
        shutil.rmtree(folder / _file_name(task_id), ignore_errors=True)
        if not folder.is_dir():
            return
        too_old = time.time() - _SCRATCH_SECONDS
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # another process cleans as well
                if path.stat().st_mtime < too_old:
                    shutil.rmtree(path, ignore_errors=True)

    def _try(self, what: str, key: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self.lost += 1
            _log.warning("memory: cannot write %s %r below %s: %s", what, key, self._folder, error)


@dataclass(frozen=True, slots=True)
class _Line:
    """One task of the summary; `ids` are the entries that it stands for."""

    task_id: str
    ids: tuple[str, ...]
    created_at: float
    text: str

    def entry(self) -> MemoryEntry:
        return MemoryEntry(
            id=self.ids[-1],
            store=_ARCHIVE,
            text=self.text,
            task_id=self.task_id,
            created_at=self.created_at,
            data={"summarised": len(self.ids)},
        )


def _merge(lines: Mapping[str, _Line], oldest: Iterable[MemoryEntry]) -> list[_Line]:
    """Return the lines that are new or have grown by these entries, one per task."""
    grown: dict[str, _Line] = {}
    for entry in oldest:
        line = grown.get(entry.task_id) or lines.get(entry.task_id) or _Line(entry.task_id, (), 0.0, "")
        text = entry.text.strip().split("\n", 1)[0][:_SUMMARY_CHARACTERS]
        ids = tuple(dict.fromkeys((*line.ids, entry.id)))
        newest = max(line.created_at, entry.created_at)
        grown[entry.task_id] = replace(line, ids=ids, created_at=newest, text=text or line.text)
    return list(grown.values())


def _rank_by_vectors(embedder: Embedder, text: str, entries: Sequence[MemoryEntry]) -> list[int]:
    vectors = embedder.embed([text, *(entry.text for entry in entries)])
    query = _sparse(vectors[0])
    scored = [(_dot(query, vector), at) for at, vector in enumerate(vectors[1:])]
    return [at for score, at in sorted(scored, key=lambda item: (-item[0], item[1])) if score > 0.0]


def _sparse(vector: Mapping[int, float] | Sequence[float]) -> Mapping[int, float]:
    return vector if isinstance(vector, Mapping) else dict(enumerate(vector))


def _dot(query: Mapping[int, float], vector: Mapping[int, float] | Sequence[float]) -> float:
    if isinstance(vector, Mapping):
        return sum(value * vector.get(slot, 0.0) for slot, value in query.items())
    return sum(value * vector[slot] for slot, value in query.items())


def _rank_by_words(text: str, entries: Sequence[MemoryEntry]) -> list[int]:
    """Rank by BM25 in an index that lives for this one search: an archive is small."""
    words = list(dict.fromkeys(_WORD.findall(text)))[:_QUERY_WORDS]
    if not words:
        return []
    match = " OR ".join(f'"{word}"' for word in words)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE entries USING fts5(text)")
        rows = [(at, entry.text.encode("utf-8", "replace").decode()) for at, entry in enumerate(entries)]
        connection.executemany("INSERT INTO entries (rowid, text) VALUES (?, ?)", rows)
        found = connection.execute(
            "SELECT rowid FROM entries WHERE entries MATCH ? ORDER BY rank, rowid", (match,)
        )
        return [at for (at,) in found]


def _read_entries(folder: Path) -> tuple[list[MemoryEntry], int]:
    """Return the entries of a folder, oldest first, and how many files are broken."""
    entries: list[MemoryEntry] = []
    broken = 0
    for path in _list_json(folder):
        try:
            entries.append(_parse_entry(json.loads(path.read_bytes())))
        except FileNotFoundError:
            continue  # another process has just summarised it
        except (OSError, ValueError, TypeError, KeyError):
            broken += 1
    return sorted(entries, key=lambda entry: (entry.created_at, entry.id)), broken


def _list_json(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix == ".json"]
    except OSError:
        return []


def _parse_entry(data: Any) -> MemoryEntry:
    return MemoryEntry(
        id=_text(data["id"]),
        store=_text(data["store"]),
        text=_text(data["text"]),
        task_id=_text(data["task_id"]),
        created_at=float(data["created_at"]),
        data=dict(data.get("data") or {}),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = f"expected a text, found {value!r}"
        raise TypeError(msg)
    return value


def _read_summary(path: Path) -> tuple[dict[str, _Line], int]:
    """Return the lines by task, a later one replacing an earlier, and how many lines are broken."""
    lines: dict[str, _Line] = {}
    broken = 0
    try:
        raw = path.read_bytes()
    except OSError as error:
        return lines, 0 if isinstance(error, FileNotFoundError) else 1
    for text in raw.splitlines():
        try:
            data = json.loads(text)
            ids = tuple(_text(key) for key in data["ids"])
            line = _Line(_text(data["task_id"]), ids, float(data["created_at"]), _text(data["text"]))
            lines.pop(line.task_id, None)
            lines[line.task_id] = replace(line, ids=ids or (line.task_id,))
        except (ValueError, TypeError, KeyError):
            broken += 1
    return lines, broken


def _append_lines(path: Path, lines: Iterable[_Line]) -> None:
    """Append in one write; a line that an earlier writer left unfinished is closed first."""
    payload = "".join(json.dumps(asdict(line)) + "\n" for line in lines).encode()
    with open(path, "ab+", opener=_private) as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            payload = payload if stream.read(1) == b"\n" else b"\n" + payload
        stream.write(payload)
        stream.flush()
        os.fsync(stream.fileno())


def _write_json(path: Path, data: Mapping[str, object]) -> None:
    """Replace a file whole, for its owner only: a reader sees the old one or the new one."""
    make_private(path.parent)
    replace_file(path, json.dumps(data, default=str).encode())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _file_name(key: str) -> str:
    """Return a file name for any id: itself where it is a plain one, else a hash that no plain one equals."""
    if _PLAIN_NAME.fullmatch(key):
        return key
    return f"_{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
