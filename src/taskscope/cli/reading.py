"""What every read command begins with: the settings of the call, the store, the task that is meant."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from taskscope.config import load_settings
from taskscope.errors import StoreError
from taskscope.store.history import open_history
from taskscope.store.remains import has_left

from .terminal import warn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskscope.config import Settings
    from taskscope.store.history import History


def read_settings() -> Settings:
    """Return the settings of the folder of the call, and say what was odd in them."""
    settings = load_settings()
    warn(settings.warnings)
    return settings


@contextlib.contextmanager
def read_store(settings: Settings | None = None) -> Iterator[History]:
    """Give the history of the store; StoreError (exit code 3) when it is missing or cannot be read."""
    settings = read_settings() if settings is None else settings
    bring_home_if_left(settings.store_path)
    with open_history(settings.store_path) as history:
        yield history


def bring_home_if_left(store: Path) -> None:
    """Store what a process that was killed has left in its journal, so that it is seen now.

    Where that cannot be, what it had stored itself is seen, and another command or `serve` does the rest.
    """
    if has_left(store.parent / "journal"):
        from taskscope.store.session import bring_home

        with contextlib.suppress(StoreError, sqlite3.Error, OSError):
            bring_home(store)
