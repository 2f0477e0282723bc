"""Files to chunks: how a file's bytes become text, and where the text is cut.

A chunk is about 40 lines; Python is cut at top-level definitions, found by their first column so that a file
with a syntax error is cut as well. Reading belongs to `files.py`, keeping to `store.py`.
"""

from __future__ import annotations

import io
import math
import re
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .files import SkippedFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LINES = 40
"""Lines that a chunk aims at."""
_LINES_WHOLE = 60
"""Lines up to which a definition stays in one chunk."""
_CHARACTERS = 6_000
"""Characters of a chunk at most: embedding models refuse more than about 8,000 tokens."""
_BINARY_PROBE_BYTES = 8_000
"""Where a NUL byte means binary; the same number as git's."""

_DEFINITION = re.compile(r"(?:async\s+def|def|class)\b|@")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of lines of one file; lines count from 1, both ends included."""

    start_line: int
    end_line: int
    text: str


def decode(path: str, content: bytes) -> str:
    """Return a file's text, Python by its coding cookie, all else as UTF-8; SkippedFileError if not text."""
    if b"\0" in content[:_BINARY_PROBE_BYTES]:
        raise SkippedFileError("binary")
    try:
        text = content.decode(_encoding(path, content))
        text.encode()  # some codecs of Python's own decode to lone surrogates, which no store takes
    except (LookupError, SyntaxError, ValueError) as error:
        raise SkippedFileError("undecodable") from error
    return text


def cut(path: str, text: str) -> list[Chunk]:
    """Return the chunks of a text: every line is in one, except that chunks of white space are left out."""
    lines = text.split("\n")
    is_python = path.endswith((".py", ".pyi"))
    runs = _cut_python(lines) if is_python else _cut_evenly(0, len(lines), longest=_LINES)
    return [chunk for start, end in runs for chunk in _bounded(lines, start, end)]


def _encoding(path: str, content: bytes) -> str:
    if not path.endswith((".py", ".pyi")):
        return "utf-8-sig"
    return tokenize.detect_encoding(io.BytesIO(content).readline)[0]


def _cut_python(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield runs of whole top-level definitions up to a chunk's size; a longer definition is cut evenly."""
    start = end = 0
    for block_start, block_end in _definitions(lines):
        if end > start and block_end - start > _LINES:
            yield from _cut_evenly(start, end, longest=_LINES_WHOLE)
            start = block_start
        end = block_end
    yield from _cut_evenly(start, end, longest=_LINES_WHOLE)


def _definitions(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield runs of lines, each from a top-level definition or its first decorator to the next one."""
    start = 0
    follows_decorator = False
    for number, line in enumerate(lines):
        is_definition = _DEFINITION.match(line) is not None
        if is_definition and not follows_decorator and number > start:
            yield start, number
            start = number
        follows_decorator = line.startswith("@") or (follows_decorator and not is_definition)
    yield start, len(lines)


def _cut_evenly(start: int, end: int, *, longest: int) -> Iterator[tuple[int, int]]:
    """Yield the run in pieces alike in length; one of up to `longest` lines stays whole."""
    pieces = 1 if end - start <= longest else math.ceil((end - start) / _LINES)
    step = math.ceil((end - start) / pieces)
    for first in range(start, end, max(step, 1)):
        yield first, min(first + step, end)


def _bounded(lines: Sequence[str], start: int, end: int) -> Iterator[Chunk]:
    """Yield a run as chunks that keep to the characters as well; a line that is too long is cut by itself."""
    text = "\n".join(lines[start:end])
    if not text.strip():
        return
    if len(text) <= _CHARACTERS:
        yield Chunk(start + 1, end, text)
    elif end - start > 1:
        middle = (start + end) // 2
        yield from _bounded(lines, start, middle)
        yield from _bounded(lines, middle, end)
    else:
        pieces = (text[at : at + _CHARACTERS] for at in range(0, len(text), _CHARACTERS))
        yield from (Chunk(start + 1, end, piece) for piece in pieces if piece.strip())
