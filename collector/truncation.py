"""What the gateway cuts, and to what length: the processor `transform/truncate`.

Spans are cut where our own recorder cuts, so that nothing of ours is cut twice. Loki refuses a log record
whose attributes are too large together, for good: log records are cut to what it surely takes.
"""

from __future__ import annotations

from typing import Any, Final

from taskscope.recorder.cleaning import VALUE_LIMIT_BYTES
from taskscope.recorder.foreign import ATTRIBUTES_LIMIT
from taskscope.semconv import attributes as attr

LOKI_LIMIT_BYTES: Final = 256 * 1024
"""`max_structured_metadata_size` of our Loki: keys and values of a record, its scope and its resource."""
NAME_LIMIT_BYTES: Final = 1024
"""Names of spans, scopes and events; what is longer is no name."""
KEY_LIMIT: Final = 128
"""Characters of a log record's attribute key; one that is longer is left out."""
LOG_ATTRIBUTES: Final = 64
LOG_VALUE_BYTES: Final = 2048
"""Of each value but the traceback, which has VALUE_LIMIT_BYTES."""
RESOURCE_ATTRIBUTES: Final = 32
RESOURCE_VALUE_BYTES: Final = 1024
SCOPE_ATTRIBUTES: Final = 8
SCOPE_VALUE_BYTES: Final = 256
LABEL_BYTES: Final = 1024
"""Of a metric's label, and of a log record's severity text."""

CONTRACT: Final = tuple(value for name, value in vars(attr).items() if name.isupper())
"""Keys that stay when a span has too many."""
_LOG_PREFIXES: Final = (
    "error.",
    "exception.",
    "taskscope.budget.",
    "taskscope.drop.",
    "taskscope.health.",
    "taskscope.plan.",
    "taskscope.recovery.",
    "taskscope.step.",
    "taskscope.task.",
)
_LOG_KEYS: Final = (
    attr.GEN_AI_AGENT_NAME,
    attr.GEN_AI_OPERATION_NAME,
    attr.GEN_AI_REQUEST_MODEL,
    attr.GEN_AI_SKILL_NAME,
    attr.GEN_AI_TOOL_NAME,
    attr.REDACTION_RULES,
    attr.SIGNAL,
)
LOG_CONTRACT: Final = (
    "event.name",  # of gateway.yaml's own making
    *(key for key in CONTRACT if key in _LOG_KEYS or key.startswith(_LOG_PREFIXES)),
)
"""Keys that stay when a log record has too many: those of `semconv/events.py`, and what is stamped on all."""
RESOURCE_CONTRACT: Final = (
    "service.name",
    "service.namespace",
    "service.instance.id",
    "service.version",
    "deployment.environment.name",
    "telemetry.distro.name",
    "telemetry.distro.version",
)
"""What backends and the gateway's own rules tell senders apart by."""


def build() -> dict[str, Any]:
    """The part of the Collector's configuration."""
    labels = {"context": "datapoint", "statements": [f"truncate_all(datapoint.attributes, {LABEL_BYTES})"]}
    truncate = {
        "error_mode": "ignore",
        "trace_statements": [*_owners(), *_spans()],
        "log_statements": [*_owners("stringify_all"), _logs()],
        "metric_statements": [*_owners(), labels],
    }
    return {"processors": {"transform/truncate": truncate}}


def _owners(*before: str) -> list[dict[str, Any]]:
    """Resource and scope, after these functions on their attributes."""
    resource = _rules(
        "resource", "resource.attributes", (RESOURCE_ATTRIBUTES, RESOURCE_VALUE_BYTES), RESOURCE_CONTRACT
    )
    scope = _rules("scope", "scope.attributes", (SCOPE_ATTRIBUTES, SCOPE_VALUE_BYTES), ())
    for owner, path in ((resource, "resource.attributes"), (scope, "scope.attributes")):
        owner["statements"] = [*(f"{function}({path})" for function in before), *owner["statements"]]
    scope["statements"] += [_shorten("scope.name", SCOPE_VALUE_BYTES)]
    return [resource, scope]


def _spans() -> list[dict[str, Any]]:
    span = _rules("span", "span.attributes", (ATTRIBUTES_LIMIT, VALUE_LIMIT_BYTES), CONTRACT)
    span["statements"] += [
        _shorten("span.name", NAME_LIMIT_BYTES),
        _shorten("span.status.message", VALUE_LIMIT_BYTES),
    ]
    event = _rules("spanevent", "spanevent.attributes", (ATTRIBUTES_LIMIT, VALUE_LIMIT_BYTES), CONTRACT)
    event["statements"] += [_shorten("spanevent.name", NAME_LIMIT_BYTES)]
    return [span, event]


def _logs() -> dict[str, Any]:
    """The traceback steps aside while the others are cut: it is what a person reads a record for."""
    traceback = f'log.attributes["{attr.EXCEPTION_STACKTRACE}"]'
    aside = 'log.cache["traceback"]'
    log = _rules("log", "log.attributes", (LOG_ATTRIBUTES, LOG_VALUE_BYTES), LOG_CONTRACT)
    log["statements"] = [
        f'delete_matching_keys(log.attributes, "(?s)^.{{{KEY_LIMIT + 1}}}")',
        # Loki makes text of them anyway, and only texts can be cut.
        "stringify_all(log.attributes)",
        f"set({aside}, {traceback})",
        *log["statements"],
        _shorten(aside, VALUE_LIMIT_BYTES, f"{aside} != nil"),
        f"set({traceback}, {aside})",
        _shorten("log.body", VALUE_LIMIT_BYTES, "log.body != nil"),
        _shorten("log.severity_text", LABEL_BYTES),
    ]
    return log


def _rules(context: str, path: str, limits: tuple[int, int], priority: tuple[str, ...]) -> dict[str, Any]:
    """Cut the values, then leave out what is too much; OTTL's `truncate_all` keeps whole characters."""
    count, size_bytes = limits
    keys = ", ".join(f'"{key}"' for key in priority)
    statements = [f"truncate_all({path}, {size_bytes})", f"limit({path}, {count}, [{keys}])"]
    return {"context": context, "statements": statements}


def _shorten(path: str, size_bytes: int, condition: str = "") -> str:
    where = f"{condition} and " if condition else ""
    text = f"String({path})"  # JSON where it is a list or a map
    return f"set({path}, Substring({text}, 0, {size_bytes}, true)) where {where}Len({text}) > {size_bytes}"
