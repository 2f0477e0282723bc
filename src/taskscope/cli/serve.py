"""`serve`: metrics, health and tasks by HTTP, until it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskscope.errors import ExtraMissingError

from .reading import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

_NEEDED = {"fastapi", "prometheus_client", "uvicorn", "pydantic", "starlette"}


def serve_until_stopped() -> int:
    """Serve; exit code 130 after Ctrl-C, 0 after SIGTERM."""
    settings = read_settings()
    return load_serve()(settings)


def load_serve() -> Callable[..., int]:
    """Return the service's `serve`; ExtraMissingError names the extra where it is not installed."""
    try:
        from taskscope.service.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {*_NEEDED, "opentelemetry"}:
            raise
        msg = f"`taskscope serve` needs {error.name!r}: pip install 'taskscope[service]'"
        raise ExtraMissingError(msg) from error
    return serve
