"""The host's own instruments: a meter provider that loads the SDK's metrics and its exporter when it is used.

Most programs have none. Loading both takes longer than everything else of ours together, and again as long
as the interpreter needs to take them down at its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry.metrics import Meter, MeterProvider, NoOpMeter

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
    from opentelemetry.util.types import Attributes


class LateMeterProvider(MeterProvider):
    """Hands meters of the SDK's provider out, which is made with the first of them."""

    def __init__(self, make: Callable[[], SdkMeterProvider]) -> None:
        self._make = make
        self._made: SdkMeterProvider | None = None
        self._is_shut_down = False
        self._lock = threading.Lock()

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Meter:
        """A meter whose instruments are exported; one that measures nothing after `shutdown`."""
        with self._lock:
            if self._made is None and not self._is_shut_down:
                self._made = self._make()
        if self._made is None:
            return NoOpMeter(name, version, schema_url)
        return self._made.get_meter(name, version, schema_url, attributes)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """What the SDK's provider says; True where there is nothing to flush."""
        return self._made is None or self._made.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """End the SDK's provider, if one was made."""
        with self._lock:
            self._is_shut_down = True
        if self._made is not None:
            self._made.shutdown(timeout_millis)
