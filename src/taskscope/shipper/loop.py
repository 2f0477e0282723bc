"""When things are sent: a thread for each destination, woken by what is stored and by the clock.

A thread starts with the first record and holds its destination's lock only while it has something to send, so
that the processes of a host take turns. Nothing here keeps a program alive, and nothing is raised into it. A
forked child has none of this until it stores something itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taskscope.store.outbox import METRICS

from .lock import shipping

if TYPE_CHECKING:
    from .courier import Courier

EXIT_TIMEOUT_S = 2.0
"""How long the end of a program waits for sending at most."""
SILENCE_S = 0.04
"""How long the end of a program waits for a sign that its records are taken, or for the next one.

The first one is waited for from the beginning of that end: storing, loading and connecting are within it. A
program with a collector that hangs is to end less than 0.1 s later than one without any, on a busy machine
too.
"""
_LEAST_SILENCE_S = 0.02
"""What is left of it at least, however long the storing took."""
_FAREWELL_S = 0.01
"""How long the end of a program waits for a thread that was told to end."""
GATHER_S = 1.0
"""How long records are gathered for one request, when nobody waits for them."""
_OTHERS_TURN_S = 1.0
"""How often we look whether the process that ships now is done."""
_LOOK_S = 0.05
_FORK_PATIENCE_S = 6.0
"""Longer than SQLite waits for others, which is the longest that a step of ours takes."""
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0

_logger = logging.getLogger("taskscope.shipper")


class Shipper:
    """Sends what one store holds to its destinations.

    `make_courier` is called on the thread of each destination, named by `names`, and anew in a forked child.
    With `poll_s` it looks by itself for what other processes stored.
    """

    def __init__(
        self,
        store_path: Path,
        names: Sequence[str],
        make_courier: Callable[[str], Courier],
        *,
        poll_s: float | None = None,
        gather_s: float = GATHER_S,
        count_error: Callable[[str, str], object] = lambda _component, _error: None,
    ) -> None:
        self.store_path = store_path
        self._names = tuple(names)
        self.make_courier = make_courier
        self.poll_s = poll_s
        self.gather_s = gather_s
        self.count_error = count_error
        self._inherited: list[object] = []
        self._is_closed = False
        self._begin()
        _SHIPPERS.add(self)

    def _begin(self) -> None:
        """Set up everything that belongs to one process."""
        self._lock = threading.Lock()
        self._workers: list[_Worker] | None = None
        self._frozen: list[_Worker] = []

    def notify(self) -> None:
        """Something was stored: see to it that it is sent. Never blocks, never raises."""
        workers = self._workers
        if workers is None:
            workers = self._start()
        for worker in workers:
            worker.wake()

    def _start(self) -> list[_Worker]:
        with self._lock:
            if self._workers is None and not self._is_closed:
                workers = [_Worker(self, name) for name in self._names]
                with contextlib.suppress(RuntimeError):  # no threads while the interpreter ends
                    for worker in workers:
                        worker.start()
                    self._workers = workers
            return self._workers or []

    def drain(self, timeout: float) -> bool:
        """Whether every destination has taken all that is stored, within `timeout` seconds.

        What is in quarantine is not waited for.
        """
        if not self.store_path.exists():
            return True
        deadline = time.monotonic() + timeout
        self.notify()
        workers = self._workers or []
        for worker in workers:
            worker.hurry()
        while not all(worker.is_drained() for worker in workers):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(_LOOK_S, left))
        return bool(workers)

    def finish(
        self,
        timeout: float = EXIT_TIMEOUT_S,
        *,
        silence_s: float = SILENCE_S,
        began: float | None = None,
    ) -> None:
        """End: go on while requests succeed, until the first refusal, a moment of silence or the timeout.

        The next process, or `taskscope ship`, sends the rest. `began` is the moment, on the monotonic clock,
        at which the program's end began, if that is not now.
        """
        self._is_closed = True
        now = time.monotonic()
        deadline = now + timeout
        silent_since = now if began is None else max(began, now - silence_s + _LEAST_SILENCE_S)
        workers = self._workers or []
        goals = [(worker, worker.begin_last_turn(silence_s, silent_since)) for worker in workers]
        for worker, goal in goals:
            worker.wait_for(goal, deadline)
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join(max(min(deadline - time.monotonic(), _FAREWELL_S), 0))

    # --- around a fork

    def before_fork(self) -> None:
        """Let no thread use the store; takes no lock that somebody holds who waits for the recorder."""
        self._frozen = [worker for worker in self._workers or () if worker.freeze()]

    def after_fork_in_parent(self) -> None:
        """Let all go on."""
        for worker in self._frozen:
            worker.thaw()

    def after_fork_in_child(self) -> None:
        """Begin anew; what was inherited is the parent's: not used, not closed, not collected."""
        self._inherited.append(self._workers)
        self._begin()


class _Worker:
    """One destination's thread."""

    def __init__(self, shipper: Shipper, name: str) -> None:
        self._name = name
        self._folder = shipper.store_path.parent / "journal"
        self._make_courier = shipper.make_courier
        self._count_error = shipper.count_error
        self._poll_s = shipper.poll_s
        self._gather_s = shipper.gather_s
        self._courier: Courier | None = None
        self._fork_lock = threading.Lock()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._changed = threading.Condition()
        self._begun = 0
        self._done = 0
        self._is_ending = False
        self._is_stopped = False
        self._pause_s = 0.0
        self._silence_s = SILENCE_S
        self._heard_at = 0.0
        """When the last step ended, or the program's end began, on the monotonic clock."""
        self._thread = threading.Thread(target=self._run, name=f"taskscope-ship-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def hurry(self) -> None:
        self._hurry.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def is_drained(self) -> bool:
        """Whether nothing is left; a store that cannot be read says no."""
        try:
            return self._courier is not None and self._courier.pending() == 0
        except Exception:  # noqa: BLE001  the truth is then that nobody knows
            return False

    def begin_last_turn(self, silence_s: float, silent_since: float) -> int:
        """Ask for a turn that sees all that is stored now; its number, for `wait_for`."""
        with self._changed:
            self._is_ending = True
            self._silence_s = silence_s
            self._heard_at = silent_since
            goal = self._begun + 1
        self.hurry()
        return goal

    def wait_for(self, goal: int, deadline: float) -> None:
        """Wait for the end of a turn, as long as the destination takes what it gets."""
        with self._changed:
            while self._done < goal and self._thread.is_alive():
                left = min(deadline, self._heard_at + self._silence_s) - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def stop(self) -> None:
        self._is_stopped = True
        if self._courier is not None:
            self._courier.abort()
        self.hurry()

    def freeze(self) -> bool:
        if not self._fork_lock.acquire(timeout=_FORK_PATIENCE_S):
            return False
        if self._courier is None or self._courier.outbox.freeze(_FORK_PATIENCE_S):
            return True
        self._fork_lock.release()
        return False

    def thaw(self) -> None:
        if self._courier is not None:
            self._courier.outbox.thaw()
        self._fork_lock.release()

    # --- the thread's side

    def _run(self) -> None:
        with suppressed_instrumentation():
            self._take_turns()
        with contextlib.suppress(Exception):
            if self._courier is not None:
                self._courier.close()

    def _take_turns(self) -> None:
        while not self._is_stopped:
            waits = [seconds for seconds in (self._pause_s, self._poll_s) if seconds]
            if self._wake.wait(min(waits, default=None)):
                self._prepare()
                self._hurry.wait(self._gather_s)
            self._wake.clear()
            self._hurry.clear()
            with self._changed:
                self._begun += 1
            pause = min(max(self._pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            try:
                self._pause_s = self._turn()
            except Exception as error:  # noqa: BLE001  the border: the store may be usable the next time
                self._pause_s = pause
                self._count_error("shipper", type(error).__qualname__)
                _logger.debug("taskscope: shipping paused: %s", error)
            with self._changed:
                self._done = self._begun
                self._changed.notify_all()

    def _prepare(self) -> None:
        """Load what sending needs while records are gathered, and not when the program's end waits for it."""
        with contextlib.suppress(Exception):  # the turn meets it again, and counts it
            self._find_courier()

    def _turn(self) -> float:
        """Send all there is; seconds until the next turn is needed though nobody wakes us."""
        courier = self._find_courier()
        courier.begin()
        while not self._is_stopped:
            with shipping(self._folder, self._name) as is_ours:
                if not is_ours:
                    return _OTHERS_TURN_S if courier.pending() else courier.next_attempt_s()
                is_through = self._send_last(courier) if self._is_ending else self._send(courier)
            # Who found the lock taken meanwhile has left what it stored to us.
            if not is_through or not courier.pending():
                break
        return courier.next_attempt_s()

    def _find_courier(self) -> Courier:
        if self._courier is None:
            courier = self._make_courier(self._name)  # here and not earlier: it imports ssl
            with self._fork_lock:  # a fork freezes and thaws the same one
                self._courier = courier
        return self._courier

    def _send_last(self, courier: Courier) -> bool:
        """Send at the end of a program: nothing for a minute after one that was not answered in time."""
        is_noted = courier.pending() > 0
        if is_noted and not courier.outbox.begin_end():
            return False
        is_through = self._send(courier)
        if is_noted and not self._is_stopped:
            courier.outbox.finish_end()
        if is_through and not self._is_stopped and METRICS in courier.destination.endpoints:
            # What this program did is in no number yet that was sent, and the next one may come tomorrow.
            courier.step(METRICS, is_last=True)
        return is_through

    def _send(self, courier: Courier) -> bool:
        """Take turns among the signals until nothing is left or nothing is taken; whether nothing is left."""
        from .courier import Step

        waiting = sorted(courier.destination.endpoints, key=lambda signal: signal == METRICS)
        is_through = True
        while waiting and not self._is_stopped:
            for signal in tuple(waiting):
                if self._is_ending and (courier.answered_s or 0) > self._silence_s:
                    return False  # it would be taken and not be heard to be: sent twice
                step = courier.step(signal)
                if step is not Step.SENT:
                    waiting.remove(signal)
                if step in {Step.HELD, Step.STUCK}:
                    is_through = False
                    if self._is_ending:
                        return False
                with self._changed:
                    self._heard_at = time.monotonic()
                    self._changed.notify_all()
        return is_through and not waiting


@contextlib.contextmanager
def suppressed_instrumentation() -> Iterator[None]:
    """On this thread: requests and statements of ours make no spans."""
    from opentelemetry import context

    key = context._SUPPRESS_INSTRUMENTATION_KEY  # noqa: SLF001  as upstream's exporters do
    token = context.attach(context.set_value(key, True))  # noqa: FBT003
    try:
        yield
    finally:
        context.detach(token)


_SHIPPERS: weakref.WeakSet[Shipper] = weakref.WeakSet()
_frozen: list[Shipper] = []


def _before_fork() -> None:
    _frozen[:] = list(_SHIPPERS)
    for shipper in _frozen:
        shipper.before_fork()


def _after_fork_in_parent() -> None:
    for shipper in _frozen:
        shipper.after_fork_in_parent()
    _frozen.clear()


def _after_fork_in_child() -> None:
    for shipper in _frozen:
        shipper.after_fork_in_child()
    _frozen.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
