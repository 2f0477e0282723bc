"""Bodies within their bounds: those that come slowly, all at once, or from further away."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.requests import Request

from taskscope.bootstrap import build_runtime
from taskscope.config import load_settings
from taskscope.health.monitor import HealthMonitor
from taskscope.service.app import build_app
from taskscope.service.otlp.intake import (
    BODY_LIMIT_BYTES,
    JSON_DEPTH_LIMIT,
    Held,
    RefusedError,
    check_json_depth,
    read_body,
)
from taskscope.service.otlp.receiver import Receiver
from taskscope.store.aggregates import read_aggregates
from taskscope.store.database import open_database
from tests.taskscope.otel_globals import fresh_otel
from tests.taskscope.store.builders import values_of

from .requests import PROTOBUF, make_span, pack, traces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from fastapi import FastAPI

    from taskscope.bootstrap import Runtime


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with fresh_otel():
        made = build_runtime(load_settings(tmp_path, {"AGENT_HOME": str(tmp_path / "home")}))
        yield made
        made.close(10)


@pytest.fixture
def app(runtime: Runtime) -> Iterator[FastAPI]:
    receiver = Receiver(runtime)
    yield build_app(runtime, HealthMonitor([]), token="t0ken", receiver=receiver)
    receiver.close()


def ask(app: FastAPI, client: str = "127.0.0.1", **headers: str) -> httpx.Response:
    """Post a span as somebody who is connected from this address."""

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(client, 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as asking:
            packed = pack(traces(make_span()))
            return await asking.post(
                "/v1/traces", content=packed["content"], headers=packed["headers"] | headers
            )

    return asyncio.run(post())


@pytest.mark.parametrize("client", ["10.0.0.5", "fe80::1", "8.8.8.8", "testclient"])
def test_who_is_connected_from_elsewhere_needs_the_token(app: FastAPI, client: str) -> None:
    """Should anything ever carry it here: 401 without, 200 with it."""
    assert ask(app, client).status_code == 401
    assert ask(app, client, Authorization="Bearer t0ken").status_code == 200


def test_this_machine_needs_none(app: FastAPI) -> None:
    """By each of its own addresses."""
    assert [ask(app, client).status_code for client in ("127.0.0.1", "127.9.9.9", "::1")] == [200] * 3


def test_a_store_that_cannot_be_written_is_told_until_it_can(
    app: FastAPI, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """503 with Retry-After, each time counted and once warned of; then 200, and nothing is missing."""
    path = runtime.settings.store_path
    with closing(open_database(path, create=True)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("PRAGMA user_version = 999")  # of a newer version of ours
    with caplog.at_level(logging.WARNING):
        answers = [ask(app) for _ in range(3)]
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(503, "5")] * 3
    assert all(answer.headers["content-type"] == PROTOBUF for answer in answers)
    assert len([one for one in caplog.records if "could not be stored" in one.getMessage()]) == 1
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    assert ask(app).status_code == 200
    assert runtime.recording.flush(10)
    with closing(runtime.recording.history()) as history:
        assert history.connection.execute("SELECT count(*) FROM span").fetchone()[0] == 1
        errors = values_of(read_aggregates(history.connection), "taskscope.internal.errors")
    assert errors["receiver", "StoreTooNewError"] == 3


def test_a_record_that_no_table_takes_is_no_reason_to_try_again(
    app: FastAPI, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400: it would be the same the next time, and for ever."""

    class Unstorable(Receiver):
        def _open(self) -> Any:
            raise OverflowError

    receiver = Unstorable(runtime)
    other = build_app(runtime, HealthMonitor([]), token="t0ken", receiver=receiver)
    assert ask(other).status_code == 400
    receiver.close()
    assert ask(app).status_code == 200


def test_without_telemetry_nobody_receives(runtime: Runtime) -> None:
    """The routes are not there, as they are not where TASKSCOPE_DISABLED is set."""
    app = build_app(runtime, HealthMonitor([]), token="t0ken")
    assert ask(app, Authorization="Bearer t0ken").status_code == 404


def request_of(
    receive: Callable[[], Awaitable[dict[str, Any]]], headers: dict[str, str] | None = None
) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "method": "POST", "path": "/v1/traces", "headers": raw}, receive)


def parts(*chunks: bytes, is_endless: bool = False) -> Callable[[], Awaitable[dict[str, Any]]]:
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()  # nothing comes any more
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left) or is_endless}

    return receive


def read(receive: Callable[[], Awaitable[dict[str, Any]]], held: Held, **more: Any) -> bytes:
    body = bytearray()
    headers = more.pop("headers", None)
    asyncio.run(read_body(request_of(receive, headers), body, held, **more))
    return bytes(body)


def test_a_body_that_does_not_come_is_given_up() -> None:
    """408: a byte now and then keeps no connection for ever."""
    with pytest.raises(RefusedError) as refused:
        read(parts(b"a", b"b", is_endless=True), Held(), seconds=0.01)
    assert refused.value.status == 408


def test_a_body_is_counted_while_it_comes() -> None:
    """429 with Retry-After at the bound of all bodies, and what is let go makes room."""
    held = Held(limit_bytes=10)
    held.enter()
    assert read(parts(b"12345", b"67"), held) == b"1234567"
    with pytest.raises(RefusedError) as refused:
        read(parts(b"1234"), held)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
    held.leave(7)
    assert read(parts(b"1234"), held) == b"1234"


def test_as_many_bodies_as_may_be() -> None:
    """429 for one more, until another one has left."""
    held = Held(limit=2)
    held.enter()
    held.enter()
    with pytest.raises(RefusedError):
        held.enter()
    held.leave(0)
    held.enter()


@pytest.mark.parametrize("told", ["99999999", str(BODY_LIMIT_BYTES + 1)])
def test_a_length_beyond_the_limit_is_believed(told: str) -> None:
    """413 before a byte is read."""
    with pytest.raises(RefusedError) as refused:
        read(parts(), Held(), headers={"content-length": told})
    assert refused.value.status == 413


def test_brackets_in_texts_are_no_depth() -> None:
    """Escaped quotes, escaped escapes and texts that never end among them; megabytes take no recursion."""
    for text in (
        rb'"[[[\"[[["',
        rb'{"a\\": "]["}',
        b'"' + b"[" * 5_000_000,
        b'"' + rb"\"[" * 2_000_000 + b'"',
    ):
        check_json_depth(text * 3 if len(text) < 100 else text)
    check_json_depth(b"[" * JSON_DEPTH_LIMIT + b'"["' + b"]" * JSON_DEPTH_LIMIT)
    with pytest.raises(ValueError, match="nested deeper than 128"):
        check_json_depth(rb'{"\\": ' + b"[" * JSON_DEPTH_LIMIT)
