"""The alerts as Grafana provisions them: A asks Prometheus, B takes the last value, C compares.

They read the recorded series of Prometheus' rules, so both evaluate the same. The uid is made of the name, so
that a rebuilt file updates its rules instead of adding others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grafana.mixin.config import CONFIG

from . import build_groups
from ._yaml import dump
from .promql import duration

if TYPE_CHECKING:
    from grafana.mixin.config import Config

    from .alert import Alert, Group

PROMETHEUS_UID: Final = "prometheus"
"""The data source that all alerts ask; its uid is fixed in provisioning."""
FOLDER: Final = "Taskscope"
_EXPRESSION_UID: Final = "__expr__"
_EVALUATORS: Final = {">=": "gte", ">": "gt", "==": "eq"}
_LOOK_BACK_S: Final = 300
"""What A may look at; it is an instant query, whose expression names its own windows."""
_SHORTEST_INTERVAL_S: Final = 10.0
"""Grafana's own step: it refuses intervals that are no multiple of it."""
_HEAD = """\
Made from grafana/mixin/alerts: python -m grafana.build
Prometheus and Alertmanager notify; these show the same states in Grafana."""


def render_provisioning(config: Config = CONFIG) -> str:
    """The file for `provisioning/alerting/`."""
    groups = [_group(group, config) for group in build_groups(config)]
    return dump({"apiVersion": 1, "groups": groups}, _HEAD)


def find_uid(alert: Alert) -> str:
    """The alert's uid in Grafana."""
    return alert.name.lower()


def _group(group: Group, config: Config) -> dict[str, Any]:
    interval_s = max(config.windows.interval_s, _SHORTEST_INTERVAL_S)
    return {
        "orgId": 1,
        "name": group.name,
        "folder": FOLDER,
        "interval": duration(interval_s),
        "rules": [_rule(alert) for alert in group.alerts],
    }


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "uid": find_uid(alert),
        "title": alert.name,
        "condition": "C",
        "data": [_ask(alert), _reduce(), _compare(alert)],
        # No series is the good case: nothing failed, nothing waits.
        "noDataState": "OK",
        "execErrState": "Error",
        "for": duration(alert.for_s),
        "annotations": {
            "summary": _own_template(alert.summary),
            "description": _own_template(alert.description),
            "runbook": alert.runbook,
        },
        "labels": alert.labels,
        "isPaused": False,
    }


def _own_template(text: str) -> str:
    """Grafana's `$value` is a sentence about all steps; B's value is the number."""
    return text.replace("$value", "$values.B.Value")


def _ask(alert: Alert) -> dict[str, Any]:
    model = {
        "refId": "A",
        "datasource": {"type": "prometheus", "uid": PROMETHEUS_UID},
        "expr": alert.query,
        "instant": True,
        "range": False,
    }
    return _step("A", PROMETHEUS_UID, model)


def _reduce() -> dict[str, Any]:
    return _step("B", _EXPRESSION_UID, {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last"})


def _compare(alert: Alert) -> dict[str, Any]:
    evaluator = {"type": _EVALUATORS[alert.comparison], "params": [alert.limit]}
    model = {"refId": "C", "type": "threshold", "expression": "B", "conditions": [{"evaluator": evaluator}]}
    return _step("C", _EXPRESSION_UID, model)


def _step(ref: str, uid: str, model: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": ref,
        "relativeTimeRange": {"from": _LOOK_BACK_S, "to": 0},
        "datasourceUid": uid,
        "model": model,
    }
