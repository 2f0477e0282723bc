"""What a page, a row, a panel, a query and a variable are, before anything is written for Grafana.

A page's file makes them by `builders.py`. `rendering.py` makes Grafana's JSON of these, `documentation.py`
the page of the docs, tests the walk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from grafana.mixin.config import RUNBOOK
from taskscope.semconv.metrics import prometheus_label

Source: TypeAlias = Literal["prometheus", "tempo", "loki"]
"""Kind of a data source, and its uid: one of each."""
View: TypeAlias = Literal["timeseries", "stat", "table", "statetimeline", "logs", "traces"]
Kind: TypeAlias = Literal["range", "instant", "search", "metrics", "trace", "logs"]
"""How it is asked: Prometheus over time or now, Tempo for spans, numbers or one trace, Loki for lines."""

WIDTH: Final = 24
"""Columns of Grafana's grid."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question to one data source."""

    text: str
    legend: str = ""
    """With `{{label}}`; in a table the name of the column."""
    kind: Kind = "range"
    labels: tuple[str, ...] = ()
    """Attributes or labels that its rows must carry besides those of the legend; the proof looks for them."""
    optional: tuple[str, ...] = ()
    """Labels of the legend that may be absent, such as an error's where nothing failed."""
    has_exemplars: bool = False
    unit: str = ""
    """Of its column, where a table has several."""

    @property
    def is_instant(self) -> bool:
        """Asked once, at the end of the chosen time: what covers all of it makes no line."""
        return self.kind == "instant" or "$__range" in self.text

    @property
    def expected(self) -> tuple[str, ...]:
        """All that its rows must carry, as the data source spells it."""
        keys = self.labels if self.source == "tempo" else map(prometheus_label, self.labels)
        return (*(name for name in re.findall(r"{{(\w+)}}", self.legend) if name not in self.optional), *keys)

    @property
    def source(self) -> Source:
        """Who is asked."""
        if self.kind in {"search", "metrics", "trace"}:
            return "tempo"
        return "loki" if self.kind == "logs" else "prometheus"


@dataclass(frozen=True, slots=True)
class Link:
    """Where a click on a cell leads; `url` with Grafana's variables of the row."""

    column: str
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Step:
    """From this value on the colour changes."""

    value: float
    colour: Literal["green", "yellow", "orange", "red", "blue"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `description` says what it shows, `bad` what a bad value means."""

    title: str
    view: View
    queries: tuple[Query, ...]
    description: str
    bad: str
    unit: str
    empty: str
    """What stands there when there is nothing: never a 0."""
    width: int = 12
    height: int = 8
    steps: tuple[Step, ...] = ()
    alerts: tuple[str, ...] = ()
    """Names of the alerts that watch the same; their sections of the runbook say what to do."""
    columns: tuple[tuple[str, str], ...] = ()
    """Of a table: field to heading, in order; what is not named is hidden."""
    links: tuple[Link, ...] = ()
    is_stacked: bool = False
    minimum: float | None = None
    maximum: float | None = None
    states: tuple[tuple[float, str, str], ...] = ()
    """Of a state timeline or a stat: value, its word, its colour."""

    @property
    def text(self) -> str:
        """The description as Grafana shows it, with the way into the runbook."""
        todo = "".join(f"\n\nAlert {name}: {RUNBOOK}#{name.lower()}" for name in self.alerts)
        return f"{self.description}\n\nBad: {self.bad}{todo}"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question, which is the row's title."""

    question: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """What a person chooses above a page; `query` asks Prometheus or, with `tag`, Tempo for the choice."""

    name: str
    label: str
    metric: str = ""
    """A selector whose label is offered."""
    key: str = ""
    """That label; or, without a metric, the attribute whose values Tempo knows."""
    every: str = ".*"
    """The regular expression behind "all"; empty: exactly one value is chosen."""
    is_free: bool = False
    """A person types it, or a link brings it."""
    is_hidden: bool = False
    """It follows from another one."""
    description: str = ""

    @property
    def query(self) -> str:
        """As Prometheus' data source reads it."""
        return f"label_values({self.metric}, {self.key})"


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard."""

    uid: str
    title: str
    question: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...]
    since: str = "now-6h"

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All of them, in reading order."""
        return tuple(panel for row in self.rows for panel in row.panels)
