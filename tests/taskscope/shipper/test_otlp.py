"""Request bodies out of stored bodies, and what an answer means."""

from __future__ import annotations

import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import RemoteDisconnected
from typing import Any

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from taskscope.shipper.destinations import Endpoint
from taskscope.shipper.http import Answer, TornAnswerError
from taskscope.shipper.otlp import Verdict, build_request, judge, judge_error, parse_retry_after
from taskscope.store import wire
from taskscope.store.outbox import Entry
from taskscope.store.records import Source
from tests.taskscope.store.builders import make_span

BASE = Endpoint(url="http://c:4318/v1/traces")
OWN = Endpoint(url="https://c/custom", is_verbatim=True)


def answer(status: int, body: bytes = b"", content_type: str = "", **headers: str) -> Answer:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"content-type": content_type, **more}, body)


def test_a_request_is_what_upstream_reads() -> None:
    """Bodies stand in it byte for byte, each resource and each scope once, their records in order."""
    sources = {
        number: Source(wire.attributes(b"\x0a", {"service.name": resource}), wire.text(b"\x0a", scope))
        for number, (resource, scope) in enumerate([("a", "x"), ("b", "x"), ("a", "y"), ("", "")])
    }
    records = [make_span(f"span {index}") for index in range(8)]
    entries = [Entry(index, index % 4, record.body) for index, record in enumerate(records)]
    message = ExportTraceServiceRequest.FromString(build_request(entries, sources.__getitem__))
    found = {
        (
            "".join(attribute.value.string_value for attribute in group.resource.attributes),
            scope.scope.name,
        ): [span.name for span in scope.spans]
        for group in message.resource_spans
        for scope in group.scope_spans
    }
    assert found == {
        ("a", "x"): ["span 0", "span 4"],
        ("b", "x"): ["span 1", "span 5"],
        ("a", "y"): ["span 2", "span 6"],
        ("", ""): ["span 3", "span 7"],
    }
    assert len(message.resource_spans) == 3
    (first, *_) = message.resource_spans[0].scope_spans[0].spans
    assert first == Span.FromString(records[0].body)


@pytest.mark.parametrize(
    "said",
    [
        answer(200),
        answer(202),
        answer(204),
        answer(200, ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf"),
        answer(200, b"{}", "application/json"),
        answer(200, b'{"partialSuccess": {}}', "application/json; charset=utf-8"),
        answer(200, b'{"partialSuccess": null}', "application/json"),
    ],
)
def test_a_yes_is_a_yes(said: Answer) -> None:
    """OTLP's answer as protobuf, as JSON, or none at all."""
    found = judge(said, "traces", BASE)
    assert (found.verdict, found.problem, found.rejected) == (Verdict.TAKEN, "", 0)


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "application/json"])
def test_a_partial_success_is_read(content_type: str) -> None:
    """How many were rejected, and why."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 3
    response.partial_success.error_message = "too old"
    body = response.SerializeToString()
    if "json" in content_type:  # 64 bit numbers are texts in OTLP's JSON
        body = json.dumps({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}).encode()
    found = judge(answer(200, body, content_type), "traces", BASE)
    assert (found.verdict, found.rejected) == (Verdict.TAKEN, 3)
    assert "too old" in found.problem


def test_a_warning_is_no_rejection() -> None:
    """A message without rejected records is told, and counts nothing."""
    response = ExportTraceServiceResponse()
    response.partial_success.error_message = "use another field"
    found = judge(answer(200, response.SerializeToString(), "application/x-protobuf"), "traces", BASE)
    assert (found.verdict, found.rejected) == (Verdict.TAKEN, 0)
    assert "use another field" in found.problem


@pytest.mark.parametrize(
    "said",
    [
        answer(200, b"<html>It works", "text/html; charset=utf-8"),
        answer(200, b"OK", "text/plain"),
        answer(200, b"OK"),
        answer(200, b"[" * 100_000, "application/json"),
        answer(200, b"[]", "application/json"),
        answer(200, b'{"partialSuccess": 3}', "application/json"),
        answer(200, b'{"partialSuccess": {"rejectedSpans": "many"}}', "application/json"),
        answer(200, b"\x0a\xff", "application/x-protobuf"),
    ],
)
def test_what_is_not_otlp_delivers_nothing(said: Answer) -> None:
    """Whatever its status says."""
    found = judge(said, "traces", BASE)
    assert found.verdict is Verdict.ENDPOINT
    assert "not OTLP" in found.problem
    assert "/v1/traces" in found.problem


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_some_refusals_are_for_now(status: int) -> None:
    """The same request may succeed later."""
    found = judge(answer(status, retry_after="7"), "traces", BASE)
    assert (found.verdict, found.wait_s, found.error_type) == (Verdict.LATER, 7.0, str(status))


@pytest.mark.parametrize("status, reason", [(400, "refused"), (413, "too_large"), (422, "refused")])
def test_some_refusals_are_of_a_record(status: int, reason: str) -> None:
    """And say why, as protobuf, JSON or text."""
    bodies = [
        (Status(code=3, message="bad span").SerializeToString(), "application/x-protobuf"),
        (b'{"code": 3, "message": "bad span"}', "application/json"),
        (b"bad span\n", "text/plain"),
    ]
    for body, content_type in bodies:
        found = judge(answer(status, body, content_type), "traces", BASE)
        assert (found.verdict, found.reason) == (Verdict.RECORD, reason)
        assert found.problem == f"answers {status}: bad span"


@pytest.mark.parametrize(
    "said, endpoint, advice",
    [
        (answer(401), BASE, "OTEL_EXPORTER_OTLP_HEADERS"),
        (answer(403), BASE, "OTEL_EXPORTER_OTLP_HEADERS"),
        (answer(404), BASE, "'/v1/traces'"),
        (answer(404), Endpoint(url="http://c/v1/traces/v1/traces"), "leave out its own /v1/"),
        (answer(404), OWN, "is used as it is, here with the path '/custom'"),
        (answer(405), BASE, "OTLP over HTTP"),
        (answer(307, location="https://elsewhere/v1/traces"), BASE, "https://elsewhere/v1/traces"),
        (answer(301), BASE, "not followed"),
        (answer(407), BASE, "proxy"),
        (answer(415), BASE, "OTEL_EXPORTER_OTLP_COMPRESSION=none"),
        (answer(400, b"<html>400 The plain HTTP request", "text/html"), BASE, "https://"),
        (answer(400, b"Client sent an HTTP request to an HTTPS server.\n", "text/plain"), BASE, "https://"),
    ],
)
def test_some_refusals_need_a_person(said: Answer, endpoint: Endpoint, advice: str) -> None:
    """They are no fault of the records, and the sentence says what to do."""
    found = judge(said, "traces", endpoint)
    assert found.verdict is Verdict.ENDPOINT
    assert advice in found.problem


@pytest.mark.parametrize(
    "error, words",
    [
        (ConnectionRefusedError(111, "refused"), "nobody listens"),
        (TimeoutError("slow"), "no answer in time"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (RemoteDisconnected("closed"), "closed without"),
        (ConnectionResetError(104, "Connection reset by peer"), "broken off"),
        (TornAnswerError("the answer ended before it was complete"), "before it was complete"),
        (ssl.SSLError(1, "[SSL] odd"), "TLS failed"),
        (ValueError("some \x1b[31m text" + "x" * 1000), "ValueError: some  [31m text"),
    ],
)
def test_no_answer_is_told_in_words(error: Exception, words: str) -> None:
    """One line of bounded length."""
    found = judge_error(error, BASE)
    assert words in found.problem
    assert len(found.problem) < 400
    assert "\x1b" not in found.problem


def test_the_port_of_grpc_is_hinted_at() -> None:
    """A server that hangs up on HTTP at port 4317 speaks gRPC."""
    endpoint = Endpoint(url="http://c:4317/v1/traces")
    assert "4318" in judge_error(RemoteDisconnected("closed"), endpoint).problem
    assert "4318" not in judge_error(RemoteDisconnected("closed"), BASE).problem


@pytest.mark.parametrize(
    "text, seconds",
    [("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("86400", 600.0), ("9" * 400, 600.0)],
)
def test_retry_after_may_be_seconds(text: str, seconds: float) -> None:
    """Bounded, however large."""
    assert parse_retry_after(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "\u0663", "Fri, 31 Foo 2026", "nan"])
def test_a_wrong_retry_after_is_none(text: str) -> None:
    """Then our own backoff counts."""
    assert parse_retry_after(text) is None


def test_retry_after_may_be_a_date() -> None:
    """One that is past means now, one far away the bound."""
    now = datetime.now(UTC)

    def said(delta: timedelta) -> Any:
        return parse_retry_after(format_datetime(now + delta, usegmt=True))

    assert said(timedelta(hours=-1)) == 0.0
    assert said(timedelta(days=9)) == 600.0
    assert 0 < said(timedelta(seconds=100)) <= 100
