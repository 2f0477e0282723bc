"""The SDK's logger provider, made when somebody asks for a logger and not before.

A tenth of what setting up costs is the SDK's logs, which many programs never use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LoggerProvider, NoOpLogger

if TYPE_CHECKING:
    from opentelemetry._logs import Logger
    from opentelemetry.sdk._logs import LoggerProvider as SdkLoggerProvider
    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.util.types import Attributes


class LateLoggerProvider(LoggerProvider):
    """Whatever the SDK's provider can, it can: methods of that load it."""

    def __init__(self, resource: Resource, on_error: Callable[[str, str], object]) -> None:
        """`on_error` is told component and type of an error that was kept from the host."""
        self._resource = resource
        self._on_error = on_error
        self._makers: list[Callable[[], LogRecordProcessor | None]] = []

    def add_later(self, make: Callable[[], LogRecordProcessor | None]) -> None:
        """Have a processor of ours, made when there is something to process; None where nobody wants any."""
        provider: SdkLoggerProvider | None = self.__dict__.get("made")
        if provider is None:
            self._makers.append(make)
        elif (processor := make()) is not None:
            provider.add_log_record_processor(processor)

    def get_logger(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Logger:
        """The SDK's logger; one that does nothing where the SDK cannot be loaded, for a wrong OTEL_* say."""
        try:
            return self._load().get_logger(name, version, schema_url, attributes)
        except Exception as error:  # noqa: BLE001  the border to the host
            self._on_error("recorder", type(error).__qualname__)
            return NoOpLogger(name, version, schema_url, attributes)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "made":
            raise AttributeError(name)
        return getattr(self._load(), name)

    def _load(self) -> SdkLoggerProvider:
        made: SdkLoggerProvider | None = self.__dict__.get("made")
        # No lock, which a fork could leave locked: of two threads the first one's provider stays.
        return made if made is not None else self.__dict__.setdefault("made", self._make())

    def _make(self) -> SdkLoggerProvider:
        from opentelemetry.sdk._logs import LoggerProvider as SdkLoggerProvider

        provider = SdkLoggerProvider(resource=self._resource, shutdown_on_exit=False)
        # Ours first: what the application waits for must not wait for a foreign exporter's lock.
        for make in tuple(self._makers):
            processor = make()
            if processor is not None:
                provider.add_log_record_processor(processor)
        return provider
