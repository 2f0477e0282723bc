"""Single spans, log records and samples, pushed as OTLP/JSON into a backend itself; how they are found."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.instance import Instance

T = TypeVar("T")

PATIENCE = 60.0


def _attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


RESOURCE = {"attributes": _attributes({"service.name": "shop", "service.instance.id": "till-1"})}


def send_span(instance: Instance, name: str, *, trace: str = "", parent: str = "", **attributes: str) -> str:
    """Store one span in Tempo; gives the id of its trace."""
    trace_id, now = trace or os.urandom(16).hex(), time.time_ns()
    span = {
        "traceId": trace_id,
        "parentSpanId": parent,
        "spanId": os.urandom(8).hex(),
        "name": name,
        "startTimeUnixNano": str(now - 1_000_000),
        "endTimeUnixNano": str(now),
        "attributes": _attributes(attributes),
    }
    body = {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": [span]}]}]}
    post(instance.url("tempo", "otlp_http") + "/v1/traces", body)
    return trace_id


def send_log(instance: Instance, text: str, **attributes: str) -> None:
    """Store one log record in Loki."""
    record = {
        "timeUnixNano": str(time.time_ns()),
        "body": {"stringValue": text},
        "attributes": _attributes(attributes),
    }
    body = {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"logRecords": [record]}]}]}
    post(instance.url("loki") + "/otlp/v1/logs", body)


def send_sample(instance: Instance, name: str, value: int, *, age: float = 0.0) -> None:
    """Store one sample of a counter in Prometheus, so many seconds old."""
    now = time.time_ns() - int(age * 1e9)
    point = {"asInt": str(value), "timeUnixNano": str(now), "startTimeUnixNano": str(now - 1_000_000_000)}
    counter = {"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": True}
    scope = {"metrics": [{"name": name, "sum": counter}]}
    post(
        instance.url("prometheus") + "/api/v1/otlp/v1/metrics",
        {"resourceMetrics": [{"resource": RESOURCE, "scopeMetrics": [scope]}]},
    )


def find_spans(instance: Instance, trace_id: str) -> list[dict[str, Any]]:
    """All spans of a trace that Tempo has; none when it does not know the trace."""
    answer = ask(instance.url("tempo") + f"/api/traces/{trace_id}")
    scopes = [scope for batch in answer.get("batches", ()) for scope in batch["scopeSpans"]]
    return [span for scope in scopes for span in scope["spans"]]


def find_traces(instance: Instance, query: str) -> list[str]:
    """The ids of all traces that a TraceQL query finds; Tempo leaves out zeros at the beginning of an id."""
    answer = ask(instance.url("tempo") + "/api/search", q=query)
    return [trace["traceID"].rjust(32, "0") for trace in answer.get("traces", ())]


def find_lines(instance: Instance, query: str) -> list[str]:
    """All lines that a LogQL query finds."""
    answer = ask(instance.url("loki") + "/loki/api/v1/query_range", query=query)
    return [line for stream in answer["data"]["result"] for _, line in stream["values"]]


def find_values(instance: Instance, query: str, at: float | None = None) -> list[float]:
    """The value of each series that a PromQL query finds."""
    moment = {} if at is None else {"time": str(at)}
    answer = ask(instance.url("prometheus") + "/api/v1/query", query=query, **moment)
    return [float(series["value"][1]) for series in answer["data"]["result"]]


def wait_for(look: Callable[[], T], expected: T) -> None:
    """Look again until it is as expected; after a minute the difference fails the test."""
    deadline = time.monotonic() + PATIENCE
    while (seen := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    assert seen == expected


def post(url: str, body: dict[str, Any]) -> None:
    """Send JSON; HTTPError where it is refused."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE):
        pass


def ask(url: str, **query: str) -> dict[str, Any]:
    """The JSON that stands at a URL; empty when there is nothing (404)."""
    try:
        with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404:
                return {}
            raise
