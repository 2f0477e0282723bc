"""A real OTLP/HTTP sink on a free port: takes what a backend takes, and fails as backends fail.

Used in a test as `with OtlpSink() as sink`, or run as a process: `python -m tests.taskscope.otlp_sink` prints
its address; `GET /counts` tells what arrived, `POST /faults` scripts what goes wrong (a list of `Fault`).
With a ledger, a file, what is taken stands there before it is answered: the process may then be killed.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import gzip
import json
import socket
import ssl
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_PROTOBUF = "application/x-protobuf"
_KINDS: dict[str, tuple[Any, Any, str]] = {
    "/v1/traces": (ExportTraceServiceRequest, ExportTraceServiceResponse, "rejected_spans"),
    "/v1/logs": (ExportLogsServiceRequest, ExportLogsServiceResponse, "rejected_log_records"),
    "/v1/metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse, "rejected_data_points"),
}
_TAKING = {"partial", "taken_reset", "taken_torn"}
"""Faults of a sink that takes what came, or some of it."""
_LEDGER_HEAD = struct.Struct("<BI")
"""Which of the kinds, and how many bytes of the request follow."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """What goes wrong with a request; each is used `times` times, in the order in which they were given."""

    kind: str = "status"
    """status, partial, reset (before any answer), torn (half an answer), hang, drip, page, close,
    taken_reset, taken_torn (taken, and then a reset or half an answer)."""
    status: int = 503
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: str = ""
    content_type: str = "text/plain"
    rejected: int = 0
    """Of `partial`: so many records of the request are not taken."""
    times: int = 1
    paths: tuple[str, ...] = ("/v1/traces", "/v1/logs", "/v1/metrics")


@dataclasses.dataclass
class Arrived:
    """One request that was understood, and what became of it."""

    path: str
    headers: Mapping[str, str]
    size_bytes: int
    """After unpacking."""
    message: Any
    is_taken: bool


class OtlpSink:
    """The server; `certificate` and `key` make it speak TLS, `limit_bytes` answer 413 to larger requests."""

    def __init__(
        self,
        *,
        port: int = 0,
        limit_bytes: int | None = None,
        refuses: Callable[[Any], bool] | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        ledger: Path | None = None,
    ) -> None:
        self.limit_bytes = limit_bytes
        self._ledger = None if ledger is None else ledger.open("ab", buffering=0)
        self.refuses = refuses or (lambda _record: False)
        """Records because of which a request is answered with 400."""
        self.arrived: list[Arrived] = []
        self.attempts = 0
        self.is_ending = threading.Event()
        self._faults: collections.deque[Fault] = collections.deque()
        self._times_forgiven = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._server = _Server(("127.0.0.1", port), self)
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        with self._changed:
            self.is_ending.set()
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self._ledger is not None:
            self._ledger.close()

    def fail(self, *faults: Fault) -> None:
        """Let the next requests go wrong in this way, in this order."""
        with self._lock:
            self._faults.extend(fault for fault in faults for _ in range(fault.times))

    def forgive(self) -> None:
        """Let nothing more go wrong; requests that hang are broken off."""
        with self._changed:
            self._faults.clear()
            self._times_forgiven += 1
            self._changed.notify_all()

    def hold(self) -> None:
        """Wait until the sink ends or forgives."""
        with self._changed:
            before = self._times_forgiven
            self._changed.wait_for(lambda: self.is_ending.is_set() or self._times_forgiven != before)

    def next_fault(self, path: str) -> Fault | None:
        with self._changed:
            self.attempts += 1
            self._changed.notify_all()
            if self._faults and path in self._faults[0].paths:
                return self._faults.popleft()
            return None

    def take(self, arrived: Arrived) -> None:
        with self._changed:
            if self._ledger is None:
                self.arrived.append(arrived)
            elif arrived.is_taken:
                body = arrived.message.SerializeToString()
                self._ledger.write(_LEDGER_HEAD.pack(list(_KINDS).index(arrived.path), len(body)) + body)
            self._changed.notify_all()

    def wait_for(self, is_true: Callable[[OtlpSink], bool], timeout: float = 30.0) -> bool:
        """Wait until something holds of what arrived."""
        with self._changed:
            return self._changed.wait_for(lambda: is_true(self), timeout)

    # --- what arrived

    @property
    def spans(self) -> list[Any]:
        """All spans that were taken, twice where they came twice."""
        return [span for one in self._taken("/v1/traces") for span in records_of(one.message)]

    @property
    def logs(self) -> list[Any]:
        return [log for one in self._taken("/v1/logs") for log in records_of(one.message)]

    @property
    def metrics(self) -> list[Any]:
        return [metric for one in self._taken("/v1/metrics") for metric in records_of(one.message)]

    def counts(self) -> dict[str, Any]:
        """How often each span arrived, by its id, and how many log records and metrics."""
        with self._lock:
            return {
                "spans": dict(collections.Counter(span.span_id.hex() for span in self.spans)),
                "logs": len(self.logs),
                "metrics": len(self.metrics),
                "attempts": self.attempts,
            }

    def _taken(self, path: str) -> Iterable[Arrived]:
        return [one for one in self.arrived if one.path == path and one.is_taken]


def read_ledger(path: Path) -> Iterator[tuple[str, Any]]:
    """Path and message of each request that was taken, in their order; one cut short was never answered."""
    written = path.read_bytes()
    start = 0
    while start + _LEDGER_HEAD.size <= len(written):
        kind, size = _LEDGER_HEAD.unpack_from(written, start)
        start += _LEDGER_HEAD.size
        if start + size > len(written):
            return
        request_path, (request_type, _, _) = list(_KINDS.items())[kind]
        yield request_path, request_type.FromString(written[start : start + size])
        start += size


def records_of(message: Any) -> list[Any]:
    """The spans, log records or metrics of a request, in its order."""
    if isinstance(message, ExportTraceServiceRequest):
        return [
            span for group in message.resource_spans for scope in group.scope_spans for span in scope.spans
        ]
    if isinstance(message, ExportLogsServiceRequest):
        return [
            log for group in message.resource_logs for scope in group.scope_logs for log in scope.log_records
        ]
    return [
        metric
        for group in message.resource_metrics
        for scope in group.scope_metrics
        for metric in scope.metrics
    ]


def _leave_out(message: Any, count: int) -> None:
    """Take so many records out of a request, the last ones of its first group."""
    if count and isinstance(message, ExportTraceServiceRequest):
        del message.resource_spans[0].scope_spans[0].spans[-count:]
    elif count and isinstance(message, ExportLogsServiceRequest):
        del message.resource_logs[0].scope_logs[0].log_records[-count:]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sink: OtlpSink) -> None:
        self.sink = sink
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/counts":
            self._answer(200, json.dumps(self.server.sink.counts()).encode(), "application/json")
        else:
            self._answer(404, b"not here", "text/plain")

    def do_POST(self) -> None:
        sink = self.server.sink
        if sink.is_ending.is_set():  # a connection that was kept alive outlives the server
            self.close_connection = True
            return
        # Backends have it below a path of their own: /otlp/v1/logs, /api/v1/otlp/v1/metrics.
        self.path = self.path[max(self.path.rfind("/v1/"), 0) :]
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/faults":
            sink.fail(*(Fault(**{**fault, "paths": tuple(_KINDS)}) for fault in json.loads(raw)))
            self._answer(200, b"{}", "application/json")
            return
        fault = sink.next_fault(self.path)
        if fault is not None and fault.kind not in _TAKING:
            self._fail(fault)
            return
        if self.path not in _KINDS:
            self._answer(404, b"404 page not found", "text/plain")
            return
        self._take(raw, fault)

    def _take(self, raw: bytes, fault: Fault | None) -> None:
        sink = self.server.sink
        request_type, response_type, rejected_field = _KINDS[self.path]
        try:
            body = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
            message = request_type.FromString(body)
        except (OSError, EOFError, DecodeError):
            self._answer(400, b"this is no OTLP", "text/plain")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        arrived = Arrived(self.path, headers, len(body), message, is_taken=False)
        if sink.limit_bytes is not None and len(body) > sink.limit_bytes:
            sink.take(arrived)
            self._answer(413, b"too large", "text/plain")
            return
        if any(sink.refuses(record) for record in records_of(message)):
            sink.take(arrived)
            self._answer(400, b"a record is not to my liking", "text/plain")
            return
        response = response_type()
        if fault is not None and fault.kind == "partial":
            setattr(response.partial_success, rejected_field, fault.rejected)
            response.partial_success.error_message = fault.body
            _leave_out(message, fault.rejected)
        sink.take(dataclasses.replace(arrived, is_taken=True))
        if fault is not None and fault.kind == "taken_reset":
            self._reset()
            return
        if fault is not None and fault.kind == "taken_torn":
            self._tear()
            return
        self._answer(200, response.SerializeToString(), _PROTOBUF)

    def _answer(
        self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, fault: Fault) -> None:
        ending = self.server.sink.is_ending
        if fault.kind == "status":
            self._answer(fault.status, fault.body.encode(), fault.content_type, fault.headers)
        elif fault.kind == "page":
            self._answer(200, b"<!doctype html><title>It works</title>", "text/html; charset=utf-8")
        elif fault.kind == "reset":
            self._reset()
        elif fault.kind == "close":
            self.close_connection = True
        elif fault.kind == "torn":
            self._tear(fault.body)
        elif fault.kind == "hang":
            self.server.sink.hold()
            self.close_connection = True
        elif fault.kind == "drip":
            head = b"HTTP/1.1 200 OK\r\nX-Slow: "
            for byte in head + b"." * 10_000:
                self.wfile.write(bytes((byte,)))
                if ending.wait(0.02):
                    break
            self.close_connection = True

    def _tear(self, half: str = "") -> None:
        """End the connection amid the answer."""
        self.wfile.write((half or "HTTP/1.1 200 OK\r\nContent-Type: application/x-pro").encode())
        self.close_connection = True

    def _reset(self) -> None:
        """End the connection by a RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the standard library's
        pass


def main() -> None:
    """Serve until standard input is closed or the process is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--limit-bytes", type=int, default=None)
    parser.add_argument("--ledger", type=Path, default=None)
    options = parser.parse_args()
    with OtlpSink(port=options.port, limit_bytes=options.limit_bytes, ledger=options.ledger) as sink:
        print(sink.url, flush=True)  # noqa: T201  whoever started it reads this
        sys.stdin.read()


if __name__ == "__main__":
    main()
