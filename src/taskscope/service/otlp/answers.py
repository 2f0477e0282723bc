"""What a sender gets back, in the encoding that it spoke: `Export*ServiceResponse`, or `google.rpc.Status`.

By the OTLP specification 1.x, section OTLP/HTTP Response. Senders try again at 429, 502, 503 and 504 only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from fastapi.responses import Response

from taskscope.store import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
REJECTED: Final = {"traces": "rejectedSpans", "logs": "rejectedLogRecords", "metrics": "rejectedDataPoints"}
"""Signal to the name of the number in its partial success; field 1 in protobuf for all three."""
_CODES: Final = {400: 3, 401: 16, 403: 7, 408: 4, 413: 8, 415: 3, 429: 8, 503: 14}
"""HTTP status to the code of google.rpc that fits it best."""
_UNKNOWN: Final = 2


def accept(signal: str, content_type: str, rejected: int, message: str) -> Response:
    """The answer 200; a partial success where records were rejected or there is something to say."""
    if content_type == JSON:
        partial = {REJECTED[signal]: str(rejected), "errorMessage": message}  # 64 bits are texts in JSON
        return Response(json.dumps({"partialSuccess": partial} if message else {}), media_type=JSON)
    body = wire.counted(b"\x08", rejected) + wire.text(b"\x12", message)
    return Response(wire.sized(b"\x0a", body) if body else b"", media_type=PROTOBUF)


def refuse(
    status: int, message: str, content_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer of a request that failed as a whole."""
    code = _CODES.get(status, _UNKNOWN)
    if content_type == PROTOBUF:
        body = wire.counted(b"\x08", code) + wire.text(b"\x12", message)
        return Response(body, status, media_type=PROTOBUF, headers=headers)
    return Response(json.dumps({"code": code, "message": message}), status, media_type=JSON, headers=headers)
