"""The guard between telemetry and its host: no error of ours reaches the application, and none is lost.

Errors are counted by component and type; whoever keeps the records drains the counts into
`taskscope.internal.errors`.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_S = TypeVar("_S")
_P = ParamSpec("_P")

_counts: dict[tuple[str, str], int] = {}
_lock = threading.Lock()


class Guard:
    """A reusable context manager that keeps `Exception`s from the host and counts them.

    Ctrl-C, cancellation and exit are the host's own and pass.
    """

    __slots__ = ("component",)

    def __init__(self, component: str) -> None:
        self.component = component

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if kind is None or not issubclass(kind, Exception):
            return False
        count_error(self.component, kind)
        return True


def count_error(component: str, kind: type[BaseException]) -> None:
    """Count one internal error of a component."""
    with _lock:
        key = (component, kind.__qualname__)
        _counts[key] = _counts.get(key, 0) + 1


def drain_errors() -> dict[tuple[str, str], int]:
    """Return the errors counted since the last call: (component, error type) to number."""
    with _lock:
        drained = dict(_counts)
        _counts.clear()
    return drained


INSTRUMENTATION: Final = Guard("instrumentation")
"""The guard of all that makes spans and events."""


def note_error(error: BaseException) -> None:
    """Count an error of what makes spans and events, where it was caught."""
    count_error(INSTRUMENTATION.component, type(error))


def guarded(method: Callable[Concatenate[_S, _P], None]) -> Callable[Concatenate[_S, _P], None]:
    """A method that the host calls to tell something, without its errors.

    Around the whole of it: what begins inside, as `with INSTRUMENTATION`, is a call that may fail itself.
    """

    @functools.wraps(method)
    def call(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  the border to the host
            note_error(error)

    return call
