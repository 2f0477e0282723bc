"""The scripted provider: a real HTTP server that answers in order and keeps what it was asked."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING, Self, cast

from .answers import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Mapping[str, object]


class ScriptedProvider:
    """Speaks OpenAI (chat completions, embeddings) and Anthropic (messages); a context manager.

    Chat requests take the answers in order; one more than there are is a 410, which no client repeats.
    Embeddings are answered without a script, with vectors that depend on the text alone.
    """

    def __init__(self, answers: Sequence[Answer] = ()) -> None:
        self._answers = list(answers)
        self._lock = Lock()
        self.received: list[Received] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The base URL as Anthropic's client wants it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def openai_url(self) -> str:
        """The base URL as OpenAI's client wants it."""
        return f"{self.url}/v1"

    def answer(self, received: Received) -> Answer:
        with self._lock:
            self.received.append(received)
            if received.path == "/v1/embeddings":
                return _embed(received.body)
            if received.path not in {"/v1/chat/completions", "/v1/messages"}:
                return _error(404, f"no such path: {received.path}")
            return self._answers.pop(0) if self._answers else _error(410, "the script is at its end")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    provider: ScriptedProvider


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        provider = cast("_Server", self.server).provider
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = provider.answer(Received(self.path, headers, json.loads(data)))
        body = answer.body.encode()
        self.send_response(answer.status)
        for name, value in {"content-type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent: pytest shows what fails."""


def _error(status: int, text: str) -> Answer:
    return Answer(status, json.dumps({"error": {"type": "error", "message": text}}))


def _embed(request: Mapping[str, object]) -> Answer:
    given = request["input"]
    texts = given if isinstance(given, list) else [given]
    vectors = [_vector(str(text)) for text in texts]
    tokens = sum(len(str(text).split()) for text in texts)
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Answer(
        200, json.dumps({"object": "list", "data": data, "model": request["model"], "usage": usage})
    )


def _vector(text: str) -> list[float]:
    """Count the words by their checksum: equal texts are near, different ones are not."""
    counts = [0.0] * _DIMENSIONS
    for word in text.lower().split():
        counts[zlib.crc32(word.encode()) % _DIMENSIONS] += 1.0
    length = sum(count * count for count in counts) ** 0.5
    return [count / length for count in counts] if length else [1.0, *counts[1:]]
