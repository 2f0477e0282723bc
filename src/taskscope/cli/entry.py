"""From arguments to an exit code: the border where every failure becomes one line on standard error.

Exit codes: 0 good; 1 the thing asked about is not well; 2 wrong use or refused task; 3 could not do it;
130 Ctrl-C. A traceback is shown for our own mistakes only.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import typer

from taskscope.errors import TaskscopeError

from .app import app
from .terminal import clean, open_screen

if TYPE_CHECKING:
    from collections.abc import Sequence

GOOD, NOT_WELL, WRONG_USE, COULD_NOT, CTRL_C = 0, 1, 2, 3, 130
"""What a script can tell apart."""


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        code = _invoke(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except typer.Exit as end:  # `--help` and `--version`
        return end.exit_code
    except BrokenPipeError:  # `taskscope history | head -1` has what it wanted
        _forget_stdout()
        return GOOD
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the border: whatever failed becomes a code
        return _fail(error)
    return code


def _invoke(arguments: list[str]) -> int:
    # Not `app()`: it answers a closed pipe with 1 and writes an empty line at Ctrl-C.
    command = typer.main.get_command(app)
    with command.make_context("taskscope", arguments) as context:
        code = command.invoke(context)
    return code if isinstance(code, int) else GOOD


def _fail(error: BaseException) -> int:
    message, code = _explain(error)
    with contextlib.suppress(OSError):
        open_screen(sys.stderr).say(*([f"taskscope: {clean(message)}"] if message else ()))
    return code


def _explain(error: BaseException) -> tuple[str, int]:
    """Return the line for a person, empty where enough was printed, and the exit code."""
    if isinstance(error, TaskscopeError):
        return str(error), error.exit_code
    if isinstance(error, typer.TyperException):  # wrong use, as typer found it
        return _explain_usage(error), WRONG_USE
    if isinstance(error, KeyboardInterrupt):
        return "stopped by Ctrl-C", CTRL_C
    if isinstance(error, OSError):
        return str(error), COULD_NOT
    import traceback

    traceback.print_exception(error)  # a mistake of ours: all that is known
    return "", COULD_NOT


def _explain_usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "taskscope"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}; `{command} --help` tells what it takes"


def _forget_stdout() -> None:
    """Let what is still buffered go nowhere, so that the interpreter's last flush does not complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
