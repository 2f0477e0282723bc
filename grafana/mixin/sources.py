"""The data sources and the provider of the pages, as Grafana's provisioning files.

Written out here, since the SDK has no types for these: they are the plugins' own settings. `$$` is how
provisioning spells a `$` that is not a variable of the environment.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from taskscope.semconv.attributes import GEN_AI_OPERATION_NAME
from taskscope.semconv.metrics import prometheus_label

_HEAD: Final = "# Made by grafana/mixin/sources.py: python -m grafana.build\n"
_SEND_INTERVAL: Final = "60s"
"""How often hosts send their metrics by default: each rate's window is four times that at least."""
TAGS_RANGE_S: Final = 86_400
"""How far back tasks are offered; without it Tempo looks only at what it has not written to disk yet."""
_SPAN_BUCKETS: Final = "traces_span_metrics_duration_seconds_bucket"
_TAGS: Final = {"service.name": "service_name"}
"""Attribute of a span to the label of a log line, and of a series."""


def build_sources() -> dict[str, Any]:
    """One of each kind; the uid is the kind, since pages and links name them by it."""
    return {"apiVersion": 1, "prune": True, "datasources": [_prometheus(), _tempo(), _loki()]}


def render_sources() -> str:
    """The file that is committed; addresses come from Grafana's environment."""
    return _HEAD + yaml.safe_dump(build_sources(), sort_keys=False, width=1000)


def render_provider() -> str:
    """Where Grafana finds the pages, below its own folder of provisioning."""
    provider = {
        "name": "taskscope",
        "type": "file",
        "folder": "Taskscope",
        "folderUid": "taskscope",
        "allowUiUpdates": False,
        "options": {"path": "/etc/grafana/provisioning/dashboards/taskscope"},
    }
    return _HEAD + yaml.safe_dump({"apiVersion": 1, "providers": [provider]}, sort_keys=False)


def _source(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": kind.capitalize(),
        "uid": kind,
        "type": kind,
        "access": "proxy",
        "url": f"$TASKSCOPE_{kind.upper()}_URL",
        "isDefault": kind == "prometheus",
        "editable": False,
        "jsonData": settings,
    }


def _prometheus() -> dict[str, Any]:
    exemplars = [{"name": "trace_id", "datasourceUid": "tempo", "urlDisplayLabel": "Its trace"}]
    return _source(
        "prometheus",
        {
            "httpMethod": "POST",
            "prometheusType": "Prometheus",
            "timeInterval": _SEND_INTERVAL,
            "exemplarTraceIdDestinations": exemplars,
        },
    )


def _tempo() -> dict[str, Any]:
    query = f"histogram_quantile(0.95, sum by (le) (rate({_SPAN_BUCKETS}{{$$__tags}}[$$__rate_interval])))"
    failed = 'traces_span_metrics_calls_total{$$__tags, status_code="STATUS_CODE_ERROR"}'
    errors = f"sum(rate({failed}[$$__rate_interval]))"
    return _source(
        "tempo",
        {
            "tracesToLogsV2": {
                "datasourceUid": "loki",
                "spanStartTimeShift": "-1m",
                "spanEndTimeShift": "1m",
                "tags": _pair(_TAGS),
                "customQuery": True,
                "query": '{$${__tags}} | trace_id = "$${__trace.traceId}"',
            },
            "tracesToMetrics": {
                "datasourceUid": "prometheus",
                "spanStartTimeShift": "-30m",
                "spanEndTimeShift": "30m",
                "tags": _pair({**_TAGS, GEN_AI_OPERATION_NAME: prometheus_label(GEN_AI_OPERATION_NAME)}),
                "queries": [
                    {"name": "How long such operations take (p95)", "query": query},
                    {"name": "How many of them fail, per second", "query": errors},
                ],
            },
            "nodeGraph": {"enabled": True},
            "search": {"hide": False},
            "timeRangeForTags": TAGS_RANGE_S,
            "streamingEnabled": {"search": True, "metrics": True},
            "traceQuery": {"timeShiftEnabled": True, "spanStartTimeShift": "-1h", "spanEndTimeShift": "1h"},
        },
    )


def _pair(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": attribute, "value": label} for attribute, label in tags.items()]


def _loki() -> dict[str, Any]:
    link = {
        "name": "Trace",
        "matcherType": "label",
        "matcherRegex": "trace_id",
        "url": "$${__value.raw}",
        "datasourceUid": "tempo",
        "urlDisplayLabel": "Its trace",
    }
    return _source("loki", {"maxLines": 1000, "derivedFields": [link]})
