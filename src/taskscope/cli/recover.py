"""`recover`: brings home what dead processes left; the next start of anything that records does the same."""

from __future__ import annotations

import sqlite3

from taskscope.config import ensure_home
from taskscope.errors import StoreError
from taskscope.store.session import bring_home

from .reading import read_settings
from .shapes import to_json
from .terminal import open_screen


def recover_now(*, as_json: bool) -> int:
    """Say how many spans were brought home; StoreError (exit code 3) when the store cannot be written."""
    settings = read_settings()
    ensure_home(settings)
    try:
        spans = bring_home(settings.store_path)
    except (sqlite3.Error, OSError) as error:
        path = str(settings.store_path)
        msg = f"cannot write the store {path!r}: {error}; nothing is lost, call it again when that is mended"
        raise StoreError(msg) from error
    screen = open_screen()
    if as_json:
        screen.say(to_json({"recovered_spans": spans}))
    elif spans:
        screen.say(f"brought home {spans} spans of dead processes")
    else:
        screen.say("no dead process has left anything")
    return 0
