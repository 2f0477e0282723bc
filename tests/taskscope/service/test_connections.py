"""Who holds a connection without a request is let go; who asks is answered, however often."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from taskscope.service.connections import HastyProtocol

from .services import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


class ImpatientProtocol(HastyProtocol):
    head_seconds = 0.05


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers each request with the length of its body."""
    size, message = 0, await receive()
    while True:
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
        message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


@contextmanager
def serving(protocol: type[HastyProtocol]) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    # With its protocol named asyncio sends at once; else each answer waits 40 ms for the other side's word.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        yield listener.getsockname()
        server.should_exit = True
        thread.join(PATIENCE_S)


@pytest.fixture(scope="module")
def impatient() -> Iterator[tuple[str, int]]:
    """The address of a server that waits for no head."""
    with serving(ImpatientProtocol) as address:
        yield address


@pytest.mark.parametrize("before", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: a"])
def test_a_head_that_does_not_come_ends_the_connection(impatient: tuple[str, int], before: bytes) -> None:
    """Before the first request, whatever stands there already, and after one that was answered."""
    for first in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        with socket.create_connection(impatient, PATIENCE_S) as connection:
            connection.sendall(first + before)
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
            assert answer.startswith(b"HTTP/1.1 200") == bool(first)


def test_who_asks_is_answered_on_one_connection() -> None:
    """A hundred requests, some of them at once, and a body that comes in parts."""
    with serving(HastyProtocol) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        for number in range(100):
            assert client.post("/", content=b"x" * number).text == str(number)
        assert client.post("/", content=iter([b"a", b"b"])).text == "2"
        with socket.create_connection((host, port), PATIENCE_S) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
            answer = b""
            while answer.count(b"HTTP/1.1 200") < 5:
                answer += connection.recv(4096)
