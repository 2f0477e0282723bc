"""The alerts as rules of Prometheus, the source of truth: it evaluates them, Alertmanager tells people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana.mixin.config import CONFIG

from . import build_groups
from ._yaml import dump
from .promql import duration

if TYPE_CHECKING:
    from grafana.mixin.config import Config

    from .alert import Alert, Group, Recording

_HEAD = """\
Made from grafana/mixin/alerts: python -m grafana.build
Unit tests: tests/stack/test_rules.py. What to do when one fires: docs/runbook.md."""


def render_rules(config: Config = CONFIG) -> str:
    """The file that `rule_files` of Prometheus names."""
    groups = [_group(group, config) for group in build_groups(config)]
    return dump({"groups": groups}, _HEAD)


def _group(group: Group, config: Config) -> dict[str, Any]:
    rules = [*map(_recording, group.recordings), *map(_alert, group.alerts)]
    return {"name": group.name, "interval": duration(config.windows.interval_s), "rules": rules}


def _recording(recording: Recording) -> dict[str, Any]:
    labels = {"labels": dict(recording.labels)} if recording.labels else {}
    return {"record": recording.record, "expr": recording.expr, **labels}


def _alert(alert: Alert) -> dict[str, Any]:
    wait = {"for": duration(alert.for_s)} if alert.for_s else {}
    annotations = {"summary": alert.summary, "description": alert.description, "runbook": alert.runbook}
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **wait,
        "labels": alert.labels,
        "annotations": annotations,
    }
