"""Where a proof takes place: a folder of its own, how much is wanted, and the processes that it starts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measurement import time_process
from benchmarks.scene import ROOT, Effort, Scene

_CORES = 2
_WORTH_TWO = 0.1
"""Scale from which on the start of a second process pays."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A folder to work in, and the share of the full proof that is wanted: 1 is what the page shows."""

    folder: Path
    scale: float = 1.0

    def count(self, full: int, least: int = 1) -> int:
        """How often something is done at this scale."""
        return max(round(full * self.scale), least)

    def stride(self, full: int, count: int) -> int:
        """Steps in which each process of `ask_shares` goes through `full` cases to try `count` of them.

        A process begins at its seed: together they try different ones, and at full scale all of them.
        """
        return max(full // count, 1) * len(self._share(count, _CORES))

    def _share(self, count: int, among: int) -> list[int]:
        return share(count, among if self.scale >= _WORTH_TWO else 1)

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """The environment of a fresh machine with this Taskscope home."""
        return Scene(self.folder, Effort.FULL).environment(home, **more)

    def ask(
        self, load: str, *arguments: object, home: Path, expected: int = 0, **more: str
    ) -> Mapping[str, Any]:
        """Run one of `loads/` and return what it answered; LoadError where it ends otherwise than told."""
        command = [sys.executable, "-m", f"reliability.loads.{load}", *map(str, arguments)]
        environment = self.environment(home, **more)
        return time_process(command, environment=environment, folder=ROOT, expected=expected).answer

    def ask_shares(
        self, load: str, count: int, *arguments: object, among: int = _CORES
    ) -> list[Mapping[str, Any]]:
        """Run a load in several processes; each is told its share of a count, a seed and the arguments.

        Each has a home of its own. More than there are cores, where they wait more than they work.
        """
        shares = self._share(count, among)
        with ThreadPoolExecutor(len(shares)) as pool:
            asked = [
                pool.submit(
                    self.ask,
                    load,
                    part,
                    seed,
                    *arguments,
                    home=self.folder / f"{load}-{seed}-{_join(arguments)}",
                )
                for seed, part in enumerate(shares)
            ]
            return [one.result() for one in asked]


def share(count: int, among: int) -> list[int]:
    """A count in parts that are as equal as can be, none of them empty."""
    parts = [count // among + (number < count % among) for number in range(among)]
    return [part for part in parts if part]


def _join(arguments: Sequence[object]) -> str:
    return "-".join(map(str, arguments)).replace("/", "_")
