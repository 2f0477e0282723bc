"""Processes timed from outside, variants taken in turn, and what a handful of numbers says together.

Ratios are made within a round, where both variants met the same weather, and the median of the rounds counts.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_T = TypeVar("_T")
_ONE_SIDE = 0.025
"""Probability left out on each side of a 95 % interval."""
_ERROR_CHARACTERS = 2000


class LoadError(Exception):
    """A measured program failed, so that its time says nothing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a process, in seconds."""

    wall: float
    cpu: float
    """User and system time, of all children that it waited for too."""
    answer: Mapping[str, Any] = field(default_factory=dict)
    """The JSON object of its last line, if it printed one."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some numbers, and where the true middle lies with a confidence of 95 %.

    The interval is of order statistics, without any assumption about the distribution. Fewer than six
    numbers cannot give 95 %: then it is simply the least and the greatest.
    """

    median: float
    low: float
    high: float
    count: int


def spread_of(values: Sequence[float]) -> Spread:
    """Return median and interval of at least one number."""
    ordered = sorted(values)
    cut = _find_cut(len(ordered))
    return Spread(statistics.median(ordered), ordered[cut], ordered[-1 - cut], len(ordered))


def _find_cut(count: int) -> int:
    """Return how many numbers may be left out at each end: the sign test turned into an interval."""
    tail, cut = 0.0, 0
    while cut < count // 2:
        tail += math.comb(count, cut) / 2**count
        if tail > _ONE_SIDE:
            break
        cut += 1
    return max(cut - 1, 0)


def ratios(of: Sequence[float], to: Sequence[float]) -> Spread:
    """Return the spread of the ratios round by round."""
    return spread_of([one / other for one, other in zip(of, to, strict=True)])


def differences(of: Sequence[float], less: Sequence[float]) -> Spread:
    """Return the spread of the differences round by round."""
    return spread_of([one - other for one, other in zip(of, less, strict=True)])


def take_turns(variants: Mapping[str, Callable[[], _T]], rounds: int) -> dict[str, list[_T]]:
    """Run each variant once a round, every other round in the opposite order; the results by variant.

    A slow drift of the machine then meets all of them alike.
    """
    results: dict[str, list[_T]] = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants) if number % 2 == 0 else list(reversed(list(variants)))
        for name in names:
            results[name].append(variants[name]())
    return results


def time_process(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, expected: int = 0
) -> Sample:
    """Run a program to its end and return what it took; LoadError when its exit code is another."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)  # Popen is not to wait for it again
        if process.returncode != expected:
            err.seek(0)
            said = err.read().decode(errors="replace")[-_ERROR_CHARACTERS:]
            msg = f"{' '.join(command)!r} ended with {process.returncode}, expected {expected}: {said}"
            raise LoadError(msg)
        out.seek(0)
        answer = _read_answer(out.read())
    return Sample(wall, usage.ru_utime + usage.ru_stime, answer)


def _read_answer(output: bytes) -> Mapping[str, Any]:
    lines = output.decode(errors="replace").splitlines()
    if not lines or not lines[-1].startswith("{"):
        return {}
    answer: Mapping[str, Any] = json.loads(lines[-1])
    return answer
