"""Puts the service together: routes, errors, access, and the spans of its requests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from taskscope.errors import NotFoundError, StoreError, TaskscopeError, UsageError
from taskscope.health.report import MEDIA_TYPE as HEALTH_MEDIA_TYPE

from . import tasks
from .access import Gate
from .ascii_json import AsciiJSONResponse
from .desk import TaskDesk
from .foreign_metrics import ForeignCollector
from .metrics import MetricsPage, read_foreign_points, read_points
from .otlp.receiver import build_router as build_otlp_router
from .problems import problem

if TYPE_CHECKING:
    from taskscope.bootstrap import Runtime
    from taskscope.health.monitor import HealthMonitor

    from .otlp.receiver import Receiver

# Anchored: `health` alone would be searched for in the host's name too, and silence a whole site.
# A span for each request of OTLP would be sent on perhaps, and back to here.
UNTRACED_URLS = r"^https?://[^/]+/(health|metrics|v1/(traces|logs|metrics))(/|$|\?)"


def build_app(
    runtime: Runtime,
    monitor: HealthMonitor,
    *,
    token: str,
    desk: TaskDesk | None = None,
    receiver: Receiver | None = None,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """Return the application; `registry` holds the instruments of others.

    `desk` runs its tasks, `receiver` takes OTLP: without one, the routes are not there.
    Starts nothing: the monitor, the desk and the receiver are the caller's to start and end.
    """
    registry = CollectorRegistry() if registry is None else registry
    page = MetricsPage(registry, lambda: read_points(runtime.settings, runtime.recording))
    registry.register(ForeignCollector(lambda: read_foreign_points(runtime.recording)))
    app = FastAPI(
        title="Taskscope",
        summary="Tasks of coding agents, health and metrics of this host.",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.include_router(tasks.build_router(runtime, desk or TaskDesk()))
    if receiver is not None:
        app.include_router(build_otlp_router(receiver))
    _add_metrics(app, page)
    _add_health(app, monitor)
    _add_errors(app)
    app.add_middleware(Gate, token=token)
    if not runtime.recording.is_disabled:
        _instrument(app)
    return app


def _add_metrics(app: FastAPI, page: MetricsPage) -> None:
    @app.get("/metrics", tags=["metrics"], response_class=Response)
    def show_metrics(request: Request) -> Response:
        """All metrics of this host, as Prometheus text or (by `Accept`) OpenMetrics."""
        body, content_type = page.render(request.headers.get("accept", ""))
        return Response(body, media_type=content_type)


def _add_health(app: FastAPI, monitor: HealthMonitor) -> None:
    def answer(group: str) -> JSONResponse:
        report = monitor.report(group)
        status = 503 if report.status == "fail" else 200
        return AsciiJSONResponse(report.as_json(), status, media_type=HEALTH_MEDIA_TYPE)

    @app.get("/health/live", tags=["health"])
    async def live() -> JSONResponse:
        """Whether this process does its work; depends on nothing else."""
        return answer("live")

    @app.get("/health/ready", tags=["health"])
    async def ready() -> JSONResponse:
        """Whether a task would find what it needs; 503 only when a required check fails."""
        return answer("ready")

    @app.get("/health/startup", tags=["health"])
    async def startup() -> JSONResponse:
        """Whether this process has come up."""
        return answer("startup")


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def refuse(_request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def name_violations(_request: Request, error: RequestValidationError) -> Response:
        return problem(422, "the request is not as expected", violations=_violations(error))

    @app.exception_handler(TaskscopeError)
    async def tell(_request: Request, error: TaskscopeError) -> Response:
        return problem(_status_of(error), str(error))

    @app.exception_handler(Exception)
    async def hide(_request: Request, _error: Exception) -> Response:
        return problem(500, "an internal error; the log of the service tells more")


def _status_of(error: TaskscopeError) -> int:
    if isinstance(error, NotFoundError):
        return 404
    if isinstance(error, UsageError):
        return 422
    return 503 if isinstance(error, StoreError) else 500


def _violations(error: RequestValidationError) -> list[dict[str, Any]]:
    """Return where and why, without the values: they are the caller's content."""
    return [
        {"field": ".".join(str(part) for part in one["loc"]), "reason": one["msg"]} for one in error.errors()
    ]


def _instrument(app: FastAPI) -> None:
    """Make one server span a request; with the contrib middleware FastAPI's own tracing stands back."""
    # Read once, by the first instrumentation: the names of today instead of those of 2023.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(app, excluded_urls=UNTRACED_URLS, exclude_spans=["receive", "send"])
