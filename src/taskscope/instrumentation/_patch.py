"""Wraps what a row of a table names, once, and undoes it; an undone wrapper that is still held is inert."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from taskscope.telemetry.calls import wrap, wrap_entering

if TYPE_CHECKING:
    from types import ModuleType

    from taskscope.telemetry.spans import Operation


@dataclass(frozen=True, slots=True)
class Row:
    """Which function or method becomes which span."""

    module: str
    path: str
    """`function`, or `Class.method` on the class that defines it."""
    span: Callable[..., Operation]
    """Makes the span, not started, from what `facts` returns."""
    facts: Callable[..., Mapping[str, Any]]
    """Called with the arguments of the call; returns the keyword arguments of `span`."""
    result: Callable[..., None] | None = None
    """Called with the span, what the call returned, and its arguments."""
    is_context: bool = False
    """True for a function that returns a context manager: the span stands around the entering of it."""


class Patch:
    """One row at work."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._is_on = True
        self._owner, self._name = find_owner(row)
        self._original = vars(self._owner)[self._name]
        observe = wrap_entering if row.is_context else wrap
        self._wrapper = observe(self._original, self._begin, self._finish)
        self._rebind(self._original, self._wrapper)

    def undo(self) -> None:
        """Put the original back where our wrapper stands; wrapped by others, it stays and is inert."""
        self._is_on = False
        self._rebind(self._wrapper, self._original)

    def _begin(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Operation | None:
        if not self._is_on:
            return None
        return self._row.span(**self._row.facts(*args, **kwargs))

    def _finish(self, span: Operation, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self._row.result is not None:
            self._row.result(span, value, *args, **kwargs)

    def _rebind(self, old: object, new: object) -> None:
        """Put the new one in the old one's place; a function also where its package imported it by name."""
        owners: list[Any] = [self._owner]
        if not isinstance(self._owner, type):
            package = self._row.module.partition(".")[0]
            owners += [module for name, module in list(sys.modules.items()) if is_within(name, package)]
        for owner in owners:
            if vars(owner).get(self._name) is old:
                setattr(owner, self._name, new)


def find_owner(row: Row) -> tuple[ModuleType | type, str]:
    """Import the row's module and return the module or class that defines its function, and the name there.

    Raises LookupError, naming the row, when it does not resolve.
    """
    module = import_module(row.module)
    holder, _, name = row.path.rpartition(".")
    try:
        owner = attrgetter(holder)(module) if holder else module
        vars(owner)[name]
    except (AttributeError, KeyError):
        message = f"{row.module} defines no {row.path!r}; the table of its instrumentation has to follow"
        raise LookupError(message) from None
    return owner, name


def is_within(module: str, package: str) -> bool:
    """Whether a module is the package or lies in it."""
    return module == package or module.startswith(f"{package}.")
