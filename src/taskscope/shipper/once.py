"""One whole round of sending, on the caller's thread: until nothing is left or nothing is taken."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from taskscope.store.outbox import METRICS

from .courier import Courier, Step
from .lock import shipping
from .loop import suppressed_instrumentation

PATIENCE_S = 3.0
"""How long a destination that takes nothing is tried again, in all."""
_LOOK_S = 0.1


class Left(NamedTuple):
    """What a round left behind at one destination."""

    destination: str
    pending: int
    """Records that are still to be sent; those in quarantine are not."""
    problem: str
    """Why, in words."""


def ship_once(store_path: Path, courier: Courier, *, patience_s: float = PATIENCE_S) -> Left:
    """Send all that is stored, and the metrics; StoreError or sqlite3.Error as from the store."""
    deadline = time.monotonic() + patience_s
    is_ours = False
    with suppressed_instrumentation():
        courier.begin()
        courier.outbox.release_hold()
        # While another process ships, it sends ours too: we are done when all is gone, or our time is over.
        while not is_ours:
            with shipping(store_path.parent / "journal", courier.destination.name) as is_ours:
                if is_ours:
                    _send(courier, deadline)
            if not is_ours and (time.monotonic() > deadline or not courier.pending()):
                break
            time.sleep(0 if is_ours else _LOOK_S)
    problems = [courier.problems[signal] for signal in _signals(courier) if signal in courier.problems]
    problem = next(iter(problems), "" if is_ours else "another process is sending")
    return Left(courier.destination.name, courier.pending(), problem)


def _signals(courier: Courier) -> list[str]:
    """Records first, so that the metrics tell what became of them."""
    return sorted(courier.destination.endpoints, key=lambda signal: (signal == METRICS, signal != "traces"))


def _send(courier: Courier, deadline: float) -> None:
    """Send signal after signal."""
    for signal in _signals(courier):
        step = courier.step(signal, is_urgent=True)
        while step in {Step.SENT, Step.HELD}:
            if step is Step.HELD:
                pause = courier.held_s(signal)
                if time.monotonic() + pause > deadline:
                    break
                time.sleep(pause)
            step = courier.step(signal, is_urgent=step is Step.HELD)
