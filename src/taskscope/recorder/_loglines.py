"""What a log line is and how it is written down: one flat mapping, as JSON, as a readable line, as a record.

Nothing here reads the environment or opens a file.
"""

from __future__ import annotations

import json
import re
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, Final

from taskscope.semconv import attributes as attr
from taskscope.store import wire
from taskscope.store.records import LogRecord, Source

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping

    from .cleaning import Cleaner

_SEVERITIES: Final = (
    (50, 21, "FATAL"),
    (40, 17, "ERROR"),
    (30, 13, "WARN"),
    (20, 9, "INFO"),
    (0, 5, "DEBUG"),
)
"""Python's level from which on, OpenTelemetry's severity number and short name."""
_ATTRIBUTES: Final = {
    "task_id": attr.TASK_ID,
    "task_kind": attr.TASK_KIND,
    "agent_id": attr.GEN_AI_AGENT_NAME,
    "skill_id": attr.GEN_AI_SKILL_NAME,
    "exception": attr.EXCEPTION_STACKTRACE,
}
"""Fields of a line that have a name in the telemetry contract."""
_OWN = frozenset({"timestamp", "level", "logger", "event", "trace_id", "span_id"})
_NOT_IN_TEXT = _OWN | {"exception", "task_kind"}
# What a terminal would obey: C0 and C1 controls except tab and newline, and marks that turn the direction.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_COLORS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
# Good in JSON, but the end of a line to `str.splitlines` and to some viewers.
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")


def build_line(record: logging.LogRecord, context: Mapping[str, object], cleaner: Cleaner) -> dict[str, Any]:
    """Return one line as a flat mapping, plain and redacted: timestamp, level, logger, event, then the rest.

    A record of structlog carries its fields as a dict in `msg`; one of `logging` has a message to format.
    """
    given: dict[Any, Any] = dict(record.msg) if isinstance(record.msg, dict) else {"event": _message(record)}
    told = given.pop("exc_info", None)
    error = _exception(record.exc_info or told)
    head = {"timestamp": _iso(record.created), "level": record.levelname.lower()}
    fields = {"logger": record.name, "event": given.pop("event", ""), **context}
    # What a caller gives under a name of ours is kept under another one, and never stands in for ours.
    ours = {*head, *fields, "exception"}
    fields.update({f"field_{key}" if key in ours else str(key): value for key, value in given.items()})
    if error is not None:
        fields["exception"] = "".join(traceback.format_exception(error)).rstrip()
    line = {**head, **cleaner.attributes(fields)}
    line.pop(attr.SANITIZE_KEYS, None)  # a path or an exception as a field is no fault
    return line


def _exception(given: object) -> BaseException | None:
    """Return the exception out of what `exc_info` may be: true, an exception, or the triple."""
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        given = given[1]
        return given if isinstance(given, BaseException) else None
    return sys.exc_info()[1] if given else None


def as_json(line: Mapping[str, Any]) -> bytes:
    """Return the line as one line of UTF-8 JSON."""
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=_bytes_as_text)
    return _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def as_text(line: Mapping[str, Any], *, has_color: bool) -> str:
    """Return the line for a person: time, level, event, fields; control characters are shown, not obeyed."""
    level = str(line["level"])
    shown = f"{level:<8}"
    if has_color:
        shown = f"\x1b[{_COLORS.get(level, '0')}m{shown}\x1b[0m"
    fields = "".join(f" {key}={_shown(value)}" for key, value in line.items() if key not in _NOT_IN_TEXT)
    text = f"{str(line['timestamp'])[11:19]} {shown} {_visible(str(line['event']))}{_visible(fields)}"
    return f"{text}\n{_visible(str(line['exception']))}" if "exception" in line else text


def as_record(line: Mapping[str, Any], record: logging.LogRecord, resource: bytes) -> LogRecord:
    """Return the line as the store and OTLP know it; its logger is the scope, `resource` is serialized."""
    number, name = next((number, name) for level, number, name in _SEVERITIES if record.levelno >= level)
    attributes = {
        _ATTRIBUTES.get(key, key): value
        for key, value in line.items()
        if key not in _OWN and value is not None  # records keep to scalars and arrays
    }
    trace_id, span_id = _identifier(line.get("trace_id"), 16), _identifier(line.get("span_id"), 8)
    time_ns = int(record.created * 1e9)
    encoded = b"".join(
        (
            wire.fixed64(b"\x09", time_ns),
            wire.counted(b"\x10", number),
            wire.text(b"\x1a", name),
            wire.sized(b"\x2a", wire.any_value(line["event"])),
            wire.attributes(b"\x32", attributes),
            wire.sized(b"\x4a", trace_id) if trace_id else b"",
            wire.sized(b"\x52", span_id) if span_id else b"",
            wire.fixed64(b"\x59", time_ns),
        )
    )
    body = line["event"] if isinstance(line["event"], str) else _shown(line["event"])
    source = Source(resource, wire.text(b"\x0a", str(line["logger"])))
    return LogRecord(time_ns, number, name, None, body, attributes, trace_id, span_id, source, encoded)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  a foreign call with wrong arguments must not lose its line
        return f"{record.msg!r} (its arguments do not fit: {type(error).__name__})"


def _iso(seconds: float) -> str:
    whole, micro = divmod(int(seconds * 1e6), 10**6)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{micro:06}Z"


def _shown(value: Any) -> str:
    if isinstance(value, str) and value and " " not in value:
        return value
    return json.dumps(value, ensure_ascii=False, default=_bytes_as_text)


def _bytes_as_text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _visible(text: str) -> str:
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _identifier(value: object, size: int) -> bytes | None:
    if not isinstance(value, str) or len(value) != 2 * size:
        return None
    try:
        return bytes.fromhex(value)
    except ValueError:
        return None
