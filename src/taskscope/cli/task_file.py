"""What a person asks for, as text, as a YAML task file or on standard input, becomes one TaskRequest.

Options of the command line go before what stands in the file. Everything wrong in a file is said at once,
each with file and line; whether the task can be done is for the runner to say.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskscope.config import kinds
from taskscope.errors import UsageError
from taskscope.tasks.records import TaskRequest

if TYPE_CHECKING:
    from taskscope.config.kinds import Kind, Place

_SUFFIXES = (".yml", ".yaml")
_SIZE_LIMIT_BYTES = 1_000_000
_SHOWN = 60
_OPTION_NAMES = {
    "repository": "--repo",
    "model": "--model",
    "budget_usd": "--budget-usd",
    "timeout": "--timeout",
    "python": "--python",
    "test_command": "--test-command",
    "in_place": "--in-place",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said about a task; None where it said nothing."""

    repository: Path | None = None
    model: str | None = None
    budget_usd: float | None = None
    timeout: str | None = None
    """Seconds, or with a unit."""
    python: Path | None = None
    test_command: str | None = None
    in_place: bool | None = None


def _text(text: str, _place: Place) -> str:
    if not text.strip():
        raise ValueError
    return text


def _command(text: str, _place: Place) -> tuple[str, ...]:
    words = tuple(shlex.split(text))
    if not words:
        raise ValueError
    return words


_COMMAND = kinds.Kind("a command, or a list of its words", _command, is_list=True)
_NAMES = kinds.Kind("a list of programs", _command, is_list=True)

KEYS: dict[str, Kind] = {
    "text": kinds.Kind("what to do, in words", _text),
    "repository": kinds.path(),
    "kind": kinds.pattern("a word", r"[a-z][a-z0-9_-]{0,63}"),
    "priority": kinds.whole(0, 9),
    "model": kinds.pattern(
        "rules, replay:FILE, openai:MODEL or anthropic:MODEL", r"rules|(?:replay|openai|anthropic):\S.*"
    ),
    "budget_usd": kinds.number(0),
    "timeout": kinds.duration(0.001, 604_800),
    "python": kinds.path(),
    "test_command": _COMMAND,
    "in_place": kinds.flag(),
    "tools": _NAMES,
}
"""What a task file may say. Relative paths start at the file's folder."""


def build_request(task: str, options: Options) -> TaskRequest:
    """Return what TASK (text, a YAML task file, or `-`) and the options ask for; raises UsageError."""
    values = _read(task)
    values |= _given(options)
    values.setdefault("repository", Path.cwd())
    return TaskRequest(**values)


def _read(task: str) -> dict[str, Any]:
    if task == "-":
        return _read_stdin()
    if is_task_file(task):
        return load_task_file(Path(task))
    if not task.strip():
        msg = "the task has no text: say in words what to do, or name a task file"
        raise UsageError(msg)
    return {"text": task}


def _read_stdin() -> dict[str, Any]:
    text = sys.stdin.buffer.read(_SIZE_LIMIT_BYTES).decode(errors="replace")
    if not text.strip():
        msg = "standard input was empty: expected what to do, in words"
        raise UsageError(msg)
    return {"text": text.strip()}


def is_task_file(task: str) -> bool:
    """Whether TASK names a YAML file: one that exists, or one word that ends like one (then it is missed)."""
    looks_like_one = task.endswith(_SUFFIXES)
    is_one_word = len(task.split()) == 1
    return looks_like_one and (is_one_word or Path(task).is_file())


def _given(options: Options) -> dict[str, Any]:
    """Return the options that were given, parsed like a task file; paths start at the folder of the call."""
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for item in fields(options):
        given = getattr(options, item.name)
        if given is None:
            continue
        kind = KEYS[item.name]
        try:
            values[item.name] = kind.parse(str(given), _place_of(Path.cwd()))
        except ValueError:
            wrong.append(f"{_OPTION_NAMES[item.name]} {str(given)!r} is not allowed; expected {kind.allowed}")
    if wrong:
        raise UsageError("; ".join(wrong))
    return values


def load_task_file(path: Path) -> dict[str, Any]:
    """Return what a task file says by the fields of TaskRequest; raises UsageError with all that is wrong."""
    root = _compose(path)
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for key, node in root.value:
        place = f"{path}:{key.start_mark.line + 1}"
        name = str(key.value)
        if name not in KEYS:
            wrong.append(f"{place}: no such key {name!r}{_hint(name)}")
        elif name in values:
            wrong.append(f"{place}: {name} stands twice")
        elif node.tag != "tag:yaml.org,2002:null":
            _parse(name, node, path, values, wrong)
    if "text" not in values and not any(": text " in line for line in wrong):
        wrong.append(f"{path}: text is missing: what to do, in words")
    if wrong:
        raise UsageError("; ".join(wrong))
    return values


def _parse(name: str, node: Any, path: Path, values: dict[str, Any], wrong: list[str]) -> None:
    kind = KEYS[name]
    try:
        values[name] = kind.parse(_scalar(node, is_list=kind.is_list), _place_of(path.absolute().parent))
    except ValueError:
        shown = repr(str(node.value)[:_SHOWN]) if node.id == "scalar" else f"a {node.id}"
        line = node.start_mark.line + 1
        wrong.append(f"{path}:{line}: {name} {shown} is not allowed; expected {kind.allowed}")


def _scalar(node: Any, *, is_list: bool) -> str:
    if node.id == "scalar":
        return str(node.value)
    if is_list and node.id == "sequence" and all(item.id == "scalar" for item in node.value):
        return shlex.join(str(item.value) for item in node.value)
    raise ValueError


def _compose(path: Path) -> Any:
    import yaml  # 10 ms that other commands need not pay

    try:
        if path.stat().st_size > _SIZE_LIMIT_BYTES:
            msg = f"{path}: larger than {_SIZE_LIMIT_BYTES:,} bytes, which no task file is"
            raise UsageError(msg)
        root: Any = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except OSError as error:
        msg = f"cannot read the task file {str(path)!r}: {error.strerror}; `taskscope new` writes one"
        raise UsageError(msg) from None
    except (UnicodeDecodeError, RecursionError) as error:
        msg = f"{path}: not a task file ({type(error).__name__})"
        raise UsageError(msg) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        words = " ".join(str(getattr(error, "problem", None) or error).split())
        msg = f"{path}{line}: not YAML: {words}"
        raise UsageError(msg) from None
    if root is None or root.id != "mapping":
        msg = f"{path}:1: expected `key: value` lines; `taskscope new` writes a task file"
        raise UsageError(msg)
    return root


def _hint(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name.lower().replace("-", "_"), KEYS, n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else f"; known are {', '.join(KEYS)}"


def _place_of(folder: Path) -> Place:
    return kinds.Place(folder, Path("~").expanduser())
