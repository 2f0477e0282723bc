"""Runs the service until it is told to end: one port, the checks, the recovery of what dead processes left.

SIGTERM and Ctrl-C end it within five seconds: `ready` fails, tasks are stopped, the record is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client import CollectorRegistry

from taskscope.bootstrap import build_checks, build_runtime
from taskscope.errors import TaskscopeError
from taskscope.health.monitor import HealthMonitor
from taskscope.recorder.prometheus import make_prometheus_reader
from taskscope.store.session import bring_home

from .access import load_token, refuse_open_host
from .app import build_app
from .connections import HastyProtocol
from .desk import TaskDesk
from .otlp.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from fastapi import FastAPI

    from taskscope.bootstrap import Runtime
    from taskscope.config import Settings
    from taskscope.health.report import CheckReport

RECOVERY_INTERVAL_S = 30.0
_REQUESTS_END_S = 1  # uvicorn takes whole seconds
_TASKS_END_S = 2.5
_FLUSH_S = 1.0
_CTRL_C = 130
_BACKLOG = 2048  # uvicorn's own

_logger = logging.getLogger(__name__)


def serve(
    settings: Settings,
    *,
    logs_to_stdout: bool = True,
    on_check: Callable[[CheckReport], object] | None = None,
) -> int:
    """Serve until SIGTERM (returns 0) or Ctrl-C (returns 130); `on_check` hears of each run of a check.

    UsageError for an address beyond this machine or container, TaskscopeError when it cannot listen there.
    """
    if not settings.serve_in_container:
        refuse_open_host(settings.metrics_host)
    with contextlib.closing(_listen(settings)) as listener:
        registry = CollectorRegistry()
        readers = () if settings.disabled else (make_prometheus_reader(registry),)
        runtime = build_runtime(settings, service=logs_to_stdout, metric_readers=readers)
        try:
            return _serve(runtime, listener, registry, on_check)
        finally:
            runtime.close(_FLUSH_S)


def _serve(
    runtime: Runtime,
    listener: socket.socket,
    registry: CollectorRegistry,
    on_check: Callable[[CheckReport], object] | None,
) -> int:
    settings, desk = runtime.settings, TaskDesk()
    token = load_token(settings.token_path)
    monitor = HealthMonitor(
        build_checks(runtime),
        interval=settings.healthcheck_interval,
        submit=runtime.recording.submit,
        on_result=on_check,
    )
    receiver = None if settings.disabled else Receiver(runtime)
    app = build_app(runtime, monitor, token=token, desk=desk, receiver=receiver, registry=registry)

    def begin_end() -> None:
        monitor.drain()
        desk.stop_all()

    server = Server(_configure(app), begin_end)
    with _recovering(settings.store_path, is_disabled=settings.disabled):
        monitor.start()
        _announce(settings, listener)
        asyncio.run(server.serve(sockets=[listener]))
        if not desk.close(_TASKS_END_S):
            _logger.warning("tasks did not stop in time; they will read as interrupted")
        monitor.stop()
        if receiver is not None:
            receiver.close()
    return _CTRL_C if server.last_signal == signal.SIGINT else 0


def _configure(app: FastAPI) -> uvicorn.Config:
    access = logging.getLogger("uvicorn.access")
    access.addFilter(_is_no_probe)
    return uvicorn.Config(
        app,
        http=HastyProtocol,
        log_config=None,  # its loggers go where all others go
        lifespan="off",
        reset_contextvars=True,  # or what came after a large body would belong to the request that had it
        ws="none",
        proxy_headers=False,  # who asks is who is connected
        server_header=False,
        timeout_graceful_shutdown=_REQUESTS_END_S,
    )


def _is_no_probe(record: logging.LogRecord) -> bool:
    """Whether an access line is worth keeping: those of probes and scrapes come every few seconds.

    Nor one of OTLP: each would be a record, to be sent on perhaps, and back to here.
    """
    path = str(record.args[2]) if isinstance(record.args, tuple) and len(record.args) > 2 else ""  # noqa: PLR2004  uvicorn's own order
    return not path.startswith(("/health/", "/metrics", "/v1/"))


class Server(uvicorn.Server):
    """uvicorn, with an end of our own: it would raise the signal again, and nothing would be written."""

    def __init__(self, config: uvicorn.Config, on_signal: Callable[[], object]) -> None:
        super().__init__(config)
        self.last_signal: int | None = None
        self._on_signal = on_signal

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT meanwhile, on the main thread; elsewhere there is nothing to take."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        taken = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end; a second Ctrl-C does not wait for open requests."""
        self.last_signal = sig
        self._on_signal()
        super().handle_exit(sig, frame)


def _listen(settings: Settings) -> socket.socket:
    """Return the socket, bound: a port that is taken is told before anything is begun."""
    host, port = settings.metrics_host, settings.metrics_port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)  # at once: who reads the address may ask before uvicorn answers
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        msg = f"cannot listen on {host}:{port} ({reason}); METRICS_PORT=0 takes a free port"
        raise TaskscopeError(msg) from error
    return listener


def _announce(settings: Settings, listener: socket.socket) -> None:
    """Say where it listens: a line for a person on standard error, a line of the log."""
    port = listener.getsockname()[1]
    host = f"[{settings.metrics_host}]" if ":" in settings.metrics_host else settings.metrics_host
    url = f"http://{host}:{port}"
    with contextlib.suppress(OSError):
        sys.stderr.write(f"taskscope: listening on {url}, token in {settings.token_path}; Ctrl-C ends it\n")
        sys.stderr.flush()
    _logger.info("listening on %s", url)


@contextlib.contextmanager
def _recovering(store: Path, *, is_disabled: bool) -> Iterator[None]:
    """Bring home meanwhile, now and again, what dead processes left."""
    ending = threading.Event()

    def run() -> None:
        while not ending.is_set():
            recover(store)
            ending.wait(RECOVERY_INTERVAL_S)

    if is_disabled:
        yield
        return
    recover(store)  # before the first page is read: it makes the store where there is none
    thread = threading.Thread(target=run, name="taskscope-recovery", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()


def recover(store: Path) -> int:
    """Bring home what dead processes left, return how many spans; a store that refuses is logged."""
    try:
        spans = bring_home(store)
    except Exception as error:  # noqa: BLE001  the border: the next time it may work
        _logger.warning("what dead processes left could not be brought home: %s", error)
        return 0
    if spans:
        _logger.info("brought home %d spans of dead processes", spans)
    return spans
