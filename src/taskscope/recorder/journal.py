"""The journal: a memory-mapped file of this process into which every record is copied first of all.

A copy into a shared mapping is no system call and is safe from SIGKILL at once: the kernel keeps the pages.
The journal is also the queue: the writer drains it into the store, in order, and what is committed there is
released here. When it is full (the store cannot be written, or a burst), records wait in bounded memory,
which is not safe from a kill, and then are dropped and counted. How the file is laid out stands in
`store/journals.py`, which reads those that the dead have left.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from taskscope.store import journals as layout
from taskscope.store.processes import ProcessLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskscope.store.records import Source

LIMIT_BYTES = 8 * 1024 * 1024
"""Of the file; a burst of some 18,000 spans of ten attributes fits in."""
MEMORY_LIMIT_BYTES = 8 * 1024 * 1024
_ORDINARY_SHARE = 0.75
"""Of the memory, for records that are neither roots nor errors nor ends of what is on record as open."""
_HEAD_BYTES, _ROOM, _END = layout.HEAD_BYTES, layout.SEGMENT_ROOM, layout.END
_pack_meta, _pack_check = layout.META.pack, layout.CHECK.pack
_OBJECT_BYTES = 128
"""About what an entry in memory costs beside its body."""


class Entry(NamedTuple):
    """One record, on its way to the store."""

    kind: int
    source: Source
    body: bytes


class Batch(NamedTuple):
    """Entries in their order, and what `Journal.release` has to know of them."""

    entries: list[Entry]
    last_seq: int
    """Of those that stood in the file; 0 for entries from memory."""
    size_bytes: int


class _Segment:
    """A mapped piece of the file: from `head` on records wait for the writer, `tail` is the next free one."""

    __slots__ = ("head", "is_resident", "tail", "view")

    def __init__(self, view: layout.View) -> None:
        self.view = view
        self.head = self.tail = 0
        self.is_resident = False
        """Whether it was full since its pages were given back."""


_NO_SEGMENT: Any = None
"""Before the file is opened; nothing is appended then."""


class Journal:
    """The journal of one process; opened by the first record, begun anew in a forked child.

    What a kill would take with it, records dropped or waiting in memory, is counted in the file too, so that
    whoever recovers it can say so. `wake` is called when the writer, which said that it rests, is wanted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit_bytes: int = LIMIT_BYTES,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    ) -> None:
        self._folder = folder
        self._segments_limit = max(limit_bytes // layout.SEGMENT_BYTES, 1)
        self._memory_limit_bytes = memory_limit_bytes
        self.wake: Callable[[], object] = lambda: None
        self._inherited: list[object] = []
        self._begin()

    def _begin(self) -> None:
        """Set up everything that belongs to one process."""
        # Re-entrant: a signal handler or a finalizer may end a span while this thread is in `append`.
        self.lock = threading.RLock()
        self.is_writer_resting = True
        """Whether the next record has to wake the writer."""
        self.process_lock: ProcessLock | None = None
        self.error: OSError | None = None
        """Why there is no file; None as long as nobody tried, and when there is one."""
        self.appended = 0
        """Records taken, dropped ones not among them."""
        self._seq = 0
        self._is_inside = False
        self._is_open = False
        self._is_closed = False
        self._file: layout.JournalFile | None = None
        self._numbers: dict[Source, int] = {}
        self._sources: list[Source] = []
        self._ready: deque[_Segment] = deque()
        self._free: list[_Segment] = []
        self._segments = 0
        self._active = _NO_SEGMENT
        self._memory: deque[tuple[Entry, str | None]] = deque()
        self._memory_bytes = 0
        self._lost: Counter[str | None] = Counter()
        self._waiting: Counter[str | None] = Counter()

    # --- the application's side

    def append(
        self,
        kind: int,
        source: Source,
        body: bytes,
        signal: str | None,
        is_precious: bool,  # noqa: FBT001  hot
    ) -> str | None:
        """Take a record; None when it is kept, else why it was dropped. No system call, no wait.

        `is_precious`: the last to be dropped. `signal`: what it counts as when it is lost; None for nothing.
        """
        with self.lock:
            # Records keep their order: behind one that waits in memory, the next ones wait there too.
            if self._is_inside or self._memory or not (self._is_open or self._open()):
                return self._keep(Entry(kind, source, body), signal, is_precious=is_precious)
            self._is_inside = True
            try:
                number = self._numbers.get(source)
                if number is None:
                    number = self._add_source(source)
                if number < 0:
                    kind, number, body = kind | layout.INLINE, 0, layout.with_source(source, body)
                segment, size = self._active, len(body)
                end = segment.tail + _HEAD_BYTES + size
                if end > _ROOM:
                    segment = self._turn(_HEAD_BYTES + size)
                    if segment is None:
                        self._is_inside = False
                        return self._keep(Entry(kind, source, body), signal, is_precious=is_precious)
                    end = segment.tail + _HEAD_BYTES + size
                # Its body first and its head last, so that a kill leaves no half.
                meta = _pack_meta(self._seq + 1, kind, number)
                start, view = segment.tail, segment.view
                view[start + _HEAD_BYTES : end + 4] = body + _END
                view[start : start + _HEAD_BYTES] = _pack_check(size, crc32(body, crc32(meta))) + meta
                segment.tail = end
                self._seq += 1
                self.appended += 1
            finally:
                self._is_inside = False
        if self.is_writer_resting:
            self.is_writer_resting = False
            self.wake()
        return None

    def _turn(self, size: int) -> _Segment | None:
        """The next segment, a new one if need be; None where the record does not fit or the file is full."""
        if size > layout.SEGMENT_ROOM:
            return None
        if not self._free:
            self._grow()
        if not self._free:
            return None
        segment = self._active = self._free.pop()
        self._ready.append(segment)
        self.wake()  # in time: the writer may still gather
        return segment

    def _grow(self) -> None:
        if self._file is None or self._segments >= self._segments_limit:
            return
        with contextlib.suppress(OSError):  # a full disk: memory takes over
            self._free.append(_Segment(self._file.add_segment()))
            self._segments += 1

    def _add_source(self, source: Source) -> int:
        """The number of a resource and scope, written into the file once; -1 when there is no more room."""
        assert self._file is not None
        number = len(self._sources) if self._file.add_source(source) else -1
        if number >= 0:
            self._sources.append(source)
            self._numbers[source] = number
        return number

    def _keep(self, entry: Entry, signal: str | None, *, is_precious: bool) -> str | None:
        """Keep a record in memory as long as there is room."""
        if self._is_closed:
            return "shutdown"
        size = len(entry.body) + _OBJECT_BYTES
        limit = self._memory_limit_bytes * (1 if is_precious else _ORDINARY_SHARE)
        if self._memory_bytes + size > limit:
            self._lost[signal] += 1
            self._tell_losses()
            return "queue_full"
        self._memory.append((entry, signal))
        self._memory_bytes += size
        self._waiting[signal] += 1
        self.appended += 1
        self._tell_losses()
        if self.is_writer_resting:
            self.is_writer_resting = False
            self.wake()
        return None

    def _tell_losses(self) -> None:
        """Write into the file what it does not hold."""
        if self._file is not None:
            lost, waiting = self._lost, self._waiting
            self._file.tell_losses(
                layout.Losses(lost["traces"], lost["logs"], waiting["traces"], waiting["logs"])
            )

    # --- opening

    def try_again(self) -> None:
        """Make the file if that failed before; called by the writer now and then."""
        with self.lock:
            if not self._is_open and not self._is_closed and not self._is_inside:
                self.error = None
                self._open()

    def _open(self) -> bool:
        """Lock a file as a sign of life and lay the journal beside it; False where that cannot be."""
        if self.error is not None or self._is_closed:
            return False
        try:
            if self.process_lock is None:
                self.process_lock = ProcessLock(self._folder)
            self._file = layout.create_journal(self.process_lock.path.with_suffix(layout.SUFFIX))
            self._active = _Segment(self._file.add_segment())
        except OSError as error:
            self.error = error
            if self._file is not None:
                self._file.remove()
                self._file = None
            return False
        self._segments = 1
        self._ready.append(self._active)
        self._is_open = True
        return True

    # --- the writer's side

    @property
    def has_records(self) -> bool:
        """Whether anything waits for the writer."""
        with self.lock:
            return bool(self._memory) or any(segment.head < segment.tail for segment in self._ready)

    @property
    def size_bytes(self) -> int:
        """Bytes that wait, in file and memory."""
        with self.lock:
            return self._memory_bytes + sum(segment.tail - segment.head for segment in self._ready)

    def read(self, limit: int) -> Batch:
        """The oldest records, at most `limit`; they stay here until they are released."""
        with self.lock:
            while len(self._ready) > 1 and self._ready[0].head >= self._ready[0].tail:
                self._recycle(self._ready.popleft())
            segment = self._ready[0] if self._ready else None
            if segment is None or segment.head >= segment.tail:
                entries = [entry for entry, _ in list(self._memory)[:limit]]
                return Batch(entries, 0, 0)
            head, tail, view = segment.head, segment.tail, segment.view
        # Nobody changes what lies between head and tail.
        data = bytes(view[head:tail])
        entries = []
        position = seq = 0
        while position < len(data) and len(entries) < limit:
            seq, kind, number, body, position = layout.read_record(data, position)
            source, body = (
                layout.split_source(body) if kind & layout.INLINE else (self._sources[number], body)
            )
            entries.append(Entry(kind & ~layout.INLINE, source, body))
        return Batch(entries, seq, position)

    def release(self, batch: Batch) -> None:
        """Let go what is stored."""
        with self.lock:
            if not batch.size_bytes:
                for _ in batch.entries[: len(self._memory)]:  # none of them, where memory was given up
                    entry, signal = self._memory.popleft()
                    self._memory_bytes -= len(entry.body) + _OBJECT_BYTES
                    self._waiting[signal] -= 1
                with contextlib.suppress(Exception):  # told again with the next one; what is gone stays gone
                    self._tell_losses()
                return
            segment = self._ready[0]
            # In one step or not at all: who calls tries again.
            if segment.head + batch.size_bytes >= segment.tail and segment is self._active:
                self._rewind(segment)
                self._give_back()
            else:
                segment.head += batch.size_bytes

    def _recycle(self, segment: _Segment) -> None:
        self._rewind(segment)
        segment.is_resident = True
        self._free.append(segment)

    def _give_back(self) -> None:
        """What a burst needed leaves the memory of the process now that nothing waits."""
        for segment in self._free:
            if segment.is_resident:
                segment.is_resident = False
                layout.give_back(segment.view)

    @staticmethod
    def _rewind(segment: _Segment) -> None:
        """Begin at the front again: an end mark there, and nobody reads what lies behind it."""
        segment.view[0:4] = layout.END
        segment.head = segment.tail = 0

    # --- the end, and forks

    def close(self) -> bool:
        """Take no more records. Whether the file was empty, and so is gone; else it is left to recovery."""
        with self.lock:
            self._is_closed = True
            self._is_open = False
            is_empty = not self.has_records
            if self._file is not None:
                self._file.close(remove=is_empty)
                self._file = None
            self._ready.clear()
            self._free.clear()
            self._active = _NO_SEGMENT
            return is_empty

    def give_up_memory(self) -> Counter[str | None]:
        """What waits in memory and ends with the process, by signal."""
        with self.lock:
            given_up, self._waiting = self._waiting, Counter()
            self._memory.clear()
            self._memory_bytes = 0
            return +given_up

    def begin_in_child(self) -> None:
        """Forget the parent's file, lock and records: kept alive, never used, never closed."""
        self._inherited.append(self.__dict__.copy())
        is_closed = self._is_closed
        self._begin()
        self._is_closed = is_closed
