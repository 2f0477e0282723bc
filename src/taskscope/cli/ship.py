"""`ship`: sends what is stored to the configured destinations, once or until it is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from taskscope.errors import StoreError, UsageError
from taskscope.store.database import open_database
from taskscope.store.delivery import read_accounts
from taskscope.store.session import bring_home

from .reading import read_settings
from .terminal import clean, open_screen, warn
from .wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from taskscope.config import Settings
    from taskscope.shipper.destinations import Destination

_GOOD, _NOT_WELL, _COULD_NOT = 0, 1, 3
_RECOVERY_INTERVAL_S = 10.0
_NOWHERE = (
    "nowhere to ship to: set OTEL_EXPORTER_OTLP_ENDPOINT to a Collector's OTLP/HTTP address, "
    "say http://localhost:4318"
)


def ship_records(*, is_once: bool) -> int:
    """Send what is stored; exit code 3 when something is left, 1 when a destination refused a record."""
    settings = read_settings()
    for name, value in settings.otel_variables.items():
        os.environ.setdefault(name, value)
    from taskscope.shipper.destinations import load_destinations

    destinations, warnings = load_destinations(settings)
    warn(warnings)
    if not destinations:
        raise UsageError(warnings[0] if warnings else _NOWHERE)
    return _ship_once(settings, destinations) if is_once else _ship_until_stopped(settings, destinations)


def _ship_once(settings: Settings, destinations: tuple[Destination, ...]) -> int:
    from taskscope.bootstrap import courier_maker
    from taskscope.shipper.once import ship_once

    bring_home(settings.store_path)
    before = _read(settings)
    left = []
    make = courier_maker(settings, destinations)
    for destination in destinations:
        with closing(make(destination.name)) as courier:
            left.append(ship_once(settings.store_path, courier))
    after = _read(settings)
    code = _GOOD
    screen = open_screen()
    for one in left:
        sent = after.get((one.destination, "delivered"), 0) - before.get((one.destination, "delivered"), 0)
        refused = after.get((one.destination, "refused"), 0) - before.get((one.destination, "refused"), 0)
        screen.say(f"{one.destination}: {count(sent, 'record')} sent")
        if refused:
            code = max(code, _NOT_WELL)
            warn([f"{one.destination} refused {count(refused, 'record')}; `taskscope records` tells more"])
        if one.pending:
            code = _COULD_NOT
            reason = f": {one.problem}" if one.problem else ""
            line = f"taskscope: {count(one.pending, 'record')} left for {one.destination}{clean(reason)}"
            open_screen(sys.stderr).say(line)
    return code


def _ship_until_stopped(settings: Settings, destinations: tuple[Destination, ...]) -> int:
    from taskscope.bootstrap import courier_maker
    from taskscope.shipper.loop import Shipper

    names = [destination.name for destination in destinations]
    shipper = Shipper(settings.store_path, names, courier_maker(settings, destinations), poll_s=1.0)
    places = ", ".join(f"{one.name} ({next(iter(one.endpoints.values())).origin})" for one in destinations)
    open_screen(sys.stderr).say(f"taskscope: shipping to {clean(places)}; Ctrl-C ends it")
    with _until_sigterm() as stopped:
        try:
            while not stopped.is_set():
                with contextlib.suppress(StoreError, sqlite3.Error):
                    bring_home(settings.store_path)
                shipper.notify()
                stopped.wait(_RECOVERY_INTERVAL_S)
        finally:
            shipper.finish()
    return _GOOD


@contextlib.contextmanager
def _until_sigterm() -> Iterator[threading.Event]:
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, before)


def _read(settings: Settings) -> dict[tuple[str, str], int]:
    """Records that were delivered and refused so far, by destination."""
    totals: dict[tuple[str, str], int] = {}
    with closing(open_database(settings.store_path, create=False, read_only=True)) as connection:
        for account in read_accounts(connection):
            for what, records in (
                ("delivered", account.delivered),
                ("refused", account.dropped.get("refused", 0) + account.quarantined),
            ):
                key = account.destination, what
                totals[key] = totals.get(key, 0) + records
    return totals
