"""An agent that knows neither OpenTelemetry nor Taskscope: JSON by hand, over the standard library's HTTP."""

import json
import sys
import urllib.request
from typing import Any

START = 1_763_720_000_000_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"


def value(content: Any) -> dict[str, Any]:
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue"}.get(type(content), "stringValue")
    return {kind: str(content) if kind == "intValue" else content}


def attributes(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("__", "."), "value": value(content)} for key, content in values.items()]


def span(number: int, parent: int, name: str, seconds: int, **values: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": name,
        "kind": "SPAN_KIND_INTERNAL",
        "startTimeUnixNano": str(START + number * 10**9),
        "endTimeUnixNano": str(START + number * 10**9 + seconds * 10**9),
        "attributes": attributes(**values),
        "aFieldOfTomorrow": [{}],
    }


def post(path: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(
        sys.argv[1] + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer) == {}


resource = {"attributes": attributes(service__name="by-hand")}
spans = [
    span(3, 1, "execute_tool grep", 1, gen_ai__operation__name="execute_tool", gen_ai__tool__name="grep"),
    span(
        2, 1, "chat claude", 2, gen_ai__operation__name="chat", gen_ai__provider__name="anthropic",
        gen_ai__request__model="claude", gen_ai__usage__input_tokens=1200, gen_ai__usage__output_tokens=34,
    ),
    span(1, 0, "invoke_agent reviewer", 9, gen_ai__operation__name="invoke_agent",
         gen_ai__agent__name="reviewer"),
]  # fmt: skip
line = {
    "timeUnixNano": START + 10**9,
    "severityNumber": 13,
    "severityText": "WARN",
    "body": {"stringValue": "two files were skipped"},
    "traceId": TRACE,
    "spanId": f"{3:016x}",
}
post("/v1/traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})
post("/v1/logs", {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [line]}]}]})
