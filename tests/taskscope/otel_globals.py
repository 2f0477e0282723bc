"""OpenTelemetry's global providers, as a fresh process has them.

The API lets each provider be set once in a process, and many tests share one.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry._logs import _internal as logs
from opentelemetry.metrics import _internal as metrics
from opentelemetry.util._once import Once

from taskscope.telemetry import providers

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLACES = (
    (trace, "_TRACER_PROVIDER", None),
    (trace, "_TRACER_PROVIDER_SET_ONCE", Once),
    (logs, "_LOGGER_PROVIDER", None),
    (logs, "_LOGGER_PROVIDER_SET_ONCE", Once),
    (metrics, "_METER_PROVIDER", None),
    (metrics, "_METER_PROVIDER_SET_ONCE", Once),
)


@contextmanager
def fresh_otel() -> Iterator[None]:
    """Let no provider be set meanwhile; what was set before is restored."""
    before = [getattr(place, name) for place, name, _ in _PLACES]
    for place, name, make in _PLACES:
        setattr(place, name, make() if make else None)
    _forget_proxies()
    try:
        yield
    finally:
        for (place, name, _), value in zip(_PLACES, before, strict=True):
            setattr(place, name, value)
        _forget_proxies()


def _forget_proxies() -> None:
    """Drop our proxies, which remember the provider that they once found."""
    providers._global_providers.cache_clear()
    providers._get_global_logger.cache_clear()
