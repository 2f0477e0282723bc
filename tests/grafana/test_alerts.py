"""Alerts as objects: each is told of in the runbook, and both files that are made of them say the same."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.mixin.alerts import Alert, build_groups
from grafana.mixin.alerts.prometheus import render_rules
from grafana.mixin.alerts.promql import duration
from grafana.mixin.alerts.provisioning import PROMETHEUS_UID, find_uid, render_provisioning
from grafana.mixin.config import CONFIG, RUNBOOK
from taskscope.semconv.metrics import METRICS, OPERATION_DURATION

ROOT = Path(__file__).parents[2]
ALERTS = tuple(alert for group in build_groups(CONFIG) for alert in group.alerts)
RECORDED = {recording.record for group in build_groups(CONFIG) for recording in group.recordings}
EXPRESSIONS = [
    *(alert.expr for alert in ALERTS),
    *(recording.expr for group in build_groups(CONFIG) for recording in group.recordings),
]
OPERATORS = {">=": "gte", ">": "gt", "==": "eq"}


def read_sections() -> dict[str, str]:
    """The text below each heading of an alert, by GitHub's anchor of it."""
    text = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)[1:]
    return {name.strip().lower(): body for name, body in zip(parts[::2], parts[1::2], strict=True)}


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    """The anchors of alerts and the sections of the runbook are the same."""
    assert {alert.runbook for alert in ALERTS} == {f"{RUNBOOK}#{anchor}" for anchor in read_sections()}


@pytest.mark.parametrize("anchor", read_sections())
def test_a_section_says_what_to_look_at_what_to_do_and_when_not(anchor: str) -> None:
    """Each section answers the three questions of somebody who was woken."""
    words = re.findall(r"^- \*\*(\w+)\*\*", read_sections()[anchor], flags=re.MULTILINE)
    assert words == ["Look", "Do", "Ignore"]


def test_links_within_the_runbook_lead_somewhere() -> None:
    """Every anchor that the runbook links to is a heading of it."""
    text = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(#([a-z0-9-]+)\)", text)) <= set(read_sections())


def test_names_and_uids_are_of_one_alert_each() -> None:
    """No two alerts share a name or a uid, and a uid has the form that Grafana takes."""
    uids = {find_uid(alert) for alert in ALERTS}
    assert len(uids) == len({alert.name for alert in ALERTS}) == len(ALERTS)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,40}", uid) for uid in uids)


def test_expressions_ask_for_names_of_the_contract_the_collector_or_other_rules() -> None:
    """No expression asks for a series that nobody writes."""
    parts = {"histogram": ("_bucket", "_count", "_sum")}
    contract = {
        f"{metric.prometheus_name}{part}"
        for metric in METRICS
        for part in parts.get(metric.instrument, ("",))
    }
    asked = {
        name for expr in EXPRESSIONS for name in re.findall(r"\b(?:taskscope|gen_ai|otelcol)[\w:]+", expr)
    }
    labels = {label.replace(".", "_") for metric in METRICS for label in metric.labels}
    unknown = {name for name in asked - contract - RECORDED - labels if not name.startswith("otelcol_")}
    assert unknown == set()


def test_recorded_series_are_all_read() -> None:
    """A recording that no alert reads is read by another one; nothing is kept for nobody."""
    assert {record for record in RECORDED if not any(record in expr for expr in EXPRESSIONS)} == set()


@cache
def load_rules() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(render_rules())["groups"]
    return groups


@cache
def load_provisioning() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(render_provisioning())["groups"]
    return groups


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_grafana_compares_with_what_prometheus_compares_with(alert: Alert) -> None:
    """Both files hold the same query, limit, waiting time, labels and runbook of an alert."""
    rule = next(rule for group in load_rules() for rule in group["rules"] if rule.get("alert") == alert.name)
    twin = next(
        twin for group in load_provisioning() for twin in group["rules"] if twin["title"] == alert.name
    )
    ask, reduce, compare = twin["data"]
    evaluator = compare["model"]["conditions"][0]["evaluator"]
    comparison = f"{alert.value} {alert.comparison} {evaluator['params'][0]:g}"
    assert rule["expr"] == ask["model"]["expr"].replace(alert.value, comparison, 1)
    assert evaluator["type"] == OPERATORS[alert.comparison]
    assert (ask["datasourceUid"], reduce["model"]["expression"]) == (PROMETHEUS_UID, "A")
    assert (compare["model"]["expression"], twin["condition"]) == ("B", "C")
    assert rule.get("for", "0s") == twin["for"]
    assert rule["labels"] == twin["labels"]
    assert rule["annotations"]["runbook"] == twin["annotations"]["runbook"] == alert.runbook


def test_the_limit_of_retrieval_is_a_bound_of_its_histogram() -> None:
    """Between two bounds a quantile is guessed; on one it is known on which side it lies."""
    assert CONFIG.limits.retrieval_p95_s in OPERATION_DURATION.buckets


@pytest.mark.parametrize(
    "seconds, text",
    [(900, "15m"), (90, "90s"), (86_400, "1d"), (0.5, "500ms"), (15, "15s"), (3600, "1h"), (0, "0s")],
)
def test_durations_are_exact(seconds: float, text: str) -> None:
    """A duration is written in the longest unit that says it exactly."""
    assert duration(seconds) == text


def test_shorter_windows_change_windows_alone() -> None:
    """The rules of a proof compare with the same limits, over windows that are a sixtieth."""
    scaled = CONFIG.windows.scaled(1 / 60)
    assert (scaled.tasks_s, scaled.backend_for_s, scaled.interval_s) == (15, 1, 0.5)
