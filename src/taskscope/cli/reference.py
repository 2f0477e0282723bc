"""The reference in docs/cli.md, made from the commands: `python -m taskscope.cli.reference docs/cli.md`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from .app import app

BEGIN = "<!-- made by python -m taskscope.cli.reference docs/cli.md -->"
END = "<!-- end of what is made -->"


def render() -> str:
    """Return the reference as Markdown: each command with its arguments and options."""
    group: Any = typer.main.get_command(app)
    return "\n".join(_section(command) for command in group.commands.values())


def _section(command: Any) -> str:
    rows = [_row(*record) for parameter in command.params if (record := _describe(parameter))]
    usage = " ".join(["taskscope", command.name, *(_usage(parameter) for parameter in command.params)])
    return "\n".join(
        [f"### {command.name}", "", command.help, "", "```", " ".join(usage.split()), "```", "", *rows, ""]
    )


def _usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    return "" if parameter.name != "as_json" else "[--json]"


def _describe(parameter: Any) -> tuple[str, str, str] | None:
    if parameter.name == "help":
        return None
    if parameter.param_type_name == "argument":
        return str(parameter.metavar).strip("[]"), parameter.help or "", ""
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    default = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    return names, parameter.help or "", "" if default in {None, False} else str(default)


def _row(name: str, text: str, default: str) -> str:
    return f"- {name}: {text}" + (f" Default: {default}." if default else "")


def put_into(page: str) -> str:
    """Return a page with the reference between its two marks."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{render()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(put_into(path.read_text(encoding="utf-8")), encoding="utf-8")
