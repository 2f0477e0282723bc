"""OTLP over HTTP: request bodies out of stored bodies, never encoded again, and what an answer means.

Field numbers are those of opentelemetry-proto 1.x; how answers are to be read stands in the specification
(opentelemetry.io/docs/specs/otlp). Only the backend's own word counts: a web page with status 200 delivers
nothing.
"""

# ruff: noqa: PLR2004  the numbers are protobuf's and HTTP's

from __future__ import annotations

import enum
import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from taskscope.store import wire

from .http import Answer, ProxyError, TornAnswerError

if TYPE_CHECKING:
    from taskscope.store.outbox import Entry
    from taskscope.store.records import Source

    from .destinations import Endpoint

CONTENT_TYPE = "application/x-protobuf"
LONGEST_WAIT_S = 600.0
"""However long a server asks for."""

_MESSAGE_LIMIT = 300
_GRPC_PORT = 4317
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_RECORDS_FAULT = {400: "refused", 413: "too_large", 422: "refused"}
"""Status to why a record that is refused alone goes into quarantine."""
_LATER = {408, 425, 429}
_RECORD_HEADS = tuple(b"\x12" + wire.varint(size) for size in range(1024))
"""Tag and length of a record of so many bytes."""
_REJECTED = {"traces": "rejectedSpans", "logs": "rejectedLogRecords", "metrics": "rejectedDataPoints"}
_PLAIN_TO_TLS = "HTTP request to an HTTPS server"
"""How Go's server answers with 400 where TLS is spoken."""


def build_request(entries: Iterable[Entry], source_of: Callable[[int], Source]) -> bytes:
    """The request of a batch: bodies as they are stored, grouped by resource and scope.

    Traces and logs have the same frame: field 1 of the request; in it 1 the resource and 2 the scope's
    group; in that 1 the scope and 2 each record.
    """
    by_source: dict[int, list[bytes]] = {}
    for _, source_id, body in entries:
        records = by_source.get(source_id)
        if records is None:
            records = by_source[source_id] = []
        size = len(body)
        records.append(_RECORD_HEADS[size] if size < len(_RECORD_HEADS) else b"\x12" + wire.varint(size))
        records.append(body)
    groups: dict[bytes, list[bytes]] = {}
    for source_id, records in by_source.items():
        source = source_of(source_id)
        group = wire.sized(b"\x12", wire.sized(b"\x0a", source.scope) + b"".join(records))
        groups.setdefault(source.resource, []).append(group)
    return b"".join(
        wire.sized(b"\x0a", wire.sized(b"\x0a", resource) + b"".join(scopes))
        for resource, scopes in groups.items()
    )


class Verdict(enum.Enum):
    """What an answer means for the records that were sent."""

    TAKEN = "taken"
    RECORD = "record"
    """One of the records is not to its liking: it has to be found."""
    LATER = "later"
    """The same request may succeed at another time."""
    ENDPOINT = "endpoint"
    """It is no fault of the records, and a person has to do something."""


class Judgement(NamedTuple):
    """An answer, or its absence, understood."""

    verdict: Verdict
    problem: str = ""
    """In words for a person; empty when all is well."""
    error_type: str = ""
    """`error.type` of the request."""
    rejected: int = 0
    """Records that were not taken by a destination which took the others."""
    reason: str = "refused"
    """Why a record that is refused alone goes into quarantine."""
    wait_s: float | None = None
    """How long the server asked us to wait."""


def judge(answer: Answer, signal: str, endpoint: Endpoint) -> Judgement:
    """What an answer means."""
    status = answer.status
    if 200 <= status < 300:
        return _judge_success(answer, signal, endpoint)
    said = _read_message(answer)
    words = f"answers {status}" + (f": {said}" if said else "")
    if status in _LATER or status >= 500:
        wait_s = parse_retry_after(answer.headers.get("retry-after", ""))
        return Judgement(Verdict.LATER, words, str(status), wait_s=wait_s)
    if status in _RECORDS_FAULT and not _is_web_page(answer) and _PLAIN_TO_TLS not in said:
        return Judgement(Verdict.RECORD, words, str(status), reason=_RECORDS_FAULT[status])
    return Judgement(Verdict.ENDPOINT, f"{words}; {_advise(status, answer, endpoint)}", str(status))


def _judge_success(answer: Answer, signal: str, endpoint: Endpoint) -> Judgement:
    try:
        rejected, message = _read_partial_success(answer, signal)
    except (ValueError, TypeError, RecursionError):
        where = _advise_path(endpoint)
        words = f"answers {answer.status} with what is not OTLP ({_content_type(answer) or 'no type'})"
        return Judgement(Verdict.ENDPOINT, f"{words}; {where}", "not_otlp")
    problem = ""
    if rejected or message:
        said = _clean(message) or "it does not say why"
        problem = f"refused {rejected} of a batch: {said}" if rejected else f"warns: {said}"
    return Judgement(Verdict.TAKEN, problem, rejected=rejected)


def _read_partial_success(answer: Answer, signal: str) -> tuple[int, str]:
    """How many records were rejected and why; ValueError when this is not OTLP's answer."""
    if not answer.body:
        return 0, ""
    content_type = _content_type(answer)
    if content_type == "application/json":
        found: Any = json.loads(answer.body)
        partial = (found.get("partialSuccess") or {}) if isinstance(found, dict) else None
        if not isinstance(partial, dict):
            raise ValueError
        rejected = int(partial.get(_REJECTED[signal]) or 0)
        return max(rejected, 0), str(partial.get("errorMessage") or "")
    if content_type != CONTENT_TYPE:
        raise ValueError
    rejected, message = 0, ""
    for number, partial in wire.fields(answer.body):
        for field, value in wire.fields(partial, {1: 0}) if number == 1 else ():
            if field == 1:
                rejected = value if value < 1 << 63 else 0
            elif field == 2:
                message = value.decode(errors="replace")
    return rejected, message


def judge_error(error: Exception, endpoint: Endpoint) -> Judgement:
    """What it means that there is no answer."""
    url = urlsplit(endpoint.url)
    words = _explain(error)
    is_silent = isinstance(error, http.client.HTTPException | TornAnswerError | ConnectionError)
    if url.port == _GRPC_PORT and is_silent:
        words += "; 4317 is the port of OTLP over gRPC, which we do not speak: HTTP is on 4318"
    kind = "timeout" if isinstance(error, TimeoutError) else type(error).__qualname__
    is_lasting = isinstance(error, ssl.SSLError | ProxyError | FileNotFoundError)
    return Judgement(Verdict.ENDPOINT if is_lasting else Verdict.LATER, words, kind)


def _explain(error: Exception) -> str:
    for kind, words in _WORDS.items():
        if isinstance(error, kind):
            return words
    if isinstance(error, socket.gaierror):
        return f"its host is not known ({error.strerror})"
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error)
    if isinstance(error, ProxyError | TornAnswerError):
        return str(error)
    return _clean(f"{type(error).__name__}: {error}")


_WORDS: dict[type[Exception], str] = {
    ConnectionRefusedError: "nobody listens there",
    TimeoutError: "no answer in time",
    FileNotFoundError: "a certificate or key file of OTEL_EXPORTER_OTLP_* does not exist",
    http.client.BadStatusLine: "the answer is no HTTP, or the connection was closed without one",
    ConnectionError: "the connection was broken off",
}


def _explain_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(error, "verify_message", "")
        return f"its certificate is not trusted ({why}); OTEL_EXPORTER_OTLP_CERTIFICATE names the authority"
    reason = getattr(error, "reason", "")
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}:
        return "it does not speak TLS there; is it http:// and not https://?"
    return f"TLS failed ({reason or error})"


def _advise(status: int, answer: Answer, endpoint: Endpoint) -> str:
    if status in {401, 403}:
        return "check OTEL_EXPORTER_OTLP_HEADERS"
    if status == 407:
        return "the proxy wants credentials: http://USER:PASSWORD@HOST:PORT"
    if status == 415 and endpoint.is_compressed:
        return "perhaps it takes no gzip: OTEL_EXPORTER_OTLP_COMPRESSION=none"
    if 300 <= status < 400:
        target = _clean(answer.headers.get("location", ""))
        return f"redirects are not followed; set the endpoint that it leads to ({target or 'not told'})"
    if status == 400 and urlsplit(endpoint.url).scheme == "http":
        return "is it https:// and not http://?"
    return _advise_path(endpoint)


def _advise_path(endpoint: Endpoint) -> str:
    path = urlsplit(endpoint.url).path
    if endpoint.is_verbatim:
        return f"an endpoint for one signal is used as it is, here with the path {path!r}: is it complete?"
    if path.count("/v1/") > 1:
        return f"the path became {path!r}: the endpoint is a base, leave out its own /v1/..."
    return f"the endpoint is a base, and its path became {path!r}: is OTLP over HTTP there?"


def parse_retry_after(text: str) -> float | None:
    """Seconds that a server asks us to wait, from a number or a date; bounded, None without a sound one."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT_S)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError, OSError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_S)


def _read_message(answer: Answer) -> str:
    """What a server says against a request: of `google.rpc.Status`, as protobuf or JSON, or plain text."""
    content_type = _content_type(answer)
    try:
        if content_type == CONTENT_TYPE:
            found = [raw for number, raw in wire.fields(answer.body, {1: 0}) if number == 2]
            return _clean(found[0].decode(errors="replace")) if found else ""
        if content_type == "application/json":
            said = json.loads(answer.body)
            return (
                _clean(str(said.get("message") or said.get("error") or "")) if isinstance(said, dict) else ""
            )
    except (ValueError, RecursionError):
        return ""
    is_text = content_type == "text/plain"
    return _clean(answer.body[: 4 * _MESSAGE_LIMIT].decode(errors="replace")) if is_text else ""


def _is_web_page(answer: Answer) -> bool:
    return _content_type(answer) in {"text/html", "application/xhtml+xml"}


def _content_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _clean(text: str) -> str:
    """One line of bounded length."""
    line = _CONTROLS.sub(" ", text).strip()
    return line if len(line) <= _MESSAGE_LIMIT else line[: _MESSAGE_LIMIT - 3] + "..."
