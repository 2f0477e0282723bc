"""Where things are: the repository, the cache of binaries, the data of the stack that a person starts.

Read once, at import, from the person's environment: tests give each test an empty home.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
STACK: Final = ROOT / "stack"


def _home(variable: str, default: str) -> Path:
    """A folder of the XDG base directory specification, which ignores relative paths."""
    named = Path(os.environ.get(variable, ""))
    return (named if named.is_absolute() else Path.home() / default) / "taskscope" / "stack"


CACHE: Final = _home("XDG_CACHE_HOME", ".cache")
"""Binaries that were built, a folder for each program and pin."""

SCRATCH: Final = ".building-"
"""How folders are called in which something is made: the next build removes those that a broken one left."""

DATA: Final = Path(os.environ.get("TASKSCOPE_STACK_DATA") or _home("XDG_STATE_HOME", ".local/state"))
"""Data, logs and process ids of `make stack-up`."""

PORTS: Final = Path(os.environ.get("TASKSCOPE_STACK_PORTS") or STACK / "ports.toml")
"""Who listens where; another file of this form serves where some of the usual ports are taken."""

BUILT: Final = Path(named) if (named := os.environ.get("TASKSCOPE_STACK_BIN")) else None
"""A folder of binaries that were built elsewhere; None: those of the cache."""
