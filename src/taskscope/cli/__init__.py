"""The command line: reads what a person types, calls the rooms below, prints what they say.

`app.py` holds the commands, one file each what they do; nothing is decided here that another face would need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what `taskscope` and `python -m taskscope` call."""
    from .entry import run_command

    return run_command(arguments)
