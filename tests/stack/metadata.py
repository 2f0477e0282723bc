"""What a page that Prometheus scraped says of its metrics: type and unit, as Prometheus heard them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .otlp import ask

if TYPE_CHECKING:
    from stack.instance import Instance
    from taskscope.semconv.metrics import Metric

TYPES: Final = {"counter": "counter", "histogram": "histogram", "updowncounter": "gauge", "gauge": "gauge"}
"""Instrument to what Prometheus calls it."""
UNITS: Final = {"s": "seconds", "By": "bytes", "micro_usd": "micro_usd"}
"""Unit to what Prometheus calls it; what is only counted, such as `{token}`, has none."""


def read_metadata(instance: Instance, job: str) -> dict[str, tuple[str, str | None]]:
    """Name to type and unit of all metrics on the pages of a job.

    A unit has a line of its own (`# UNIT`), or stands at the end of the name alone: so on the Collector's
    page, and on that of `serve` for the contract's metrics.
    """
    url = instance.url("prometheus") + "/api/v1/targets/metadata"
    told = ask(url, match_target=f'{{job="{job}"}}')["data"]
    found = {}
    for one in told:
        # A counter without a sample is known by its family's name, which lacks the end.
        end = "_total" if one["type"] == "counter" else ""
        name = one["metric"].removesuffix(end) + end
        found[name] = (one["type"], one["unit"] or find_unit(name))
    return found


def find_unit(name: str) -> str | None:
    """The unit that a name ends with."""
    base = name.removesuffix("_total")
    return next((unit for unit in UNITS.values() if base.endswith(f"_{unit}")), None)


def describe(metric: Metric) -> tuple[str, str | None]:
    """The same as the contract has it."""
    return TYPES[metric.instrument], UNITS.get(metric.unit)
