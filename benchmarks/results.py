"""What came out, as rows of a table: measured, beside what, the ratio, the goal, and whether it is met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .measurement import Spread

_PRECISE_BELOW = 10
_FINE_BELOW = 1
_HEAD = ("what", "measured", "beside", "ratio", "goal", "met")


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of the measured value, or of the ratio."""

    bound: float
    is_ratio: bool = False
    is_least: bool = False

    def judge(self, spread: Spread) -> str:
        """Return `yes` or by how much it is missed, and whether the interval leaves that open."""
        is_open = spread.low < self.bound < spread.high
        return self._judge(spread.median) + (", not certain" if is_open else "")

    def _judge(self, value: float) -> str:
        is_met = value >= self.bound if self.is_least else value <= self.bound
        if is_met:
            return "yes"
        if self.is_ratio:
            return f"**no**, by {100 * (value - self.bound):.1f} points"
        return f"**no**, {100 * abs(value / self.bound - 1):.0f} % {'short' if self.is_least else 'over'}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    measured: Spread
    unit: str
    beside: str = ""
    """What it is compared with, with its value."""
    ratio: Spread | None = None
    """Measured to what stands beside it, round by round."""
    goal: Goal | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the line."""
        ratio = tell_spread(self.ratio) if self.ratio else ""
        return (self.what, f"{tell_spread(self.measured)} {self.unit}", self.beside, ratio, *self._judge())

    def _judge(self) -> tuple[str, str]:
        goal = self.goal
        if goal is None:
            return "", ""
        sign = ">=" if goal.is_least else "<="
        if goal.is_ratio:
            return f"ratio {sign} {goal.bound:g}", goal.judge(self.ratio) if self.ratio else ""
        return f"{sign} {goal.bound:g} {self.unit}", goal.judge(self.measured)


def tell_number(value: float) -> str:
    """Return a number with the digits that mean something."""
    if abs(value) < _FINE_BELOW:
        return f"{value:.2f}"
    return f"{value:.3g}" if abs(value) < _PRECISE_BELOW else f"{value:,.0f}"


def tell_spread(spread: Spread) -> str:
    """Return the median, and the interval behind it where there are several numbers."""
    # Ratios about 1 need their third decimal: the goal is one of 2 %.
    is_close = spread.low > 0.5 and spread.high < 2  # noqa: PLR2004
    low, median, high = (
        f"{value:.3f}" if is_close else tell_number(value)
        for value in (spread.low, spread.median, spread.high)
    )
    return median if spread.count == 1 else f"{median} ({low} to {high})"


def draw_table(rows: Iterable[Row]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [_draw(_HEAD), _draw(["---"] * len(_HEAD)), *(_draw(row.cells()) for row in rows)]


def _draw(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
