"""Where values come from: the environment, `.env` and `.agent.yml` of one folder.

Each source becomes a mapping of name to `Found` (text and where it stood). Nothing is parsed or judged
here beyond the file formats themselves. `.env` never interpolates and never runs anything.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_BARE = re.compile(r"[^\n]*")
_SINGLE = re.compile(r"'([^']*)'[ \t]*(?:#[^\n]*)?(?=\n|\Z)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t]*(?:#[^\n]*)?(?=\n|\Z)', re.DOTALL)
_IGNORED = re.compile(r"[ \t]*(?:#[^\n]*)?(?=\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Found:
    """One value as it stands in its source."""

    text: str
    source: str
    """For messages: `environment METRICS_PORT`, `.env:3`, `.agent.yml:7`."""
    is_list: bool = False
    """Whether `.agent.yml` had a list here; its items are joined like PATH."""


def read_environment(environ: Mapping[str, str]) -> dict[str, Found]:
    """Return the variables of a process; empty ones count as unset, as OpenTelemetry has it."""
    return {name: Found(text, f"environment {name}") for name, text in environ.items() if text}


def read_env_file(path: Path) -> tuple[dict[str, Found], list[str]]:
    """Return the variables of a `.env` file, and a sentence for each line that could not be read.

    A missing file, or something that is not a file (a virtual environment of that name), has no variables.
    """
    if not path.is_file():
        return {}, []
    try:
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        return {}, [f"{path.name} was not read ({_reason(error)})"]
    found: dict[str, Found] = {}
    oddities: list[str] = []
    for line, name, value in _entries(text):
        if name is None:
            oddities.append(f"{path.name}:{line} was not read: expected NAME=value with closed quotes")
        elif value:
            found[name] = Found(value, f"{path.name}:{line}")
    return found, oddities


def _entries(text: str) -> Iterator[tuple[int, str | None, str]]:
    """Yield (line, name, value); the name is None where a line cannot be read."""
    position, line = 0, 1
    while position < len(text):
        start = position
        if ignored := _IGNORED.match(text, position):
            position = ignored.end()
        else:
            name, value, position = _entry(text, position)
            yield line, name, value
        position += 1  # the newline itself
        line += text.count("\n", start, position)


def _entry(text: str, position: int) -> tuple[str | None, str, int]:
    head = _NAME.match(text, position)
    end_of_line = _end(_BARE.match(text, position), position)
    if head is None:
        return None, "", end_of_line
    start = head.end()
    quote = text[start : start + 1]
    if quote not in {"'", '"'}:
        return head[1], re.split(r"(?:^|[ \t])#", text[start:end_of_line], maxsplit=1)[0].strip(), end_of_line
    body = (_SINGLE if quote == "'" else _DOUBLE).match(text, start)
    if body is None:
        return None, "", end_of_line
    value = body[1] if quote == "'" else _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), body[1])
    return head[1], value, body.end()


def _end(found: re.Match[str] | None, otherwise: int) -> int:
    return found.end() if found else otherwise


def read_agent_file(path: Path) -> tuple[dict[str, Found], dict[str, str]]:
    """Return the keys of an `.agent.yml`, and what is wrong with the file by place.

    PyYAML is imported only when the file exists. Scalars stay text, so that `off` is a word and not False.
    """
    if not path.exists():
        return {}, {}
    import yaml  # 10 ms that most calls need not pay

    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        return {}, {path.name: f"cannot be read: {_reason(error)}"}
    except yaml.YAMLError as error:
        return {}, {_place(path, error): f"is not YAML: {_problem(error)}"}
    if root is None or root.tag == "tag:yaml.org,2002:null":
        return {}, {}
    if not isinstance(root, yaml.MappingNode):
        return {}, {f"{path.name}:1": "expected `key: value` lines"}
    return _keys(path, root)


def _keys(path: Path, root: Any) -> tuple[dict[str, Found], dict[str, str]]:
    found: dict[str, Found] = {}
    wrong: dict[str, str] = {}
    for key, value in root.value:
        place = f"{path.name}:{key.start_mark.line + 1}"
        name = str(key.value) if key.id == "scalar" else repr(key.id)
        if name in found:
            wrong[f"{name} ({place})"] = f"stands twice, first at {found[name].source}"
        elif (text := _text(value)) is None:
            wrong[f"{name} ({place})"] = "expected a single value, or a list where paths are allowed"
        elif text:
            found[name] = Found(text, place, is_list=value.id == "sequence")
    return found, wrong


def _text(node: Any) -> str | None:
    """Return a scalar's text, a list of scalars joined like PATH, or None for anything else."""
    if node.id == "scalar":
        return "" if node.tag == "tag:yaml.org,2002:null" else str(node.value)
    if node.id == "sequence" and all(item.id == "scalar" for item in node.value):
        return os.pathsep.join(str(item.value) for item in node.value)
    return None


def _place(path: Path, error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{path.name}:{mark.line + 1}" if mark is not None else path.name


def _problem(error: Any) -> str:
    words = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
    return " ".join(str(words).split())


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return "nested too deep"
