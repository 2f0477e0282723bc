"""The times of spans: the wall clock says once when a local trace began, a monotonic clock says the rest.

So no step of the wall clock makes a duration negative or puts a child outside of its parent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

# Linux's clock that goes on while a laptop sleeps; elsewhere the plain one.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)
_ticks: Callable[[], int] = (
    time.monotonic_ns if _BOOT_CLOCK is None else partial(time.clock_gettime_ns, _BOOT_CLOCK)
)


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks in nanoseconds."""

    wall: Callable[[], int] = time.time_ns
    """Since 1970; it may step."""
    ticks: Callable[[], int] = _ticks
    """Since whenever; it never steps."""
