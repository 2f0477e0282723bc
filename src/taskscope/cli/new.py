"""`new`: a task file with what the person said, and the other keys as comments to fill in."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from taskscope.errors import UsageError

from .task_file import KEYS
from .terminal import clean, open_screen

if TYPE_CHECKING:
    from .task_file import Options

_DEFAULT_TEXT = "Repair what the compiler, the linter and the tests report."
_EXAMPLES = {
    "kind": "repair",
    "priority": "5  # 0 first, 9 last",
    "model": "rules  # or replay:FILE, openai:MODEL, anthropic:MODEL",
    "budget_usd": "0.50",
    "timeout": "10m",
    "python": ".venv/bin/python",
    "test_command": "python -m pytest -q",
    "in_place": "false",
    "tools": "[pytest, ruff]  # programs that must be there",
}


def write_task(text: str | None, options: Options, output: Path, *, force: bool) -> int:
    """Write a task file and say how to run it; UsageError when the file exists and `force` is not given."""
    content = describe_task(_DEFAULT_TEXT if text is None else text, options)
    if text is not None and not text.strip():
        msg = "the task has no text: say in words what to do"
        raise UsageError(msg)
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        msg = f"{str(output)!r} exists already: choose another --output, or replace it with --force"
        raise UsageError(msg) from None
    screen = open_screen()
    screen.say(
        f"wrote {clean(str(output))}", f"run it:  {clean(shlex.join(['taskscope', 'run', str(output)]))}"
    )
    return 0


def describe_task(text: str, options: Options) -> str:
    """Return the text of a task file."""
    import yaml

    repository = (options.repository or Path.cwd()).expanduser().absolute()
    given = {
        "text": text,
        "repository": str(repository),
        "model": options.model,
        "budget_usd": options.budget_usd,
        "timeout": options.timeout,
        "python": None if options.python is None else str(options.python.expanduser().absolute()),
        "test_command": options.test_command,
        "in_place": options.in_place,
    }
    said = {name: value for name, value in given.items() if value is not None}
    lines = ["# A task for `taskscope run`. Relative paths start at the folder of this file."]
    for name in KEYS:
        if name in said:
            lines.append(yaml.safe_dump({name: said[name]}, allow_unicode=True, width=1000).rstrip())
        else:
            lines.append(f"# {name}: {_EXAMPLES[name]}")
    return "\n".join(lines) + "\n"
