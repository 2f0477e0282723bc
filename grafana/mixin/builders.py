"""One function for each kind of panel and of query, with what all of a kind share.

What a panel is stands in `panels.py`, what a query says in `queries.py`.
"""

from __future__ import annotations

from typing import Required, TypedDict, Unpack

from grafana.mixin.panels import WIDTH, Link, Panel, Query, Step
from grafana.mixin.queries import grown, positive, quantile, rate, total


class Words(TypedDict, total=False):
    """What any panel may say of itself; each key is explained at `Panel`."""

    description: Required[str]
    bad: Required[str]
    empty: Required[str]
    alerts: tuple[str, ...]
    steps: tuple[Step, ...]


def stat(
    title: str, query: Query, *, unit: str = "none", width: int = 4, height: int = 5, **words: Unpack[Words]
) -> Panel:
    """One number; six stand side by side."""
    return Panel(title, "stat", (query,), unit=unit, width=width, height=height, **words)


def chart(
    title: str,
    *queries: Query,
    unit: str,
    width: int = 12,
    height: int = 8,
    is_stacked: bool = False,
    maximum: float | None = None,
    **words: Unpack[Words],
) -> Panel:
    """Lines over time, from 0 up, so that a small change looks small."""
    return Panel(
        title,
        "timeseries",
        queries,
        unit=unit,
        minimum=0,
        maximum=maximum,
        is_stacked=is_stacked,
        width=width,
        height=height,
        **words,
    )


def table(
    title: str,
    *queries: Query,
    columns: tuple[tuple[str, str], ...],
    links: tuple[Link, ...] = (),
    width: int = 12,
    height: int = 8,
    **words: Unpack[Words],
) -> Panel:
    """Rows; a column that has a unit has it from its query."""
    return Panel(
        title,
        "table",
        queries,
        unit="none",
        columns=columns,
        links=links,
        width=width,
        height=height,
        **words,
    )


def log(title: str, query: Query, *, height: int = 8, **words: Unpack[Words]) -> Panel:
    """Lines and events, as wide as the page."""
    return Panel(title, "logs", (query,), unit="none", width=WIDTH, height=height, **words)


def timeline(
    title: str,
    query: Query,
    *,
    states: tuple[tuple[float, str, str], ...],
    height: int = 8,
    **words: Unpack[Words],
) -> Panel:
    """A bar for each series, coloured by its state, as wide as the page."""
    return Panel(
        title, "statetimeline", (query,), unit="none", width=WIDTH, height=height, states=states, **words
    )


def instant(text: str, heading: str, *labels: str, unit: str = "") -> Query:
    """A column of a table: PromQL asked once, a row for each value of the labels."""
    return Query(text, heading, kind="instant", labels=labels, unit=unit)


def grown_by(counter: str, heading: str, *labels: str, unit: str = "") -> Query:
    """A column of how much a counter grew in the chosen time; an empty cell where it did not."""
    return instant(positive(total(grown(counter), *labels)), heading, *labels, unit=unit)


def search(text: str, *keys: str) -> Query:
    """Spans by TraceQL, which carry these attributes."""
    return Query(text, kind="search", labels=keys)


def lines(text: str, *keys: str) -> Query:
    """Lines of logs by LogQL, which carry these attributes."""
    return Query(text, kind="logs", labels=keys)


def percentiles(buckets: str, legend: str, *keys: str) -> tuple[Query, Query]:
    """Median and 95th percentile of a histogram, as two lines: where they part, only some are slow."""
    half, most = (
        Query(quantile(share, rate(buckets), *keys), f"p{share * 100:.0f} {legend}".rstrip())
        for share in (0.5, 0.95)
    )
    return half, most
