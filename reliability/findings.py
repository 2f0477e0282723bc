"""What a proof found, as lines of the page: counted, of how many, what is allowed, and whether that holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HEAD = ("what", "must be", "measured", "holds")


@dataclass(frozen=True, slots=True)
class Finding:
    """One count (or one measure, where it has a unit) against what it must be."""

    what: str
    value: float
    of: int | None = None
    """How many chances there were; a proof of nothing has none."""
    most: float | None = None
    least: float | None = None
    unit: str = ""
    note: str = ""
    """What a reader has to know beside the number; why it was not measured, say."""

    @property
    def holds(self) -> bool | None:
        """Whether it is what it must be; None where nothing was asked of it, or nothing could be tried."""
        if self.most is None and self.least is None:
            return None
        if self.of == 0:
            return None
        is_above = self.least is None or self.value >= self.least
        return is_above and (self.most is None or self.value <= self.most)

    def cells(self) -> tuple[str, ...]:
        """The texts of its line."""
        verdict = {True: "yes", False: "**no**", None: "not tried" if self.of == 0 else ""}[self.holds]
        of = "" if self.of is None else f" of {self.of:,}"
        unit = f" {self.unit}" if self.unit else ""
        note = f" ({self.note})" if self.note else ""
        return self.what, self._must(), f"{_tell(self.value)}{of}{unit}{note}", verdict

    def _must(self) -> str:
        if self.most is not None and self.most in {self.least, 0}:
            return _tell(self.most)
        bounds = [f">= {_tell(self.least)}"] if self.least is not None else []
        bounds += [f"<= {_tell(self.most)}"] if self.most is not None else []
        return " and ".join(bounds)


def none_of(what: str, value: float, of: int, note: str = "") -> Finding:
    """What must never happen, with its chances."""
    return Finding(what, value, of, most=0, note=note)


def all_of(what: str, value: float, of: int, note: str = "") -> Finding:
    """What must happen each time."""
    return Finding(what, value, of, most=of, least=of, note=note)


def how_many(what: str, value: float) -> Finding:
    """How much was tried; nothing is asked of it."""
    return Finding(what, value)


def not_tried(what: str, why: str) -> Finding:
    """What could not be tried here, which is no proof."""
    return Finding(what, 0, 0, most=0, note=why)


def add_up(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums of counts by name."""
    total: dict[str, int] = {}
    for one in counts:
        for name, value in one.items():
            total[name] = total.get(name, 0) + value
    return total


def draw_findings(findings: Iterable[Finding]) -> list[str]:
    """The lines of a Markdown table."""
    rows = (_HEAD, ("---",) * len(_HEAD), *(one.cells() for one in findings))
    return ["| " + " | ".join(cells) + " |" for cells in rows]


def _tell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
