"""The kinds of value that a setting may have: how text becomes a value, and what is allowed in words.

Every source hands over text (a YAML scalar too, so that `service_name: off` means the word), so that one
parser serves the environment, `.env` and `.agent.yml`. A parser raises ValueError; the words of the message
come from `Kind.allowed`. Regular expressions are compiled when there is a text to match: in most programs
for two or three of them.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_INTEGER = r"[+-]?[0-9][0-9_]*"
_DURATION = r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?"
_SIZE = r"([0-9][0-9_]*)\s*([kKMG]i?)?B?"
_SECONDS = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    None: 1,
    "k": 1000,
    "K": 1000,
    "M": 1000**2,
    "G": 1000**3,
    "ki": 1024,
    "Ki": 1024,
    "Mi": 1024**2,
    "Gi": 1024**3,
}
_FLAGS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True, slots=True)
class Place:
    """What relative paths and `~` are relative to."""

    folder: Path
    user_home: Path


@dataclass(frozen=True, slots=True)
class Kind:
    """How one setting's text becomes its value."""

    allowed: str
    """In words, for messages and docs: `a whole number, 0 to 65535`."""
    parse: Callable[[str, Place], object]
    is_url: bool = False
    """A URL may carry credentials, so that messages show it without them and `repr` leaves it out."""
    is_list: bool = False
    """`.agent.yml` may give a list; it arrives joined by `os.pathsep`."""


def _bounded(value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also refuses nan
        raise ValueError


def whole(low: int, high: int) -> Kind:
    """Return the kind of a whole number within bounds, both included."""

    def parse(text: str, _place: Place) -> int:
        if not re.fullmatch(_INTEGER, text):
            raise ValueError
        value = int(text)
        _bounded(value, low, high)
        return value

    return Kind(f"a whole number, {low} to {high}", parse)


def number(low: float, high: float = math.inf) -> Kind:
    """Return the kind of a decimal number within bounds, both included; never nan or infinite."""

    def parse(text: str, _place: Place) -> float:
        value = float(text)
        _bounded(value, low, min(high, 1e15))
        return value

    upper = f" to {high:g}" if math.isfinite(high) else " or more"
    return Kind(f"a number, {low:g}{upper}", parse)


def duration(low: float, high: float) -> Kind:
    """Return the kind of a time span: seconds, or with a unit (`500ms`, `30s`, `5m`, `2h`, `1d`)."""

    def parse(text: str, _place: Place) -> float:
        found = re.fullmatch(_DURATION, text)
        if found is None:
            raise ValueError
        value = float(found[1]) * _SECONDS[found[2]]
        _bounded(value, low, high)
        return value

    return Kind(f"seconds, {low:g} to {high:g}, or with a unit (ms, s, m, h, d)", parse)


def size(low: int, high: int) -> Kind:
    """Return the kind of a number of bytes, plain or with a unit (`512MB`, `1GiB`)."""

    def parse(text: str, _place: Place) -> int:
        found = re.fullmatch(_SIZE, text)
        if found is None:
            raise ValueError
        value = int(found[1]) * _BYTES[found[2]]
        _bounded(value, low, high)
        return value

    return Kind(f"bytes, {low} to {high}, or with a unit (kB, MB, GB, KiB, MiB, GiB)", parse)


def flag() -> Kind:
    """Return the kind of a yes or no."""

    def parse(text: str, _place: Place) -> bool:
        try:
            return _FLAGS[text.lower()]
        except KeyError:
            raise ValueError from None

    return Kind("true or false (also yes, no, on, off, 1, 0)", parse)


def choice(*words: str) -> Kind:
    """Return the kind of one word out of a closed set, upper or lower case."""

    def parse(text: str, _place: Place) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return Kind(", ".join(words[:-1]) + " or " + words[-1], parse)


def pattern(allowed: str, regex: str) -> Kind:
    """Return the kind of a text that matches a regular expression as a whole."""

    def parse(text: str, _place: Place) -> str:
        if not re.fullmatch(regex, text):
            raise ValueError
        return text

    return Kind(allowed, parse)


def url(*schemes: str) -> Kind:
    """Return the kind of an absolute URL with a host."""
    regex = rf"(?:{'|'.join(schemes)})://[^\s/?#]+\S*"

    def parse(text: str, _place: Place) -> str:
        if not re.fullmatch(regex, text, re.IGNORECASE):
            raise ValueError
        return text

    return Kind(
        "a URL that starts with " + " or ".join(f"{scheme}://" for scheme in schemes), parse, is_url=True
    )


def _absolute(text: str, place: Place) -> Path:
    if "\0" in text or not text:
        raise ValueError
    if text == "~" or text.startswith("~/"):
        text = str(place.user_home) + text[1:]
    # normpath and not resolve: a symbolic link stays what the person wrote.
    return Path(os.path.normpath(place.folder / text))


def path() -> Kind:
    """Return the kind of a path; relative ones start at the folder of the call, `~` is the home folder."""
    return Kind("a path", _absolute)


def paths() -> Kind:
    """Return the kind of several paths: separated like PATH, or a list in `.agent.yml`."""

    def parse(text: str, place: Place) -> tuple[Path, ...]:
        return tuple(_absolute(part, place) for part in text.split(os.pathsep) if part)

    return Kind(f"paths separated by {os.pathsep!r} (a list in .agent.yml)", parse, is_list=True)


def destinations() -> Kind:
    """Return the kind of named URLs: `name=URL`, separated by commas; no name stands twice."""
    named = r"([a-z][a-z0-9_-]{0,31})=(https?://[^\s/?#,]+[^\s,]*)"
    taken = {"otlp", "store"}  # what OTEL_EXPORTER_OTLP_* describes, and this host

    def parse(text: str, _place: Place) -> tuple[tuple[str, str], ...]:
        found = [re.fullmatch(named, part.strip()) for part in text.split(",")]
        pairs = tuple((match[1], match[2]) for match in found if match is not None)
        names = {name for name, _ in pairs}
        if len(pairs) != len(found) or len(names) != len(pairs) or names & taken:
            raise ValueError
        return pairs

    return Kind("name=URL, separated by commas, each name once and none of otlp, store", parse, is_url=True)
