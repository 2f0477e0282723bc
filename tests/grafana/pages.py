"""The committed pages as Grafana loads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import yaml

from grafana.build import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROVISIONING: Final = ROOT / "provisioning"
PAGES: Final = {
    page["uid"]: page
    for page in (
        json.loads(path.read_text()) for path in sorted((PROVISIONING / "dashboards").glob("*/*.json"))
    )
}
SOURCES: Final[dict[str, dict[str, Any]]] = {
    source["uid"]: source
    for source in yaml.safe_load((PROVISIONING / "datasources" / "taskscope.yaml").read_text())["datasources"]
}


def panels_of(page: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels but rows."""
    return (panel for panel in page["panels"] if panel["type"] != "row")


def variables_of(page: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in page["templating"]["list"]}


def expressions_of(page: Mapping[str, Any]) -> Iterator[str]:
    """All PromQL of its panels."""
    return (query["expr"] for panel in panels_of(page) for query in panel["targets"] if _is_promql(query))


def _is_promql(query: Mapping[str, Any]) -> bool:
    return bool(query["datasource"]["uid"] == "prometheus")
