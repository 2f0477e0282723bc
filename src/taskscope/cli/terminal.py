"""Lines on a terminal: what is safe to show, which signs it can draw, and when the reader has gone.

Everything that comes from content (span names, task text, messages) passes `clean`: a recorded text must not
move the cursor, change colors, make links or turn the direction of writing. No rich here: it costs 50 ms.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

# C0 with ESC, DEL and C1 (each starts a control sequence somewhere); marks, embeddings, overrides, isolates
# of the bidirectional algorithm; line separators; invisible signs and tags that hide text; lone surrogates,
# which no encoding takes. U+200C and U+200D stay: Persian and emoji are written with them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


_PIPE_WIDTH = 240


def clean(text: str) -> str:
    r"""Return the text as one line that no terminal obeys: `\x1b[31m` is shown as these letters."""
    return _UNSAFE.sub(_name, text)


def clean_lines(text: str) -> list[str]:
    """Return the lines of a text, each clean."""
    return [clean(line) for line in text.split("\n")]


def _name(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def shorten(text: str, width: int) -> str:
    """Return a clean text cut to a width, with three dots where it was cut."""
    text = clean(text)
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."


@dataclass(frozen=True, slots=True)
class Signs:
    """What tree lines are drawn with."""

    tee: str
    corner: str
    bar: str
    good: str
    bad: str
    running: str
    interrupted: str
    times: str

    @property
    def gap(self) -> str:
        """Below a corner nothing goes on."""
        return " " * len(self.bar)


UNICODE = Signs("├─ ", "└─ ", "│  ", "✓", "✗", "…", "⚡", "\u00d7")
ASCII = Signs("|- ", "`- ", "|  ", "+", "x", "~", "!", "x")


def choose_signs(encoding: str | None) -> Signs:
    """Return the signs that an encoding can carry."""
    try:
        f"{UNICODE.tee}{UNICODE.corner}{UNICODE.bar}✓✗…⚡\u00d7".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


_GREEN, _RED, _YELLOW, _DIM, _BOLD, _PLAIN = "32", "31", "33", "2", "1", "0"


@dataclass(frozen=True, slots=True)
class Paint:
    """Colors, or none: only on a terminal, and never where NO_COLOR is set."""

    is_on: bool = False

    def good(self, text: str) -> str:
        """Return green text."""
        return self._paint(text, _GREEN)

    def bad(self, text: str) -> str:
        """Return red text."""
        return self._paint(text, _RED)

    def odd(self, text: str) -> str:
        """Return yellow text."""
        return self._paint(text, _YELLOW)

    def quiet(self, text: str) -> str:
        """Return dim text."""
        return self._paint(text, _DIM)

    def loud(self, text: str) -> str:
        """Return bold text."""
        return self._paint(text, _BOLD)

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[{_PLAIN}m" if self.is_on and text else text


@dataclass(frozen=True, slots=True)
class Screen:
    """A stream that lines go to, and what it can show."""

    stream: TextIO
    signs: Signs
    paint: Paint
    is_terminal: bool

    def say(self, *lines: str) -> None:
        """Write lines; BrokenPipeError when nobody reads any more."""
        self.stream.writelines(f"{line}\n" for line in lines)
        self.stream.flush()

    @property
    def width(self) -> int:
        """Columns; a pipe has many, and those who read it cut lines themselves."""
        return shutil.get_terminal_size().columns if self.is_terminal else _PIPE_WIDTH


def open_screen(stream: TextIO | None = None) -> Screen:
    """Return the screen of standard output, or of another stream."""
    stream = sys.stdout if stream is None else stream
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # a name that this encoding lacks is no reason to fail
    is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    is_colored = is_terminal and not os.environ.get("NO_COLOR")
    return Screen(stream, choose_signs(stream.encoding), Paint(is_colored), is_terminal)


def warn(lines: Iterable[str]) -> None:
    """Write warnings to standard error."""
    open_screen(sys.stderr).say(*(f"taskscope: warning: {clean(line)}" for line in lines))
