"""Journals with damage: every byte flipped in turn, and a great many changed at random, each read again.

    python -m reliability.loads.damage COUNT SEED flips|fuzz

A reader may miss what is damaged and what stands behind it in its segment; it may not fail, and it may not
tell of a record that nobody wrote, nor in another order. COUNT of flips is that of positions, in even steps.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.loads._answer import answer
from taskscope.recorder.journal import Journal
from taskscope.store import journals as layout
from taskscope.store.journals import JournalRecord
from taskscope.store.records import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_RECORDS = 40
_NO_SOURCE = Source(b"", b"")
_RIDDLE = 0xFF


def main() -> None:
    """Answer how often it was read, and what came of it."""
    count, seed, way = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    folder = Path(os.environ["TASKSCOPE_HOME"])
    patient = _Patient(*make_journal(folder))
    chance = random.Random(seed)
    if way == "flips":
        patient.flip_bytes(count, chance)
    else:
        for _ in range(count):
            patient.damage(chance)
    answer(**{name: patient.counts[name] for name in ("reads", "crashes", "false", "whole", "changed")})


def make_journal(folder: Path) -> tuple[Path, list[JournalRecord]]:
    """A journal, and all that was ever written into it, in order.

    Its first segment was used before: what stands behind its end was valid once.
    """
    journal = Journal(folder)
    sources = [Source(b"resource %d" % number, b"scope") for number in range(3)]
    written = []
    for number in range(3 * _RECORDS):
        body = b"%d, as long as it may be here, and as long as it was" % (number + 100)
        kind = (layout.SPAN, layout.LOG, layout.NOTE, layout.READING)[number % 4]
        record = JournalRecord(number + 1, kind, sources[number % 3], body)
        written.append(record)
        assert journal.append(kind, record.source, body, signal=None, is_precious=True) is None
        if len(written) == 2 * _RECORDS:
            while (batch := journal.read(10)).entries:
                journal.release(batch)
    (path,) = folder.glob(f"*{layout.SUFFIX}")
    return path, written


class _Patient:
    """A journal file that is damaged, read and mended, over and over."""

    def __init__(self, path: Path, written: list[JournalRecord]) -> None:
        self._path = path
        self._written = {record.seq: record for record in written}
        self._current = written[-_RECORDS:]
        assert layout.read_journal(path).records == self._current
        # Nothing of the rest was ever used; it would only take time.
        self._size = layout._SOURCES_END + 2 * _RECORDS * 80  # noqa: SLF001  where segments begin
        with path.open("r+b") as file:
            file.truncate(self._size)
        self._whole = path.read_bytes()
        self._file = os.open(path, os.O_RDWR)
        self.counts: Counter[str] = Counter()

    def flip_bytes(self, count: int, chance: random.Random) -> None:
        """Invert bytes in even steps, all of them where the count is large; then give each another value."""
        step = max(self._size // count, 1)
        for position in range(chance.randrange(step), self._size, step):
            old = self._whole[position]
            for new in (old ^ _RIDDLE, (old + chance.randrange(1, 256)) % 256):
                os.pwrite(self._file, bytes((new,)), position)
                self._read()
            os.pwrite(self._file, bytes((old,)), position)

    def damage(self, chance: random.Random) -> None:
        """Do one to three things at random to the file, read it, and mend it."""
        for _ in range(chance.randint(1, 3)):
            chance.choice(_DAMAGES)(self._file, self._size, self._places(chance), chance)
        self._read()
        os.ftruncate(self._file, self._size)
        os.pwrite(self._file, self._whole, 0)

    def _places(self, chance: random.Random) -> Iterator[int]:
        """Positions: half of them in the records, where it hurts."""
        used = (0, 1200), (4096, 4300), (layout._SOURCES_END, self._size)  # noqa: SLF001  as above
        while True:
            start, end = chance.choice((*used, used[2], (0, self._size)))
            yield chance.randrange(start, end)

    def _read(self) -> None:
        self.counts["reads"] += 1
        try:
            records = layout.read_journal(self._path).records
        except Exception:  # noqa: BLE001  whatever it is, it is a crash
            self.counts["crashes"] += 1
            return
        self.counts["false"] += sum(not self._is_true(record) for record in records)
        self.counts["false"] += [record.seq for record in records] != sorted({one.seq for one in records})
        self.counts["whole" if records == self._current else "changed"] += 1

    def _is_true(self, record: JournalRecord) -> bool:
        """Whether it is one that was written; its source may have become unknown, but not another."""
        written = self._written.get(record.seq)
        if written is None or record.source not in {written.source, _NO_SOURCE}:
            return False
        return record._replace(source=written.source) == written


# --- kinds of damage; each takes the file, its size, places, and chance


def _scribble(file: int, size: int, places: Iterator[int], chance: random.Random) -> None:
    position = next(places)
    os.pwrite(file, chance.randbytes(min(chance.choice((1, 4, 16, 200)), size - position)), position)


def _zero(file: int, size: int, places: Iterator[int], chance: random.Random) -> None:
    position = next(places)
    os.pwrite(file, bytes(min(chance.choice((4, 512, 4096)), size - position)), position)


def _cut(file: int, _size: int, places: Iterator[int], _chance: random.Random) -> None:
    os.ftruncate(file, next(places))


def _copy(file: int, size: int, places: Iterator[int], chance: random.Random) -> None:
    """A piece from elsewhere in the file: every byte of it was valid once."""
    start, target = next(places), next(places)
    piece = os.pread(file, chance.choice((24, 60, 400)), start)
    os.pwrite(file, piece[: size - target], target)


def _lengthen(file: int, _size: int, places: Iterator[int], chance: random.Random) -> None:
    """A length that promises too much."""
    os.pwrite(file, chance.choice((1, 79, 81, 1 << 20, (1 << 32) - 1)).to_bytes(4, "little"), next(places))


_DAMAGES: tuple[Callable[[int, int, Iterator[int], random.Random], None], ...] = (
    _scribble, _zero, _cut, _copy, _lengthen,
)  # fmt: skip


if __name__ == "__main__":
    main()
