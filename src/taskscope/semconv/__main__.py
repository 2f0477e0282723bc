"""`python -m taskscope.semconv` prints docs/metrics.md, made from the declarations of this room."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .metrics import METRICS, prometheus_label
from .short_names import SHORT_NAMES

if TYPE_CHECKING:
    from .metrics import Metric
    from .short_names import Label, ShortName

_HEAD = """\
# Metrics

<!-- Made from src/taskscope/semconv: python -m taskscope.semconv > docs/metrics.md -->

`taskscope serve` shows them at `/metrics`, as Prometheus text or (by `Accept`) OpenMetrics. The numbers are
counted from the record: they hold for all processes of this host, survive restarts, and a killed task is in
them. A label without a value is an empty text. Labels with a closed set of values start from 0.

A word of a user's own (a role, skill, tool, model, check, kind of task) is a label's value for the first 100
of its kind; the next ones say `other`. No label holds an id, a path, a URL or a text.

Beside these the page holds instruments of others, such as `http_server_active_requests` of the HTTP server.
Where theirs count what the record counts too, only the record's stand there. Metrics that other senders hand
in by OTLP ([the service](http.md#agents-in-other-languages)) stand there as `foreign_...`, each series until
five minutes after its last point.

## Short names
"""
_CANONICAL = """
## Canonical names

The OpenTelemetry name, and below it the one of Prometheus.
"""
_READINGS = {
    "sum": "sum of",
    "count": "count of",
    "histogram": "sum over the labels of",
    "max": "greatest value of",
    "none_failing": "0 as soon as a check fails, by",
}


def render() -> str:
    """Return the page as Markdown."""
    shorts = ["| name | type | what | from |", "|---|---|---|---|", *map(_short, SHORT_NAMES)]
    return "\n".join([_HEAD, *shorts, _CANONICAL, *map(_section, METRICS)])


def _short(short: ShortName) -> str:
    labels = ", ".join(f"`{label.name}`" for label in short.labels)
    name = f"`{short.name}`" + (f" by {labels}" if labels else "")
    origin = f"{_READINGS[short.reading]} `{short.source.name}`"
    conditions = [f"`{key}` {' or '.join(values)}" for key, values in short.keep]
    conditions += [f"`{label.name}`: {_origin(label)}" for label in short.labels]
    return f"| {name} | {short.type} | {short.description} | {'; '.join([origin, *conditions])} |"


def _origin(label: Label) -> str:
    return f"error where `{label.source}` is set, else ok" if label.is_error else f"`{label.source}`"


def _section(metric: Metric) -> str:
    lines = [f"### {metric.name}\n", f"{metric.description}\n", f"- `{metric.prometheus_name}`"]
    lines.append(f"- {metric.instrument}, unit `{metric.unit}`")
    if metric.labels:
        lines.append("- labels: " + ", ".join(f"`{prometheus_label(key)}`" for key in metric.labels))
    if metric.buckets:
        lines.append("- buckets: " + ", ".join(f"{bound:g}" for bound in metric.buckets))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
