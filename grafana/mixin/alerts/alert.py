"""What an alert and a recording rule are, before anything is written for Prometheus or Grafana."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from grafana.mixin.config import RUNBOOK

Severity: TypeAlias = Literal["error", "warning", "info"]
"""error: act now, something is lost or stands still; warning: look today; info: says only that it works."""
Comparison: TypeAlias = Literal[">=", ">", "=="]
Cause: TypeAlias = Literal["", "backend_down", "collector_down"]
"""What stack/alertmanager.yaml silences an alert for: any backend that is down, or a Collector tier."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that Prometheus keeps, for alerts and panels that ask the same."""

    record: str
    """`level:metric:what`."""
    expr: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that can go wrong. Texts are Prometheus templates; `$value` is what is compared."""

    name: str
    value: str
    """PromQL: one sample for each thing that may be wrong."""
    limit: float
    severity: Severity
    summary: str
    """One line: which one, and how much."""
    description: str
    """What it means for the person who reads it."""
    comparison: Comparison = ">="
    guard: str = ""
    """PromQL that begins with `and` or `unless`: what must hold besides."""
    for_s: float = 0.0
    consequence_of: Cause = ""
    """What explains this one: while that lasts, this one notifies nobody."""

    @property
    def expr(self) -> str:
        """The condition as Prometheus evaluates it."""
        condition = f"{self.value} {self.comparison} {self.limit:g}"
        return f"{condition}\n{self.guard}" if self.guard else condition

    @property
    def query(self) -> str:
        """The same without the comparison, for a system that compares by itself."""
        return f"{self.value}\n{self.guard}" if self.guard else self.value

    @property
    def runbook(self) -> str:
        """Where a person reads what to do: GitHub's anchor of a heading that is the name."""
        return f"{RUNBOOK}#{self.name.lower()}"

    @property
    def labels(self) -> dict[str, str]:
        """Labels beside those of the series."""
        cause = {"consequence_of": self.consequence_of} if self.consequence_of else {}
        return {"severity": self.severity, **cause}


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, recordings first, so that alerts see the newest."""

    name: str
    alerts: tuple[Alert, ...]
    recordings: tuple[Recording, ...] = ()
