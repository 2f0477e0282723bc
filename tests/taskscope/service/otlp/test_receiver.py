"""The routes of OTLP on a real service: what is taken, what is refused, in which words and at which cost."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from benchmarks.memory import peak_bytes
from taskscope.service.otlp.intake import BODY_LIMIT_BYTES
from taskscope.store.history import open_history
from taskscope.store.wire import fields
from tests.taskscope.service.services import environment, wait_until

from .requests import JSON, PROTOBUF, logs, make_log, make_span, metrics, pack, to_json, traces

if TYPE_CHECKING:
    import httpx
    from google.protobuf.message import Message

    from tests.taskscope.service.services import Service

SIGNALS: dict[str, Any] = {
    "/v1/traces": (traces, ExportTraceServiceResponse),
    "/v1/logs": (logs, ExportLogsServiceResponse),
    "/v1/metrics": (metrics, ExportMetricsServiceResponse),
}


def post(service: Service, path: str, content: bytes, kind: str = PROTOBUF, **headers: str) -> httpx.Response:
    given = {"Content-Type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}
    return service.client.post(path, content=content, headers=given)


def read_status(answer: httpx.Response) -> tuple[int, str]:
    """Code and message of a google.rpc.Status, in either encoding."""
    if answer.headers["content-type"] == JSON:
        body = answer.json()
        assert set(body) == {"code", "message"}
        return body["code"], body["message"]
    assert answer.headers["content-type"] == PROTOBUF
    found = dict(fields(answer.content, {1: 0}))
    return found[1], found[2].decode()


def stored(service: Service, name: str) -> list[Any]:
    """The bodies of all spans of this name."""
    with closing(open_history(service.home / "taskscope.db")) as history:
        rows = history.connection.execute("SELECT body FROM span ORDER BY seq").fetchall()
    return [body for (body,) in rows if f"{name}".encode() in body]


@pytest.mark.parametrize("path", SIGNALS)
def test_the_answer_speaks_the_language_of_the_request(service: Service, path: str) -> None:
    """An empty Export*ServiceResponse in protobuf, compressed or not, and in JSON."""
    make, response = SIGNALS[path]
    request: Message = make()
    for answer in (
        post(service, path, request.SerializeToString()),
        service.client.post(path, **pack(request)),
        post(service, path, request.SerializeToString(), Content_Encoding="identity"),
        post(service, path, b"", f"{PROTOBUF}; charset=binary"),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF)
        assert response.FromString(answer.content) == response()
    answer = post(service, path, json.dumps(to_json(request)).encode(), f"{JSON}; charset=utf-8")
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, JSON, {})


def test_what_is_answered_with_200_is_in_the_store(service: Service) -> None:
    """By the time of the answer, for anybody who opens the store."""
    for number in range(20):
        name = f"told in time {number:03}"
        assert service.client.post("/v1/traces", **pack(traces(make_span(100 + number, name)))).is_success
        assert len(stored(service, name)) == 1


def test_json_and_protobuf_make_the_same_record(service: Service) -> None:
    """But for its id, which tells them apart."""
    for number, kind in ((200, PROTOBUF), (201, JSON)):
        request = traces(make_span(number, "the same", {"a": [1, True, b"x"], "b": {"c": 2**60}}))
        content = request.SerializeToString() if kind == PROTOBUF else json.dumps(to_json(request)).encode()
        assert post(service, "/v1/traces", content, kind).is_success
    one, two = stored(service, "the same")
    assert one.replace((200).to_bytes(8), (201).to_bytes(8)) == two


def test_a_refused_span_is_told_as_partial_success(service: Service) -> None:
    """200, how many and why, in both encodings; what is good is stored."""
    request = traces(make_span(span_id=b""), make_span(300, "good one"), make_span(start_time_unix_nano=0))
    answer = ExportTraceServiceResponse.FromString(service.client.post("/v1/traces", **pack(request)).content)
    assert answer.partial_success.rejected_spans == 2
    assert "1 refused: a span without start or end" in answer.partial_success.error_message
    shown = post(service, "/v1/traces", json.dumps(to_json(request)).encode(), JSON).json()
    assert shown == {
        "partialSuccess": {
            "rejectedSpans": "2",
            "errorMessage": answer.partial_success.error_message,
        }
    }
    assert len(stored(service, "good one")) == 1


def test_refused_log_records_and_points_are_told_by_their_own_names(service: Service) -> None:
    """As rejectedLogRecords and rejectedDataPoints."""
    late = json.dumps(to_json(logs(make_log(time_unix_nano=(1 << 63) - 1)))).encode()
    assert post(service, "/v1/logs", late, JSON).json()["partialSuccess"]["rejectedLogRecords"] == "1"
    point = {"name": "n", "gauge": {"dataPoints": [{"asInt": 1}]}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [point]}]}]}
    answer = post(service, "/v1/metrics", json.dumps(body).encode(), JSON).json()
    assert answer["partialSuccess"]["rejectedDataPoints"] == "1"


GOOD = traces(make_span()).SerializeToString()
DEEP = b'{"resourceSpans":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
SPOILT: dict[str, tuple[bytes, str, dict[str, str]]] = {
    "torn protobuf": (GOOD[:-3], PROTOBUF, {}),
    "a web page": (b"<html><body>hello</body></html>", PROTOBUF, {}),
    "no JSON": (b"{", JSON, {}),
    "no object": (b"[]", JSON, {}),
    "no UTF-8": (b'{"a": "\xff"}', JSON, {}),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), JSON, {}),
    "a text as id": (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"zz"}]}]}]}', JSON, {}),
    "5,000 levels": (b"[" * 5_000 + b"]" * 5_000, JSON, {}),
    "10,000 levels that never end": (b'{"a":' * 10_000, JSON, {}),
    "10,000 levels in a request": (DEEP, JSON, {}),
    "a number of a million digits": (b'{"a": ' + b"9" * 1_000_000 + b"}", JSON, {}),
    "no gzip": (GOOD, PROTOBUF, {"Content_Encoding": "gzip"}),
    "torn gzip": (gzip.compress(GOOD)[:-4], PROTOBUF, {"Content_Encoding": "gzip"}),
    "wrong checksum": (gzip.compress(GOOD)[:-8] + bytes(8), PROTOBUF, {"Content_Encoding": "gzip"}),
    "two gzips": (gzip.compress(GOOD) * 2, PROTOBUF, {"Content_Encoding": "gzip"}),
    "gzip in gzip": (gzip.compress(gzip.compress(GOOD)), PROTOBUF, {"Content_Encoding": "gzip"}),
    "zlib": (zlib.compress(GOOD), PROTOBUF, {"Content_Encoding": "gzip"}),
    "an empty body as gzip": (b"", PROTOBUF, {"Content_Encoding": "gzip"}),
}


@pytest.mark.parametrize("content, kind, headers", SPOILT.values(), ids=SPOILT)
def test_what_cannot_be_decoded_is_told(
    service: Service, content: bytes, kind: str, headers: dict[str, str]
) -> None:
    """400 and a google.rpc.Status with INVALID_ARGUMENT, in the request's own encoding."""
    answer = post(service, "/v1/traces", content, kind, **headers)
    code, message = read_status(answer)
    assert (answer.status_code, answer.headers["content-type"], code) == (400, kind, 3)
    assert message


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_what_a_form_can_send_is_no_otlp(service: Service, kind: str) -> None:
    """415: only types that a browser asks leave for, and which no form has."""
    answer = post(service, "/v1/traces", GOOD, kind)
    assert (answer.status_code, read_status(answer)[0]) == (415, 3)


@pytest.mark.parametrize(
    "coding", ["zstd", "deflate", "br", "snappy", "gzip, gzip", "gzip,identity,gzip", "x"]
)
def test_no_other_coding_is_read(service: Service, coding: str) -> None:
    """415, and which one is."""
    answer = post(service, "/v1/traces", gzip.compress(GOOD), Content_Encoding=coding)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip")


def zeros(size_bytes: int) -> bytes:
    """As many zeros, compressed."""
    packer = zlib.compressobj(9, wbits=31)
    chunk = bytes(1 << 24)
    return b"".join([*(packer.compress(chunk) for _ in range(size_bytes >> 24)), packer.flush()])


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the kernel does not tell a process's peak"
)
def test_a_bomb_does_not_go_off(service: Service) -> None:
    """256 MiB in a quarter of one are a 413, and take less than 100 MB, however often they come."""
    bomb, before = zeros(1 << 28), peak_bytes(service.process.pid)
    assert len(bomb) < 500_000
    for kind in (PROTOBUF, JSON):
        answer = post(service, "/v1/traces", bomb, kind, Content_Encoding="gzip")
        assert (answer.status_code, read_status(answer)[0]) == (413, 8)
    assert peak_bytes(service.process.pid) - before < 100_000_000


def test_a_large_body_that_is_nearly_nothing_is_refused(service: Service) -> None:
    """Below the limit of size: a ratio of a thousand is no telemetry."""
    answer = post(service, "/v1/traces", zeros(16 << 20), Content_Encoding="gzip")
    assert (answer.status_code, read_status(answer)[1]) == (
        413, "the body is compressed by more than 250: send smaller requests",
    )  # fmt: skip


@pytest.mark.parametrize("is_told", [True, False])
def test_a_body_beyond_the_limit_is_refused(service: Service, is_told: bool) -> None:
    """By its length where that is told, else when it is reached."""
    body = bytes(BODY_LIMIT_BYTES + 1)
    content = body if is_told else iter([body[:-5], body[-5:]])
    answer = service.client.post("/v1/traces", content=content, headers={"Content-Type": PROTOBUF})
    assert (answer.status_code, read_status(answer)[0]) == (413, 8)


def test_a_fat_span_costs_no_other_one(service: Service) -> None:
    """An attribute of 10 MB is cut; the spans beside it are whole."""
    request = traces(
        make_span(400, "fat", {"prompt": "lorem ipsum " * 900_000}), make_span(401, "slim neighbour")
    )
    answer = post(service, "/v1/traces", request.SerializeToString())
    assert (answer.status_code, answer.content) == (200, b"")
    (fat,), (slim,) = stored(service, "lorem"), stored(service, "slim neighbour")
    assert len(fat) < 70_000
    assert len(slim) < 200


def test_another_method_and_another_path_are_told(service: Service) -> None:
    """405 and 404, as anywhere."""
    assert service.ask("GET", "/v1/traces").status_code == 405
    assert service.ask("POST", "/v1/profiles").status_code == 404


@pytest.mark.parametrize("path", SIGNALS)
def test_a_page_of_another_origin_writes_nothing(service: Service, path: str) -> None:
    """403 and a google.rpc.Status with PERMISSION_DENIED; a browser that asks before gets no leave."""
    for origin in ("http://evil.example", "null", "https://127.0.0.1"):
        answer = post(service, path, GOOD, Origin=origin)
        assert (answer.status_code, read_status(answer)[0]) == (403, 7)
        asked = service.client.options(
            path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
        )
        assert asked.status_code == 403
        assert "access-control-allow-origin" not in asked.headers


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_what_was_forwarded_needs_the_token(service: Service, header: str) -> None:
    """It comes from beyond this machine, through something on it."""
    headers = {header: "10.0.0.5", "Content-Type": PROTOBUF}
    answer = service.client.post("/v1/traces", content=GOOD, headers=headers)
    assert (answer.status_code, read_status(answer)[0]) == (401, 16)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert service.ask("POST", "/v1/traces", content=GOOD, headers=headers).status_code == 200


def test_the_receiver_does_not_record_itself(service: Service) -> None:
    """Requests of OTLP leave no span and no line in the log: sent on to itself, they would never end."""
    ask_and_wait(service)
    before = {path: stored(service, path) for path in SIGNALS}  # of requests whose Host is none
    for _ in range(10):
        assert service.client.post("/v1/traces", **pack(traces())).is_success
    ask_and_wait(service)
    with closing(open_history(service.home / "taskscope.db")) as history:
        lines = [str(line.body) for line in history.logs()]
    for path in SIGNALS:
        assert [line for line in lines if path in line] == []
        assert stored(service, path) == before[path]


def ask_and_wait(service: Service) -> None:
    """Make a request that leaves a span and a line, and wait for both: those before it are there by then."""
    before = count(service)
    service.ask("GET", "/tasks")
    wait_until(lambda: count(service), lambda now: now[0] > before[0] and now[1] > before[1])


def count(service: Service) -> tuple[int, int]:
    """Spans of requests and their lines in the log."""
    with closing(open_history(service.home / "taskscope.db")) as history:
        lines = sum("/tasks" in str(line.body) for line in history.logs())
    return len(stored(service, "GET /tasks")), lines


def test_other_programs_see_it_at_once(service: Service) -> None:
    """`show` by the trace's id, in a process of its own."""
    service.client.post("/v1/traces", **pack(traces(make_span(500, "seen", trace_id=b"\xfe" * 16))))
    command = [sys.executable, "-m", "taskscope", "show", "fefefe"]
    shown = subprocess.run(command, env=environment(service.home), capture_output=True, text=True, check=True)
    assert "✓ seen  1.00 s" in shown.stdout
