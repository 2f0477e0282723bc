"""Who may ask: this machine, no page of another site, and for more than numbers who holds the token.

Loopback is no border: a web page can make a browser talk to it, under another name too (DNS rebinding). So
Host and Origin are checked on every route, and every route needs the token unless it is named here.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import os
import re
import secrets
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from taskscope.errors import StoreError, UsageError
from taskscope.telemetry.context import request as request_context

from .otlp.answers import JSON, PROTOBUF, refuse
from .otlp.intake import BODY_SECONDS
from .problems import problem

if TYPE_CHECKING:
    from fastapi.responses import JSONResponse, Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/metrics", "/openapi.json", "/health/live", "/health/ready", "/health/startup")
"""What needs no token: numbers and states, never content."""
INTAKE_PATHS = ("/v1/traces", "/v1/logs", "/v1/metrics")
"""Where programs of this machine hand in OTLP: without the token, as no SDK could be told one by default.

Who is connected from elsewhere, or through something that forwards, needs it.
"""
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
BODY_LIMIT_BYTES = 256 * 1024
"""A task's text has 64 KiB at most, in JSON perhaps twice that."""
JSON_DEPTH_LIMIT = 32

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_JSON_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_JSON_BRACKET = re.compile(rb"[\[\]{}]")


def load_token(path: Path) -> str:
    """Return the bearer token of this home; made at the first call, readable by its owner alone.

    StoreError when it can be neither read nor made.
    """
    try:
        if not path.exists():
            _make_token(path)
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read or make the token {str(path)!r}: {type(error).__name__}; remove it and try again"
        raise StoreError(msg) from error
    if not token:
        msg = f"the token {str(path)!r} is empty: remove it, and the next `serve` makes a new one"
        raise StoreError(msg)
    return token


def _make_token(path: Path) -> None:
    """Write a file of our own and link it: of two who begin at once, both get the token of the first."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_urlsafe(32) + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def refuse_open_host(host: str) -> None:
    """Raise UsageError for an address that others on the network reach: there is no TLS here."""
    if not is_loopback(host):
        msg = (
            f"METRICS_HOST {host!r} is refused: without TLS only this machine may ask; "
            "use 127.0.0.1, ::1 or localhost, and a tunnel or a proxy for others"
        )
        raise UsageError(msg)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its own address, or `localhost`; no other name is looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """The ASGI middleware through which every request passes, and each answer gets its headers."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on with the request's id in the context."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message, request_id)
            await send(message)

        refusal: Response | None = None
        refused = self._refuse(scope, headers)
        if refused is not None:
            refusal = _in_words_of_otlp(refused, headers) if scope["path"] in INTAKE_PATHS else refused
        if (
            refusal is None and scope["path"] not in INTAKE_PATHS
        ):  # it reads its bodies within bounds of its own
            body, refusal = await _read_body(receive)
            receive = _replay(body, receive)
        with request_context(request_id):
            await (refusal or self._app)(scope, receive, answer)

    def _refuse(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not is_loopback(_host_of(f"//{hosts[0]}")):
            return problem(403, "the Host header has to name this machine: localhost, 127.0.0.1 or [::1]")
        origins = headers.getlist("origin")
        if any(_read_origin(origin) != ("http", hosts[0].lower()) for origin in origins):
            return problem(403, "a page of another origin may not ask")
        is_open = scope["path"] in OPEN_PATHS or (scope["path"] in INTAKE_PATHS and _is_near(scope, headers))
        if not is_open and not self._has_token(headers):
            detail = "the token of $AGENT_HOME/token is needed, as Authorization: Bearer TOKEN"
            return problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        return None

    def _has_token(self, headers: Headers) -> bool:
        given = headers.getlist("authorization")
        scheme, _, value = (given[0] if len(given) == 1 else "").partition(" ")
        is_equal = hmac.compare_digest(value.strip().encode(), self._token)
        return is_equal and scheme.lower() == "bearer"


def _in_words_of_otlp(refusal: JSONResponse, headers: Headers) -> Response:
    """Return a problem as the status that senders of OTLP read."""
    kind = PROTOBUF if headers.get("content-type", "").startswith(PROTOBUF) else JSON
    told = {name: value for name, value in refusal.headers.items() if name == "www-authenticate"}
    return refuse(refusal.status_code, json.loads(bytes(refusal.body))["detail"], kind, told)


def _is_near(scope: Scope, headers: Headers) -> bool:
    """Whether a request comes from this machine, and from nobody further away through it."""
    client = scope.get("client")
    is_local = client is not None and is_loopback(client[0])
    return is_local and not any(name in headers for name in _FORWARDED)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # an unclosed bracket
        return ""


def _read_origin(origin: str) -> tuple[str, str] | None:
    """Return scheme and host with port of an origin, None for one that is none (`null`)."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return (parts.scheme, parts.netloc.lower()) if parts.netloc and not parts.path else None


def _request_id(headers: Headers) -> str:
    """Return the caller's `X-Request-Id` if it is a plain word, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _add_headers(message: Message, request_id: str) -> None:
    headers = MutableHeaders(scope=message)
    headers["X-Request-Id"] = request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cache-Control"] = "no-store"


async def _read_body(receive: Receive) -> tuple[bytes, JSONResponse | None]:
    """Return the whole body within its bounds; a nested bomb would end a parser of recursive descent."""
    body = bytearray()
    is_whole = False
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while not is_whole:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > BODY_LIMIT_BYTES:
                    return b"", problem(413, f"the body has more than {BODY_LIMIT_BYTES} bytes")
                is_whole = not message.get("more_body", False)
    except TimeoutError:
        return b"", problem(408, f"the body did not come within {BODY_SECONDS:.0f} s")
    if _depth(bytes(body)) > JSON_DEPTH_LIMIT:
        return b"", problem(400, f"the JSON is nested deeper than {JSON_DEPTH_LIMIT}")
    return bytes(body), None


def _depth(body: bytes) -> int:
    """Return how deep the brackets outside of texts are nested."""
    depth = deepest = 0
    for bracket in _JSON_BRACKET.finditer(_JSON_TEXT.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that hands out the body that was read, then what comes from the server."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replaying() -> Message:
        return left.pop() if left else await receive()

    return replaying
