"""Switches instrumentation on and off, by the name of the library.

A library's file is a table of rows; it is imported, and with it the library, when it is switched on.
"""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING, Final

from taskscope.errors import UsageError
from taskscope.telemetry.guard import INSTRUMENTATION
from taskscope.telemetry.pricing import set_pricer

from ._patch import Patch

if TYPE_CHECKING:
    from taskscope.telemetry.pricing import Pricer

    from ._patch import Row

TABLES: Final = {"coding_agent": "taskscope.instrumentation.coding_agent"}
"""Name to the module whose `TABLE` is used."""

_patches: dict[str, list[Patch]] = {}
_lock = threading.Lock()


def instrument(*names: str, price: Pricer | None = None) -> None:
    """Observe these libraries (all that are known, if none is named); what is observed already stays so.

    `price` says what live model calls cost, `taskscope.prices.Prices(...).price`; without it their cost is
    unknown. UsageError for a name that is not known. A row that does not fit the library's version is counted
    as an internal error and left out.
    """
    _check(names)
    if price is not None:
        set_pricer(price)
    with _lock:
        for name in names or TABLES:
            if name not in _patches:
                _patches[name] = _apply(import_module(TABLES[name]).TABLE)


def uninstrument(*names: str) -> None:
    """Observe these libraries (all, if none is named) no longer."""
    _check(names)
    with _lock:
        for name in names or tuple(_patches):
            for patch in reversed(_patches.pop(name, [])):
                patch.undo()
        if not _patches:
            set_pricer(None)


def _apply(table: tuple[Row, ...]) -> list[Patch]:
    patches = []
    for row in table:
        with INSTRUMENTATION:
            patches.append(Patch(row))
    return patches


def _check(names: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        message = (
            f"no instrumentation for {', '.join(map(repr, unknown))}; there is {', '.join(map(repr, TABLES))}"
        )
        raise UsageError(message)
