"""Checks a task before anything is done for it, and names all that is wrong with it at once.

Looks at files, at PATH and at what is installed; runs nothing.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.errors import InvalidTaskError, describe_choices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coding_agent.records import AgentSettings, Task

# A folder's and a file's name of its own, and never `.git`, `..` or an option.
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TEXT_LIMIT_BYTES = 64 * 1024
_HIGHEST_PRIORITY = 9
_SOURCES = ("api", "cli", "http", "queue", "background")
_MODELS = "'rules', 'replay:FILE', 'openai:MODEL' or 'anthropic:MODEL'"
_PYTHONS = frozenset({"python", "python3"})
"""In a test command these are the target's Python, wherever that lies."""
_SHIPPED_TOOLS = frozenset({"ruff", "pytest"})
"""Tools with a place of their own: ruff beside our interpreter, pytest in the target's."""


def validate_task(task: Task, settings: AgentSettings) -> None:
    """Raise InvalidTaskError with every violation (field to reason) when the task must not be started."""
    checks = (_check_text, _check_numbers, _check_repository, _check_python, _check_tools)
    violations = {field: reason for check in checks for field, reason in check(task)}
    violations |= dict(_check_model(task, settings))
    if violations:
        raise InvalidTaskError(violations)


def _check_text(task: Task) -> Iterator[tuple[str, str]]:
    if not _SAFE_ID.fullmatch(task.id) or task.id.endswith((".lock", ".", ".baseline")):
        rule = "1 to 100 letters, digits, '.', '_' or '-', the first a letter or digit"
        yield "id", f"{task.id!r} is no safe name; expected {rule}"
    try:
        size_bytes = len(task.text.encode("utf-8"))
    except UnicodeEncodeError as error:
        yield "text", f"not valid Unicode: {error.reason} at character {error.start}"
    else:
        if not task.text.strip() or size_bytes > _TEXT_LIMIT_BYTES:
            yield "text", f"{size_bytes} bytes; expected 1 byte to 64 KiB of UTF-8 that is not only blanks"
    if task.source not in _SOURCES:
        yield "source", f"{task.source!r}; expected {describe_choices(_SOURCES)}"


def _check_numbers(task: Task) -> Iterator[tuple[str, str]]:
    if not 0 <= task.priority <= _HIGHEST_PRIORITY:
        yield "priority", f"{task.priority!r}; expected 0 (first) to 9 (last)"
    if task.budget_usd is not None and not (task.budget_usd >= 0 and math.isfinite(task.budget_usd)):
        yield "budget_usd", f"{task.budget_usd!r}; expected 0 or more US dollars"
    if task.timeout is not None and not (task.timeout > 0 and math.isfinite(task.timeout)):
        yield "timeout", f"{task.timeout!r}; expected more than 0 seconds"
    if task.attempt < 1:
        yield "attempt", f"{task.attempt!r}; expected 1 or more"


def _check_repository(task: Task) -> Iterator[tuple[str, str]]:
    repository = task.repository
    if not repository.is_absolute():
        yield "repository", f"{str(repository)!r} is relative; expected an absolute path"
    elif not repository.exists():
        yield "repository", f"{str(repository)!r} does not exist"
    elif not repository.is_dir():
        yield "repository", f"{str(repository)!r} is not a folder"
    elif not os.access(repository, os.R_OK | os.X_OK):
        yield "repository", f"{str(repository)!r} cannot be read"
    elif _is_bare(repository):
        yield "repository", f"{str(repository)!r} is a bare git repository, without files to work on"


def _check_python(task: Task) -> Iterator[tuple[str, str]]:
    if task.python is not None and not _is_program(task.python):
        yield "python", f"{str(task.python)!r} is not a program; expected a Python interpreter"
    if task.test_command and not _has_test_program(task.test_command[0], task):
        yield "test_command", f"{task.test_command[0]!r} is not on PATH"


def _check_tools(task: Task) -> Iterator[tuple[str, str]]:
    # Also without a repository: a patch is made and applied by git.
    missing = {tool for tool in ("git", *task.tools) if not _has_tool(tool, task)}
    if missing:
        yield "tools", f"not installed: {', '.join(sorted(missing))}"


def _check_model(task: Task, settings: AgentSettings) -> Iterator[tuple[str, str]]:
    kind, separator, rest = task.model.partition(":")
    if task.model == "rules":
        return
    if kind not in {"replay", "openai", "anthropic"} or not separator or not rest:
        yield "model", f"{task.model!r} is unknown; expected {_MODELS}"
    elif kind == "replay":
        if not Path(rest).is_file():
            yield "model", f"the recording {rest!r} does not exist"
    else:
        yield from _check_live_model(kind, settings)


def _check_live_model(provider: str, settings: AgentSettings) -> Iterator[tuple[str, str]]:
    if not settings.live_models:
        yield "model", f"live models are switched off; {provider!r} is one"
        return
    wanted = []
    if find_spec(provider) is None:
        wanted.append(f"the package {provider!r} is not installed: pip install 'taskscope[{provider}]'")
    # A server of one's own needs a base URL and takes any key.
    has_access = {
        "openai": settings.openai_api_key or settings.openai_base_url,
        "anthropic": settings.anthropic_api_key or settings.anthropic_base_url,
    }
    if not has_access[provider]:
        wanted.append(f"{provider.upper()}_API_KEY is not set")
    if wanted:
        yield "model", "; ".join(wanted)


def _has_tool(tool: str, task: Task) -> bool:
    if tool not in _SHIPPED_TOOLS:
        return _has_program(tool, task.repository)
    # The target's Python says for itself whether it has pytest; without it the work is not verified.
    return tool == "pytest" or _is_program(Path(sysconfig.get_path("scripts"), tool)) or _on_path(tool)


def _has_test_program(name: str, task: Task) -> bool:
    """Whether it is found where the checks run: the target's Python and what lies beside it come first."""
    if name in _PYTHONS or _has_program(name, task.repository):
        return True
    folders = (task.repository, *task.repository.parents)
    places = [folder / venv / "bin" for folder in folders for venv in (".venv", "venv")]
    places += [task.python.parent] if task.python is not None else []
    places += [Path(sys.executable).parent, Path(os.environ.get("VIRTUAL_ENV", ""), "bin")]
    return any(_is_program(place / name) for place in places)


def _has_program(name: str, repository: Path) -> bool:
    return _on_path(name) or (os.sep in name and _is_program(repository / name))


def _on_path(name: str) -> bool:
    return shutil.which(name) is not None


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()
