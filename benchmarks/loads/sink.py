"""A backend that takes OTLP/HTTP and answers 200 at once; GET tells how many spans it got.

It prints its address and serves until it is terminated. Decoding waits for the question, so that it takes no
time from what is measured.
"""

from __future__ import annotations

import gzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies: ClassVar[list[tuple[bool, bytes]]] = []
    counted: ClassVar[int] = 0
    traces: ClassVar[int] = 0
    """Of Datadog's protocol, which says their number in a header."""

    def do_POST(self) -> None:
        """Take a batch, of OTLP or of Datadog's agent."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/v1/traces"):
            self.bodies.append((self.headers.get("Content-Encoding") == "gzip", body))
        _Handler.traces += int(self.headers.get("X-Datadog-Trace-Count", 0))
        self._reply(b"{}" if self.path.startswith("/v0.") else b"")

    def do_GET(self) -> None:
        """Tell how many spans arrived since the start; `/traces`: how many traces of Datadog's."""
        if self.path == "/traces":
            self._reply(str(self.traces).encode())
            return
        if self.path != "/":
            self.send_error(404)
            return
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        while self.bodies:
            is_packed, body = self.bodies.pop()
            request = ExportTraceServiceRequest.FromString(gzip.decompress(body) if is_packed else body)
            _Handler.counted += sum(
                len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans
            )
        self._reply(str(self.counted).encode())

    def _reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
