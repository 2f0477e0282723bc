"""Where spans and events go: the OTel API's own providers, unless a test or a host names others.

Asking the API late means that whoever sets the providers, before or after, is heard. The clock and the task
ids can be set too, so that a test sees the same numbers every time.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from opentelemetry import trace

from taskscope.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry._logs import Logger, LoggerProvider

_SCOPE = "taskscope"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_task_id() -> str:
    """Return an id that sorts by time: `t-`, in base 32 ten characters of milliseconds and six at random."""
    number = (time.time_ns() // 1_000_000) << 30 | int.from_bytes(os.urandom(4)) >> 2
    return "t-" + "".join(_CROCKFORD[number >> shift & 31] for shift in range(75, -1, -5))


def _leave_to_tracer() -> None:
    """Return no time, so that the tracer takes its own: one that does not step back inside of a span."""


@dataclass(frozen=True, slots=True)
class Providers:
    """Where records go and where their times and task ids come from."""

    tracer: trace.Tracer
    logger: Callable[[], Logger]
    clock: Callable[[], int] = time.time_ns
    """Nanoseconds since 1970, of events."""
    task_id: Callable[[], str] = new_task_id
    span_clock: Callable[[], int | None] = _leave_to_tracer
    """The same of starts and ends of spans, None for the tracer's own."""


_chosen: Providers | None = None

is_off: bool = False
"""Whether spans do nothing at all, not even what the API's own would do: set where telemetry is disabled."""


def switch(*, off: bool) -> None:
    """Have all our spans do nothing, or do what they do."""
    global is_off  # noqa: PLW0603 - the one switch of the process
    is_off = off


def get_providers() -> Providers:
    """Return what is chosen now: the global OTel providers, if nobody chose."""
    return _chosen or _global_providers()


@contextmanager
def use_providers(
    tracer_provider: trace.TracerProvider,
    logger_provider: LoggerProvider,
    *,
    clock: Callable[[], int] | None = None,
    task_id: Callable[[], str] = new_task_id,
) -> Iterator[None]:
    """Send spans and events to these providers meanwhile, in all threads; the last one to begin wins."""
    global _chosen  # noqa: PLW0603 - the one switch of the process
    before = _chosen
    logger = logger_provider.get_logger(_SCOPE, VERSION)
    tracer = tracer_provider.get_tracer(_SCOPE, VERSION)
    _chosen = Providers(tracer, lambda: logger, clock or time.time_ns, task_id, clock or _leave_to_tracer)
    try:
        yield
    finally:
        _chosen = before


@cache
def _global_providers() -> Providers:
    """The API's tracer is a proxy that finds the provider by itself once it is set."""
    return Providers(trace.get_tracer(_SCOPE, VERSION), _get_global_logger)


@cache
def _get_global_logger() -> Logger:
    """The API's logger is such a proxy too; the logs API is loaded with the first event only."""
    from opentelemetry import _logs

    return _logs.get_logger(_SCOPE, VERSION)
