"""What every read command begins with: the settings of the call, the store, the task that is meant."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from taskscope.config import load_settings
from taskscope.store.history import open_history

from .terminal import warn

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    with open_history(settings.store_path) as history:
        yield history
