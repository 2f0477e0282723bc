"""What went wrong, as problem JSON (RFC 9457) with the request's trace id; no text of a foreign exception."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from .ascii_json import AsciiJSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"


def current_trace_id() -> str | None:
    """Return the trace id of the request in 32 hex digits, None where it is not traced."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> AsciiJSONResponse:
    """Return the answer of a request that failed: status, its title, what was wrong, the trace id."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "trace_id": current_trace_id(),
        **more,
    }
    return AsciiJSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)
