"""One fault at one internal call, for every function that an application's life calls, in a process each.

    python -m reliability.loads.faults STEP SEED STRIDE [-v]

The fault is raised by a trace function as the call begins, as if the function itself had raised it. First a
census: which functions are called, on the application's threads and on the writer's, by a caller of ours. A
call that comes from the application itself is not one of them: nobody could answer it but the function. Nor
are calls of guards, whose whole body is a `try`, and of what carries the application's own call: there only
the interpreter can fail, which has no stack left for the application either. Of
all faults, each STRIDE-th is planted, from SEED on, at most STEP of them (0: all).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import taskscope
from benchmarks.loads._answer import answer
from reliability.findings import add_up
from taskscope.instrumentation.registry import instrument

from .application import Application
from .children import Child, Tell, configure, warm_up

_HOUSE = str(Path(taskscope.__file__).parent)
_ROOMS = tuple(
    f"{_HOUSE}/{room}/" for room in ("recorder", "telemetry", "instrumentation", "store", "redaction")
)
_APPLICATION, _WRITER = "application", "writer"
_WRITER_THREAD = "taskscope-writer"
_GUARDS = frozenset({
    "Operation.__enter__", "Operation.__exit__", "Operation.start", "Operation.end", "guarded.<locals>.call",
    "RecordingTracerProvider._find_tracer", "_begin", "_finish", "attach", "detach",
})  # fmt: skip
_CARRIERS = frozenset({"_drive", "_step", "_close", "carry.<locals>.carried"})
_BACK_S = 5.0
_LATE_S = 1.0
_OFTEN = 3
"""A function that is called more often fails at its first, its middle and its last call; for good reasons of
memory, stack or exit at its first only."""


class PlantedFault(Exception):  # noqa: N818  an error of no class that anybody expects
    """What telemetry raises here."""


_KINDS: dict[str, tuple[type[BaseException], ...]] = {
    _APPLICATION: (MemoryError, RecursionError),
    _WRITER: (MemoryError, RecursionError, SystemExit, KeyboardInterrupt),
}


class Site(NamedTuple):
    """A function of ours, on one side."""

    side: str
    file: str
    name: str
    line: int


def main() -> None:
    """Take the census, plant the faults, answer what came of it."""
    step, seed, stride = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    warm_up()
    home = Path(os.environ["TASKSCOPE_HOME"])
    census, diary = _take_census(home / "census")
    faults = list(_plan(census))[seed::stride]
    counts = []
    for number, (site, call, kind) in enumerate(faults[: step or None]):
        found, said = _plant(home / str(number), site, call, kind, diary)
        counts.append(found)
        if "-v" in sys.argv and (found["disturbed"] or found["not_back"]):
            print(kind.__name__, call, *site, said, file=sys.stderr)
    answer(sites=len(census), planned=len(faults), **add_up(counts))


def _plan(census: dict[Site, list[int]]) -> Iterator[tuple[Site, int, type[BaseException]]]:
    for site, calls in sorted(census.items()):
        some = calls if len(calls) <= _OFTEN else [calls[0], calls[len(calls) // 2], calls[-1]]
        yield from ((site, call, PlantedFault) for call in some)
        yield from ((site, calls[0], kind) for kind in _KINDS[site.side])


def _take_census(home: Path) -> tuple[dict[Site, list[int]], list[str]]:
    """The numbers of each function's calls that come from within, and the application's diary."""

    def live(tell: Tell) -> None:
        calls: Counter[Site] = Counter()
        internal: dict[Site, list[int]] = {}
        lock = threading.Lock()

        def trace(frame: FrameType, _event: str, _argument: object) -> None:
            site = _find_site(frame.f_code)
            if site is not None:
                with lock:
                    calls[site] += 1
                    if _is_internal(frame):
                        internal.setdefault(site, []).append(calls[site])

        diary = _live(home, trace)
        tell(json.dumps({"census": list(internal.items()), "diary": diary}).encode())

    told, code = Child(live).wait()
    if code:
        msg = "the application does not even live undisturbed"
        raise RuntimeError(msg)
    answered = json.loads(told)
    return {Site(*site): calls for site, calls in answered["census"]}, answered["diary"]


def _plant(
    home: Path, site: Site, call: int, kind: type[BaseException], diary: list[str]
) -> tuple[dict[str, int], str]:
    def live(tell: Tell) -> None:
        planted = _Planted(site, call, kind)
        written = _live(home, planted.trace)
        began = time.monotonic()
        is_back, took_s = _is_back(home), time.monotonic() - began
        said = {"diary": written, "planted": planted.is_done, "back": is_back, "late": took_s > _LATE_S}
        tell(json.dumps(said).encode())

    told, code = Child(live).wait()
    if code or not told:
        return {"faults": 1, "disturbed": 1, "not_back": 1, "late": 1}, f"ended with {code}"
    said = json.loads(told)
    differing = [line for line, due in zip(said["diary"], diary, strict=False) if line != due]
    is_disturbed = said["diary"] != diary
    return {
        "faults": int(said["planted"]), "missed": int(not said["planted"]), "disturbed": int(is_disturbed),
        "not_back": int(not said["back"]), "late": int(said["late"]),
    }, str(differing)  # fmt: skip


class _Planted:
    """A trace function that raises once."""

    def __init__(self, site: Site, call: int, kind: type[BaseException]) -> None:
        self._site = site
        self._left = call
        self._kind = kind
        self._lock = threading.Lock()
        self.is_done = False

    def trace(self, frame: FrameType, _event: str, _argument: object) -> None:
        """Count the calls of the one function; at the chosen one, raise."""
        if self.is_done or _find_site(frame.f_code) != self._site:
            return
        with self._lock:
            self._left -= 1
            self.is_done = self._left == 0
        if self.is_done:
            raise self._kind


_SITES: dict[CodeType, tuple[str, str, int] | None] = {}


def _find_site(code: CodeType) -> Site | None:
    if code not in _SITES:
        file = code.co_filename
        is_ours = file.startswith(_ROOMS) and code.co_name != "<module>"
        _SITES[code] = (file[len(_HOUSE) + 1 :], code.co_qualname, code.co_firstlineno) if is_ours else None
    place = _SITES[code]
    if place is None:
        return None
    is_writer = threading.current_thread().name == _WRITER_THREAD
    return Site(_WRITER if is_writer else _APPLICATION, *place)


def _is_internal(frame: FrameType) -> bool:
    """Whether the nearest caller that is ours or the application's is ours, and the call is no guard's."""
    name = frame.f_code.co_qualname
    if name in _CARRIERS or name in _GUARDS or name.endswith(".<locals>.observed"):
        return False
    caller = frame.f_back
    while caller is not None:
        file = caller.f_code.co_filename
        if file.startswith(_HOUSE):
            return True
        if "/reliability/" in file or "/coding_agent/" in file:
            return False
        caller = caller.f_back
    # The writer's thread begins in the standard library: whoever is called there is within.
    return threading.current_thread().name == _WRITER_THREAD


def _live(home: Path, trace: Any) -> list[str]:
    configure(home)
    instrument("coding_agent")
    application = Application(home / "application")
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        application.run()
    finally:
        sys.settrace(None)
        threading.settrace(None)
    return application.diary


def _is_back(home: Path) -> bool:
    """Whether what is made now is stored, as if nothing had happened."""
    import sqlite3
    from contextlib import closing

    with taskscope.task("afterwards", task_id="t-9"):
        pass
    if not taskscope.flush(_BACK_S):
        return False
    with closing(sqlite3.connect(home / "taskscope.db")) as connection:
        row = connection.execute("SELECT outcome FROM task WHERE id = 't-9'").fetchone()
    return bool(row == ("succeeded",))


if __name__ == "__main__":
    main()
