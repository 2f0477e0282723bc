"""`ship`: sends what is stored to the configured destinations, once or until it is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

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
    from taskscope.shipper.once import Left

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
    if not destinations:
        raise UsageError(warnings[0] if warnings else _NOWHERE)
    warn(warnings)
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
    return max(_tell(one, before.get(one.destination, _NONE), after[one.destination]) for one in left)


class _Sums(NamedTuple):
    """What became of a destination's records so far."""

    delivered: int
    refused: int


_NONE = _Sums(0, 0)


def _tell(left: Left, before: _Sums, after: _Sums) -> int:
    """Print what a round did at one destination; return its exit code."""
    name, errors = clean(left.destination), open_screen(sys.stderr)
    open_screen().say(f"{name}: {count(after.delivered - before.delivered, 'record')} sent")
    refused = after.refused - before.refused
    if refused > 0:
        warn([f"{name} refused {count(refused, 'record')}; `taskscope records` tells more"])
    if left.pending or left.problem:
        what = count(left.pending, "record") if left.pending else "metrics"
        errors.say(f"taskscope: {what} left for {name}: {clean(left.problem)}")
        return _COULD_NOT
    return _NOT_WELL if refused > 0 else _GOOD


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


def _read(settings: Settings) -> dict[str, _Sums]:
    """Return the sums of each destination."""
    sums: dict[str, _Sums] = {}
    with closing(open_database(settings.store_path, create=False, read_only=True)) as connection:
        for account in read_accounts(connection):
            delivered, refused = sums.get(account.destination, _NONE)
            refused += account.dropped.get("refused", 0) + account.quarantined
            sums[account.destination] = _Sums(delivered + account.delivered, refused)
    return sums
