"""Journal files as they are found: whole, torn, damaged, foreign."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from taskscope.recorder.journal import Journal
from taskscope.store.journals import (
    LOG,
    NOTE,
    SEGMENT_BYTES,
    SPAN,
    JournalRecord,
    parse_journal,
    read_journal,
)
from taskscope.store.records import Source

if TYPE_CHECKING:
    from pathlib import Path

_SOURCES = (Source(b"resource one", b"scope"), Source(b"", b""))
_SEGMENTS_AT = 64 * 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A journal with a few records of each kind; its process did not close it."""
    journal = Journal(tmp_path)
    for number in range(12):
        body = bytes([number]) * number * 7
        kind = (SPAN, LOG, NOTE)[number % 3]
        journal.append(kind, _SOURCES[number % 2], body, None, True)
    (path,) = tmp_path.glob("*.journal")
    return path


def _used_bytes(data: bytes) -> int:
    return len(data[_SEGMENTS_AT:].rstrip(b"\0")) + _SEGMENTS_AT


def _is_true(found: list[JournalRecord], written: list[JournalRecord]) -> bool:
    """Whether nothing was made up: each record is one of those written, but for a source that is unknown."""
    known = {(one.seq, one.kind, one.body): one.source for one in written}
    return all(
        known.get((one.seq, one.kind, one.body)) == one.source or one.source == Source(b"", b"")
        for one in found
    ) and all((one.seq, one.kind, one.body) in known for one in found)


@pytest.mark.parametrize("change", [0xFF, 0x01, 0x80])
def test_every_byte_may_be_wrong(file: Path, change: int) -> None:
    """Whichever byte is changed, reading does not fail, and what is read was written."""
    data = bytearray(file.read_bytes())
    written = read_journal(file).records
    head = [*range(160), *range(1024, 1064), *range(4096, 4200)]
    for position in [*head, *range(_SEGMENTS_AT, _used_bytes(bytes(data)) + 8)]:
        data[position] ^= change
        found = parse_journal(bytes(data))
        assert _is_true(found.records, written), position
        if position < _SEGMENTS_AT:
            assert found.is_foreign or len(found.records) == len(written)
        data[position] ^= change


def test_a_damaged_count_of_losses_is_no_count(file: Path) -> None:
    """Losses that do not fit their check are not told."""
    data = bytearray(file.read_bytes())
    data[1024] ^= 0xFF
    file.write_bytes(data)
    assert sum(read_journal(file).losses) == 0


@pytest.mark.parametrize("size", [0, 1, 59, 4095, 4100, _SEGMENTS_AT, _SEGMENTS_AT + 30, _SEGMENTS_AT + 300])
def test_a_file_may_end_anywhere(file: Path, size: int) -> None:
    """A file that was cut tells what is whole."""
    written = read_journal(file).records
    file.write_bytes(file.read_bytes()[:size])
    assert read_journal(file).records == written[: len(read_journal(file).records)]


def test_random_bytes_are_no_records(file: Path) -> None:
    """Whatever stands where records should, nothing is made up of it and nothing fails."""
    rng = random.Random(7)
    data = bytearray(file.read_bytes())
    for _ in range(300):
        start = rng.randrange(len(data) - 200)
        data[start : start + 200] = rng.randbytes(200)
    data[_SEGMENTS_AT : _SEGMENTS_AT + 4000] = rng.randbytes(4000)
    file.write_bytes(data)
    assert read_journal(file).records == []


def test_the_remains_of_an_earlier_turn_are_not_read_again(tmp_path: Path) -> None:
    """Records behind the end mark, and a segment with older ones, do not come back."""
    journal = Journal(tmp_path)
    for round_ in range(3):
        for number in range(40):
            journal.append(SPAN, _SOURCES[0], b"%d-%d" % (round_, number), None, True)
        if round_ < 2:
            while journal.has_records:
                journal.release(journal.read(7))
    (path,) = tmp_path.glob("*.journal")
    assert [one.body for one in read_journal(path).records] == [b"2-%d" % number for number in range(40)]


def test_another_format_is_left_alone(file: Path) -> None:
    """A journal of another version of Taskscope is told apart from a damaged one."""
    from zlib import crc32

    data = bytearray(file.read_bytes())
    data[:8] = b"TSJRNL99"
    data[60 + 4 : 64 + 4] = b"\0" * 4
    size = 64
    data[size : size + 4] = crc32(data[:size]).to_bytes(4, "little")
    file.write_bytes(data)
    found = read_journal(file)
    assert found.is_foreign
    assert found.records == []
    assert len(data) == _SEGMENTS_AT + SEGMENT_BYTES


def test_a_source_at_another_place_is_none(file: Path) -> None:
    """A piece of the table that was copied over another one gives no record a wrong source."""
    data = bytearray(file.read_bytes())
    written = read_journal(file).records
    size = 8 + 8 + len(_SOURCES[0].resource) + len(_SOURCES[0].scope)
    data[4096 + size : 4096 + 2 * size] = data[4096 : 4096 + size]
    found = parse_journal(bytes(data))
    assert len(found.records) == len(written)
    assert _is_true(found.records, written)
