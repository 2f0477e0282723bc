"""The layout of a journal file, and how one is made and read; what is written when is the recorder's matter.

    4 KiB   head: magic, format, pid, start ticks, time, boot id; what is only in memory
    60 KiB  sources: serialized resources and scopes, numbered in their order
    1 MiB   segments, as many as were needed; each holds records up to an end mark

A record is length and CRC-32, then sequence, kind, source, then the body. Its body and the end mark behind it
are written before its head. A reader stops a segment at the first record that is not whole: torn by a kill
that hit the copy, damaged by a disk, or the remains of an earlier turn.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

from .processes import Identity, own_identity
from .records import Source

View: TypeAlias = mmap.mmap

SUFFIX: Final = ".journal"
SPAN: Final = 1
"""Serialized OTLP `Span`; the record of a start has no end."""
LOG: Final = 2
"""Serialized OTLP `LogRecord`."""
NOTE: Final = 3
"""JSON of a `TaskNote`."""
READING: Final = 4
"""JSON of a `HealthReading`."""
INLINE: Final = 0x80
"""Flag of a kind: the source stands before the body, since the table of sources is full."""

_MAGIC: Final = b"TSJRNL01"
_HEAD_SIZE: Final = 4096
_SOURCES_END: Final = 64 * 1024
SEGMENT_BYTES: Final = 1024 * 1024
END: Final = b"\0\0\0\0"
"""A record of length 0: nothing follows."""
CHECK: Final = struct.Struct("<II")
META: Final = struct.Struct("<QBxH")
HEAD_BYTES: Final = CHECK.size + META.size
SEGMENT_ROOM: Final = SEGMENT_BYTES - len(END)
_IDENTITY: Final = struct.Struct("<8sIQQ36s")
_LOSSES: Final = struct.Struct("<QQQQ")
_LOSSES_AT: Final = 1024
_LENGTHS: Final = struct.Struct("<II")


class JournalRecord(NamedTuple):
    """One whole record of a journal file."""

    seq: int
    kind: int
    source: Source
    body: bytes


class Losses(NamedTuple):
    """Records that are in no file, by signal: dropped since the start, and waiting in memory now."""

    lost_spans: int = 0
    lost_logs: int = 0
    waiting_spans: int = 0
    waiting_logs: int = 0


@dataclass(slots=True)
class Remains:
    """What a journal file tells: whose it is, its records in their order, and what was not in it."""

    identity: Identity | None = None
    """None when the head is damaged."""
    is_foreign: bool = False
    """Whether another version of Taskscope wrote it, in another format: not ours to read or to delete."""
    started_ns: int = 0
    records: list[JournalRecord] = field(default_factory=list)
    losses: Losses = field(default_factory=Losses)


# --- making


class JournalFile:
    """A journal file that is open for writing: its head, its table of sources, its segments."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        self._views: list[mmap.mmap] = []
        self._next_source = _HEAD_SIZE
        self._sources = 0
        try:
            self._head = self._map(0, _SOURCES_END)
        except BaseException:
            self.remove()
            raise
        identity = own_identity()
        packed = _IDENTITY.pack(
            _MAGIC, identity.pid, identity.start_ticks, max(time.time_ns(), 0), identity.boot.encode()
        )
        self._head[0 : len(packed) + 4] = packed + crc32(packed).to_bytes(4, "little")

    def add_segment(self) -> mmap.mmap:
        """One more segment at the end of the file; OSError when the disk has no room for it."""
        return self._map(_SOURCES_END + (len(self._views) - 1) * SEGMENT_BYTES, SEGMENT_BYTES)

    def add_source(self, source: Source) -> bool:
        """Write a source behind the last one; False when there is no room for it."""
        body = with_source(source, b"")
        start = self._next_source
        end = start + CHECK.size + len(body)
        if end > _SOURCES_END - len(END):
            return False
        self._head[start + CHECK.size : end + 4] = body + END
        self._head[start : start + CHECK.size] = CHECK.pack(len(body), _check_source(body, self._sources))
        self._next_source = end
        self._sources += 1
        return True

    def tell_losses(self, losses: Losses) -> None:
        """Note what this file does not hold."""
        packed = _LOSSES.pack(*losses)
        end = _LOSSES_AT + len(packed) + 4
        self._head[_LOSSES_AT:end] = packed + crc32(packed).to_bytes(4, "little")

    def close(self, *, remove: bool) -> None:
        """Let the file go, and with `remove` from the disk too."""
        if remove:
            with contextlib.suppress(OSError):  # a disk that may only be read by now: it is empty, at least
                self.path.unlink(missing_ok=True)
        for view in self._views:
            with contextlib.suppress(BufferError, ValueError):
                view.close()
        os.close(self._descriptor)

    def remove(self) -> None:
        """Take a file back that could not be made whole."""
        with contextlib.suppress(OSError):
            self.close(remove=True)

    def _map(self, start: int, size: int) -> mmap.mmap:
        _allocate(self._descriptor, start, size)
        view = mmap.mmap(self._descriptor, size, offset=start)
        self._views.append(view)
        return view


def give_back(view: View) -> None:
    """Let the pages of a mapping leave this process's memory; the file keeps what stands in them."""
    if hasattr(mmap, "MADV_DONTNEED"):
        with contextlib.suppress(OSError, ValueError):
            view.madvise(mmap.MADV_DONTNEED)


def create_journal(path: Path) -> JournalFile:
    """A new journal file with no segment yet; OSError when it cannot be made."""
    return JournalFile(path)


def _allocate(descriptor: int, start: int, size: int) -> None:
    """Take the disk's room at once: a write into a hole of a full disk would end the process by SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, start, size)
        return
    block = bytes(64 * 1024)  # macOS has no such call
    for position in range(start, start + size, len(block)):
        os.pwrite(descriptor, block[: start + size - position], position)


def _check_source(body: bytes, number: int) -> int:
    """The check of a source, which is found by its number: at another place it is another one."""
    return crc32(body, number)


def with_source(source: Source, body: bytes) -> bytes:
    """A body with its source before it."""
    return _LENGTHS.pack(len(source.resource), len(source.scope)) + source.resource + source.scope + body


def split_source(data: bytes) -> tuple[Source, bytes]:
    """A source and the body behind it; both empty where there is none."""
    resource, scope = _LENGTHS.unpack_from(data) if len(data) >= _LENGTHS.size else (0, 0)
    middle = _LENGTHS.size + resource
    return Source(data[_LENGTHS.size : middle], data[middle : middle + scope]), data[middle + scope :]


# --- reading


def read_record(data: bytes, position: int) -> tuple[int, int, int, bytes, int]:
    """Sequence, kind, source, body of the record at a position, and the position behind it; not checked."""
    size = int.from_bytes(data[position : position + 4], "little")
    seq, kind, number = META.unpack_from(data, position + CHECK.size)
    start = position + HEAD_BYTES
    return seq, kind, number, data[start : start + size], start + size


def read_journal(path: Path) -> Remains:
    """What a journal file holds, every record checked; OSError when it cannot be read.

    Reads the file as it is: not for one whose process still writes.
    """
    return parse_journal(path.read_bytes())


def parse_journal(data: bytes) -> Remains:
    """What the bytes of a journal file hold, every record checked."""
    remains = Remains()
    _read_head(data, remains)
    if remains.is_foreign:
        return remains
    sources = _read_sources(data)
    for start in range(_SOURCES_END, len(data), SEGMENT_BYTES):
        remains.records += _read_segment(data, start, min(start + SEGMENT_BYTES, len(data)), sources)
    remains.records.sort(key=lambda record: record.seq)
    return remains


def _read_head(data: bytes, remains: Remains) -> None:
    size = _IDENTITY.size
    packed, check = data[:size], data[size : size + 4]
    if len(check) < len(END) or crc32(packed) != int.from_bytes(check, "little"):
        return
    magic, pid, ticks, started_ns, boot = _IDENTITY.unpack(packed)
    if magic != _MAGIC:
        remains.is_foreign = True
        return
    remains.identity = Identity(pid, boot.rstrip(b"\0").decode(errors="replace"), ticks)
    remains.started_ns = started_ns
    packed, check = data[_LOSSES_AT:][: _LOSSES.size], data[_LOSSES_AT + _LOSSES.size :][:4]
    if len(check) == len(END) and crc32(packed) == int.from_bytes(check, "little"):
        remains.losses = Losses(*_LOSSES.unpack(packed))


def _read_sources(data: bytes) -> list[Source]:
    sources: list[Source] = []
    position, limit = _HEAD_SIZE, min(_SOURCES_END, len(data))
    while position + CHECK.size <= limit:
        size, check = CHECK.unpack_from(data, position)
        body = data[position + CHECK.size : position + CHECK.size + size]
        if not size or len(body) < size or _check_source(body, len(sources)) != check:
            break
        sources.append(split_source(body)[0])
        position += CHECK.size + size
    return sources


def _read_segment(data: bytes, start: int, end: int, sources: list[Source]) -> list[JournalRecord]:
    """The records of one segment up to the first that is not whole or not the next."""
    records: list[JournalRecord] = []
    position, expected = start, None
    while position + HEAD_BYTES <= end:
        size, check = CHECK.unpack_from(data, position)
        stop = position + HEAD_BYTES + size
        if not size or stop > end:
            break
        meta = data[position + CHECK.size : position + HEAD_BYTES]
        body = data[position + HEAD_BYTES : stop]
        if crc32(body, crc32(meta)) != check:
            break
        seq, kind, number = META.unpack(meta)
        if expected is not None and seq != expected:
            break
        if kind & INLINE:
            source, body = split_source(body)
        else:
            source = sources[number] if number < len(sources) else Source(b"", b"")
        records.append(JournalRecord(seq, kind & ~INLINE, source, body))
        position, expected = stop, seq + 1
    return records
