"""A webhook as Alertmanager calls it: keeps what it was told, in the order in which it came."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from collections.abc import Callable


class WebhookSink:
    """A real HTTP server on a free port; a context manager."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.alerts: list[dict[str, Any]] = []
        """Each alert of each message: status, labels, annotations."""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.sink = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def take(self, message: dict[str, Any]) -> None:
        with self._changed:
            self.alerts.extend(message["alerts"])
            self._changed.notify_all()

    def wait_for(self, is_true: Callable[[WebhookSink], bool], patience: float) -> bool:
        """Wait until something holds of what came."""
        with self._changed:
            return self._changed.wait_for(lambda: is_true(self), patience)

    def has_fired(self, name: str, labels: dict[str, str]) -> bool:
        """Whether an alert with these labels among its own was told of."""
        return any(one["status"] == "firing" for one in self._told_of(name, labels))

    def is_over(self, name: str, labels: dict[str, str]) -> bool:
        """Whether all that was told of it last is that it is resolved."""
        last = {
            json.dumps(one["labels"], sort_keys=True): one["status"] for one in self._told_of(name, labels)
        }
        return set(last.values()) == {"resolved"}

    def _told_of(self, name: str, labels: dict[str, str]) -> list[dict[str, Any]]:
        wanted = {"alertname": name, **labels}.items()
        return [one for one in self.alerts if wanted <= one["labels"].items()]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    sink: WebhookSink


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        cast("_Server", self.server).sink.take(json.loads(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent: pytest shows what fails."""
