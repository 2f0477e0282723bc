"""The three routes: read, decode, clean, store, and only then say so.

Bodies are read on the event loop; one thread does the rest, since the store takes one writer anyway, and so
no more than one request is decompressed and decoded at a time.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from taskscope.errors import RequestTooLargeError, StoreError
from taskscope.recorder.cleaning import Cleaner
from taskscope.recorder.foreign import ForeignReader, Received
from taskscope.recorder.foreign_points import PointReader
from taskscope.store.database import open_database
from taskscope.store.foreign import ForeignIngest

from . import answers, intake
from .json_mapping import to_protobuf

if TYPE_CHECKING:
    from taskscope.bootstrap import Runtime

PATHS: Final = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
"""Route to signal."""
_RETRY_AFTER_S: Final = "5"
_BUSY_TIMEOUT_MS: Final = 2000
"""A sender that waits longer sends again anyway; and the end of the service waits for no more than this."""
_WARNING_INTERVAL_S: Final = 60.0
_REASONS_SAID: Final = 5

_WRITE: Final[dict[str, Callable[..., Counter[str]]]] = {
    "traces": ForeignIngest.write_spans,
    "logs": ForeignIngest.write_logs,
    "metrics": ForeignIngest.write_points,
}

_logger = logging.getLogger(__name__)


class _Answer(NamedTuple):
    """How a request was taken: a status, and what is said of it."""

    status: int
    message: str = ""
    rejected: int = 0


class Receiver:
    """Takes OTLP into the store of a runtime; close it at the end."""

    def __init__(self, runtime: Runtime) -> None:
        self._path = runtime.settings.store_path
        self._count_error: Callable[[str, str], None] = runtime.recording.count_error
        cleaner = Cleaner(runtime.redactor)
        reader = ForeignReader(cleaner)
        self._read: dict[str, Callable[[bytes], Received]] = {
            "traces": reader.spans,
            "logs": reader.logs,
            "metrics": PointReader(cleaner).points,
        }
        self._held = intake.Held()
        self._thread = ThreadPoolExecutor(1, "taskscope-receiver")
        self._connection: sqlite3.Connection | None = None
        self._ingest: ForeignIngest | None = None
        self._warned_at = -_WARNING_INTERVAL_S

    def close(self) -> None:
        """Finish the request that is being stored, give up those in line, leave the store."""
        self._thread.shutdown(cancel_futures=True)
        self._leave_store()

    async def receive(self, request: Request) -> Response:
        """Take spans, log records or points in OTLP, protobuf or JSON; 200 once they are stored."""
        signal, content_type = PATHS[request.url.path], answers.JSON
        try:
            content_type = intake.read_content_type(request)
            return await self._receive(request, signal, content_type)
        except intake.RefusedError as error:
            return answers.refuse(error.status, str(error), content_type, error.headers)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it

    async def _receive(self, request: Request, signal: str, content_type: str) -> Response:
        is_gzip = intake.read_is_gzip(request)
        body = bytearray()
        self._held.enter()
        try:
            await intake.read_body(request, body, self._held)
            loop = asyncio.get_running_loop()
            took = await loop.run_in_executor(
                self._thread, self._take, signal, content_type, bytes(body), is_gzip
            )
        finally:
            self._held.leave(len(body))
        if took.status == 200:  # noqa: PLR2004  OK
            return answers.accept(signal, content_type, took.rejected, took.message)
        headers = {"Retry-After": _RETRY_AFTER_S} if took.status == 503 else None  # noqa: PLR2004  try again
        return answers.refuse(took.status, took.message, content_type, headers)

    # --- the thread's side

    def _take(self, signal: str, content_type: str, body: bytes, is_gzip: bool) -> _Answer:  # noqa: FBT001
        try:
            if is_gzip:
                body = intake.decompress(body)
            if content_type == answers.JSON:
                body = to_protobuf(signal, body)
            received = self._read[signal](body)
        except RequestTooLargeError as error:
            return _Answer(413, str(error))
        except ValueError as error:
            return _Answer(400, str(error))
        except Exception as error:  # noqa: BLE001  the border: a sender's bytes may do anything
            self._note(error, "a request could not be decoded")
            return _Answer(400, "the request could not be decoded")
        return self._store(signal, received)

    def _store(self, signal: str, received: Received) -> _Answer:
        refused = received.refused
        try:
            refused = refused + _WRITE[signal](self._open(), received.records, refused.total())
        except Exception as error:  # noqa: BLE001  the border: a record may be what no table takes
            self._note(error, "what was received could not be stored")
            self._leave_store()
            if _is_unusable(error):
                return _Answer(503, "the store cannot be written now: try again")
            return _Answer(400, "something in the request cannot be stored")
        return _Answer(200, _describe(refused), refused.total())

    def _open(self) -> ForeignIngest:
        if self._connection is None or self._ingest is None:
            self._connection = open_database(self._path, create=True)
            self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
            self._ingest = ForeignIngest(self._connection)
        return self._ingest

    def _leave_store(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._ingest = None

    def _note(self, error: Exception, what: str) -> None:
        """Count an error, and warn of it at most once a minute: its line is a record too."""
        self._count_error("receiver", type(error).__name__)
        if time.monotonic() - self._warned_at >= _WARNING_INTERVAL_S:
            self._warned_at = time.monotonic()
            _logger.warning("%s: %s: %s", what, type(error).__name__, error)


def _is_unusable(error: Exception) -> bool:
    """Whether an error speaks of the store and not of a record: to try again may help."""
    if isinstance(error, StoreError | OSError | sqlite3.OperationalError | sqlite3.InternalError):
        return True
    return type(error) is sqlite3.DatabaseError  # "file is not a database", "malformed"


def _describe(refused: dict[str, int]) -> str:
    """Why records were refused, the most frequent reasons first."""
    ranked = sorted(refused.items(), key=lambda item: -item[1])[:_REASONS_SAID]
    return "; ".join(f"{number} refused: {reason}" for reason, number in ranked)


def build_router(receiver: Receiver) -> APIRouter:
    """The routes below `/v1`."""
    router = APIRouter(tags=["otlp"])
    for path in PATHS:
        router.add_api_route(path, receiver.receive, methods=["POST"], response_class=Response)
    return router
