"""Walks the committed pages and asks the real backends what Grafana would ask them."""

from __future__ import annotations

import json
import math
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from grafana.build import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stack.instance import Instance

PAGES: Final = ROOT / "provisioning" / "dashboards" / "taskscope"
SOURCES: Final = ROOT / "provisioning" / "datasources" / "taskscope.yaml"
EVERYTHING: Final = {
    "job": ".+",
    "instance": ".+",
    "service": ".+",
    "kind": ".*",
    "agent": ".*",
    "model": ".*",
}
"""What Grafana puts in place of "All"."""
_TIMEOUT: Final = 30.0

Row = dict[str, str]
"""The labels of one series, span or stream that has a value."""


@dataclass(frozen=True, slots=True)
class Target:
    """One query of one panel, as Grafana finds it in the page."""

    page: str
    panel: str
    kind: str
    """The panel's type."""
    query: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.page}: {self.panel}: {self.query['refId']}"


@dataclass(frozen=True, slots=True)
class Walk:
    """The backends, the time that a person chose, and what stands in the variables."""

    urls: Mapping[str, str]
    values: Mapping[str, str]
    since: float
    until: float = field(default_factory=time.time)

    def ask(self, target: Target) -> list[Row]:
        """The rows that the panel would draw; an error of the backend is the backend's own words."""
        query = target.query
        if query["datasource"]["uid"] == "prometheus":
            return self.ask_prometheus(query["expr"], is_instant=bool(query.get("instant")))
        if query["datasource"]["uid"] == "loki":
            return self.ask_lines(query["expr"])
        return self._ask_tempo(target)

    def ask_prometheus(self, expr: str, *, is_instant: bool = True) -> list[Row]:
        text = self.fill(expr)
        if is_instant:
            found = self._get("prometheus", "/api/v1/query", query=text, time=self.until)["data"]["result"]
            return [row["metric"] for row in found if not math.isnan(float(row["value"][1]))]
        times = {"start": self.since, "end": self.until, "step": self.step}
        found = self._get("prometheus", "/api/v1/query_range", query=text, **times)["data"]["result"]
        return [
            row["metric"] for row in found if not all(math.isnan(float(value)) for _, value in row["values"])
        ]

    def find_values(self, expr: str, label: str) -> dict[str, float]:
        """The numbers of a query by one of its labels."""
        rows = self._get("prometheus", "/api/v1/query", query=self.fill(expr), time=self.until)
        return {row["metric"].get(label, ""): float(row["value"][1]) for row in rows["data"]["result"]}

    def ask_variable(self, variable: Mapping[str, Any]) -> list[str]:
        """The choice that a variable offers."""
        query = variable["query"]
        if variable["datasource"]["uid"] == "tempo":
            path = f"/api/v2/search/tag/span.{query['label']}/values"
            settings = settings_of("tempo")
            times = {"start": int(self.until - settings["timeRangeForTags"]), "end": int(self.until) + 1}
            return [value["value"] for value in self._get("tempo", path, **times)["tagValues"]]
        metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query["query"]).groups()  # type: ignore[union-attr]
        chosen = {"match[]": self.fill(metric), "start": self.since, "end": self.until}
        values = self._get("prometheus", f"/api/v1/label/{label}/values", **chosen)["data"]
        return [str(value) for value in values]

    def find_exemplars(self) -> set[str]:
        """The traces that exemplars of operations name."""
        chosen = {
            "query": "traces_span_metrics_duration_seconds_bucket",
            "start": self.since,
            "end": self.until,
        }
        series = self._get("prometheus", "/api/v1/query_exemplars", **chosen)["data"]
        (link,) = settings_of("prometheus")["exemplarTraceIdDestinations"]
        return {one["labels"][link["name"]] for found in series for one in found["exemplars"]}

    def has_trace(self, trace: str) -> bool:
        return bool(self._get("tempo", f"/api/v2/traces/{trace}")["trace"].get("resourceSpans"))

    def fill(self, text: str) -> str:
        """What Grafana puts in place of its variables."""
        own = {
            "__rate_interval": f"{self.rate_interval:.0f}s",
            "__interval": f"{self.step:.0f}s",
            "__range": f"{self.until - self.since:.0f}s",
            **self.values,
        }
        names = "|".join(sorted(own, key=len, reverse=True))
        filled = re.sub(rf"\$({names})\b", lambda found: own[found.group(1)], text)
        assert "$" not in filled, f"a variable that nobody fills: {filled}"
        return filled

    @property
    def step(self) -> float:
        """As for a panel of some 60 points, never below what Grafana calls the minimal interval."""
        return max(15.0, (self.until - self.since) / 60)

    @property
    def rate_interval(self) -> float:
        """Grafana's rule: the step and an interval of sending, four of these at least."""
        interval = float(settings_of("prometheus")["timeInterval"].removesuffix("s"))
        return max(self.step + interval, 4 * interval)

    def ask_lines(self, expr: str) -> list[Row]:
        chosen = {"query": self.fill(expr), "start": self.since, "end": self.until, "limit": 1000}
        found = self._get("loki", "/loki/api/v1/query_range", **chosen)["data"]["result"]
        return [row["stream"] for row in found if row["values"]]

    def _ask_tempo(self, target: Target) -> list[Row]:
        text = self.fill(target.query["query"])
        times: dict[str, Any] = {"start": int(self.since), "end": int(self.until) + 1}
        if target.kind == "traces":
            return [{}] if self.has_trace(text) else []
        if "metricsQueryType" in target.query:
            found = self._get("tempo", "/api/metrics/query_range", q=text, step=f"{self.step:.0f}s", **times)
            return [
                _attributes(row["labels"], prefix="span.")
                for row in found["series"]
                if any("value" in sample for sample in row["samples"])
            ]
        limits = {"limit": target.query["limit"], "spss": target.query["spss"]}
        found = self._get("tempo", "/api/search", q=text, **times, **limits)
        sets = (spans for one in found["traces"] for spans in one["spanSets"])
        return [_attributes(span.get("attributes", [])) for spans in sets for span in spans["spans"]]

    def _get(self, backend: str, path: str, **arguments: Any) -> Any:
        url = f"{self.urls[backend]}{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            message = f"{backend} answered {error.code} to {arguments}: {error.read().decode()[:500]}"
            raise AssertionError(message) from error


def urls_of(instance: Instance) -> dict[str, str]:
    return {name: instance.url(name) for name in ("prometheus", "tempo", "loki")}


def settings_of(uid: str) -> dict[str, Any]:
    (settings,) = (one["jsonData"] for one in load_sources() if one["uid"] == uid)
    return dict(settings)


def load_pages(folder: Path = PAGES) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def load_sources() -> list[dict[str, Any]]:
    sources: list[dict[str, Any]] = yaml.safe_load(SOURCES.read_text())["datasources"]
    return sources


def panels_of(page: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All panels, also those inside of collapsed rows."""
    for panel in page["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def targets_of(page: Mapping[str, Any]) -> Iterator[Target]:
    for panel in panels_of(page):
        for query in panel["targets"]:
            yield Target(page["uid"], panel["title"], panel["type"], query)


def missing(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """The labels that no row has a value for."""
    return [label for label in labels if not any(row.get(label) for row in rows)]


def _attributes(attributes: Sequence[Mapping[str, Any]], *, prefix: str = "") -> Row:
    """OTLP's attributes as text."""
    return {one["key"].removeprefix(prefix): str(next(iter(one["value"].values()), "")) for one in attributes}
