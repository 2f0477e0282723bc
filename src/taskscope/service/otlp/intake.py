"""A request's body within bounds: its size, its time, what it decompresses to, and all bodies together.

A gibibyte of zeros is a megabyte of gzip (CVE-2024-36129): decompression ends at the limit, not after it.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import TYPE_CHECKING, Final

from taskscope.errors import RequestTooLargeError

from .answers import JSON, PROTOBUF

if TYPE_CHECKING:
    from starlette.requests import Request

BODY_LIMIT_BYTES: Final = 20 * 1024 * 1024
"""Of one body, as it comes and decompressed."""
BODY_SECONDS: Final = 10.0
"""In which a body has to come; who sends a byte a second holds a connection no longer than that."""
HELD_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""Of all bodies that are being read or wait for their turn."""
WAITING_LIMIT: Final = 64
"""Requests that are being read or wait for their turn."""
RATIO_LIMIT: Final = 250
"""Of a large body, decompressed to compressed: ids alone keep honest ones far below."""
_LARGE_BYTES: Final = 4 * 1024 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS

JSON_DEPTH_LIMIT: Final = 128
"""Brackets in brackets: a value of 32 levels in a span has 108, and `json.loads` ends at about 1,000."""
# Possessive, since backtracking into a long text would take memory for each of its characters.
_JSON_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class RefusedError(Exception):
    """A request that is answered with this status, before anything of it was understood."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def read_content_type(request: Request) -> str:
    """The encoding that a sender speaks; 415 for another one."""
    given = request.headers.getlist("content-type")
    kind = given[0].partition(";")[0].strip().lower() if len(given) == 1 else ""
    if kind not in {PROTOBUF, JSON}:
        msg = f"the Content-Type has to be {PROTOBUF} or {JSON}"
        raise RefusedError(415, msg)
    return kind


def read_is_gzip(request: Request) -> bool:
    """Whether a body is compressed; 415 for another coding than gzip, and for one inside of another."""
    codings = [
        one.strip().lower() for one in ",".join(request.headers.getlist("content-encoding")).split(",")
    ]
    codings = [one for one in codings if one not in {"", "identity"}]
    if codings not in ([], ["gzip"]):
        msg = "the Content-Encoding has to be gzip, once, or none"
        raise RefusedError(415, msg, Accept_Encoding="gzip")
    return bool(codings)


class Held:
    """The bodies that this process holds: their bytes and their number are bounded together."""

    def __init__(self, limit_bytes: int = HELD_LIMIT_BYTES, limit: int = WAITING_LIMIT) -> None:
        self._limit_bytes = limit_bytes
        self._limit = limit
        self._bytes = self._bodies = 0

    def enter(self) -> None:
        """Let a body in; 429 when there are as many as may be."""
        if self._bodies >= self._limit:
            raise _busy()
        self._bodies += 1

    def add(self, size_bytes: int) -> None:
        """Take more of a body; 429 when there is no room."""
        if self._bytes + size_bytes > self._limit_bytes:
            raise _busy()
        self._bytes += size_bytes

    def leave(self, size_bytes: int) -> None:
        """Let a body go, of which so many bytes were added."""
        self._bodies -= 1
        self._bytes -= size_bytes


def _busy() -> RefusedError:
    return RefusedError(429, "too many requests at once: try again", Retry_After="1")


async def read_body(request: Request, body: bytearray, held: Held, seconds: float = BODY_SECONDS) -> None:
    """Read a body into `body`, all of it counted in `held`; 413, 429 or 408 when it exceeds a bound.

    `ClientDisconnect` when the sender goes away meanwhile.
    """
    told = request.headers.get("content-length", "")
    if told.isdecimal() and len(told) < 20 and int(told) > BODY_LIMIT_BYTES:  # noqa: PLR2004  digits of 64 bits
        raise _too_large()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                held.add(len(chunk))
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    raise _too_large()
    except TimeoutError:
        msg = f"the body did not come within {seconds:.0f} s"
        raise RefusedError(408, msg) from None


def _too_large() -> RefusedError:
    return RefusedError(413, f"the body has more than {BODY_LIMIT_BYTES} bytes: send smaller requests")


def decompress(body: bytes | bytearray) -> bytes:
    """What a gzip body holds; ValueError when it is none, RequestTooLargeError beyond the bounds."""
    reader = zlib.decompressobj(_GZIP)
    try:
        plain = reader.decompress(body, BODY_LIMIT_BYTES + 1)
    except zlib.error as error:
        msg = f"the body is no gzip: {error}"
        raise ValueError(msg) from None
    if len(plain) > BODY_LIMIT_BYTES:
        msg = f"the body has more than {BODY_LIMIT_BYTES} bytes, decompressed: send smaller requests"
        raise RequestTooLargeError(msg)
    if not reader.eof or reader.unused_data:
        msg = "the gzip body is torn" if not reader.eof else "something stands behind the gzip body"
        raise ValueError(msg)
    if len(plain) > _LARGE_BYTES and len(plain) > RATIO_LIMIT * len(body):
        msg = f"the body is compressed by more than {RATIO_LIMIT}: send smaller requests"
        raise RequestTooLargeError(msg)
    return plain


def check_json_depth(body: bytes) -> None:
    """ValueError for JSON that is nested deeper than a parser of recursive descent should follow."""
    depth = 0
    for bracket in _JSON_TEXT.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > JSON_DEPTH_LIMIT:
            msg = f"the JSON is nested deeper than {JSON_DEPTH_LIMIT}"
            raise ValueError(msg)
