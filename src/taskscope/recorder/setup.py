"""Puts the recorder into the program: into a provider that is there, else into one of its own.

The SDK is imported here, when `install` is called, and not before. `OTEL_*` variables of the SDK count as
always; what is recorded leaves by the shipper, not by exporters of the SDK.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from taskscope.version import VERSION

from .cleaning import Cleaner
from .encoding import Encoder
from .intake import Intake
from .journal import Journal
from .recording import Recording
from .writer import Writer

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import LoggerProvider as SdkLoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    from taskscope.config import Settings
    from taskscope.redaction import Redactor
    from taskscope.store.processes import ProcessLock
    from taskscope.store.session import StoreSession

    from .processor import RecordingLogProcessor
    from .sink import RecordingSink, Stamp

_logger = logging.getLogger(__name__)

_DAY_NS = 86_400 * 10**9
EXIT_TIMEOUT_S = 2.0
"""How long the end of the program waits for the writer and the shipper."""
_FOREIGN_EXIT_S = 0.05
"""How long it waits for upstream's exporter of the host's own instruments, which tries again for 10 s."""


def _stamp_nothing(_context: Context | None) -> Mapping[str, str]:
    """Say nothing of a context, where nobody keeps anything in it."""
    return {}


_installed: list[Recording] = []
_lock = threading.Lock()


def install(
    settings: Settings,
    redactor: Redactor,
    *,
    metric_readers: Sequence[MetricReader] = (),
    drain_errors: Callable[[], Mapping[tuple[str, str], int]] | None = None,
    stamp: Stamp = _stamp_nothing,
    on_stored: Callable[[], object] = lambda: None,
) -> Recording:
    """The recording of this process for the store of these settings; the one that runs already, if it does.

    Opens no file and starts no thread before the first record. With TASKSCOPE_DISABLED or OTEL_SDK_DISABLED
    nothing is set up at all. `metric_readers` serve the host's own SDK instruments; `drain_errors` is asked
    at each write for errors that guards elsewhere counted; `stamp` says what every record of a context
    carries, so that foreign spans and logs get it too; `on_stored` is called on the writer's thread when
    records have come into the store.
    """
    if settings.disabled:
        return Recording(settings.store_path)
    with _lock:
        for recording in _installed:
            if recording.store_path == settings.store_path and not recording.is_closed:
                return recording
        try:
            recording = _build(settings, redactor, metric_readers, drain_errors, stamp, on_stored=on_stored)
        except Exception as error:  # noqa: BLE001  the border to the host
            # The SDK refuses some OTEL_* values as soon as it is imported.
            _logger.warning("taskscope: nothing is recorded, setting up failed: %s", error)
            return Recording(settings.store_path)
        _installed[:] = [one for one in _installed if not one.is_closed] + [recording]
    return recording


def _build(
    settings: Settings,
    redactor: Redactor,
    metric_readers: Sequence[MetricReader],
    drain_errors: Callable[[], Mapping[tuple[str, str], int]] | None,
    stamp: Stamp,
    *,
    on_stored: Callable[[], object],
) -> Recording:
    from .sink import RecordingSink

    path = settings.store_path
    encoder = Encoder(Cleaner(redactor))
    journal = Journal(path.parent / "journal")
    resource = _make_resource(settings)
    said = encoder.resource(resource.attributes)
    writer = Writer(
        journal,
        partial(_open_session, settings, said),
        drain_errors=drain_errors,
        on_stored=on_stored,
    )
    intake = Intake(journal, writer)
    recording = Recording(path, intake, writer, said)
    sink = RecordingSink(encoder, intake, writer, stamp)
    writer.serve(sink)
    _join_tracer_provider(resource, sink, recording)
    _join_logger_provider(resource, recording, partial(_make_log_processor, encoder, intake, writer, stamp))
    _set_meter_provider(settings, recording, resource, metric_readers)
    atexit.register(recording.shutdown, EXIT_TIMEOUT_S, foreign_s=_FOREIGN_EXIT_S)
    return recording


def _make_resource(settings: Settings) -> Resource:
    """What `Resource.create` makes of our attributes; it starts a pool of threads for its detectors.

    Its own two read the environment and need none: the pool took 2 of the 80 ms of a program that sets us up.
    """
    from opentelemetry.sdk import resources, version

    attributes = {
        "service.name": settings.service_name,
        "telemetry.distro.name": "taskscope",
        "telemetry.distro.version": VERSION,
    }
    if settings.service_name == "taskscope":
        attributes["service.version"] = VERSION
    if os.environ.get("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"):
        return resources.Resource.create(attributes)
    try:
        parts = resources.ServiceInstanceIdResourceDetector(), resources.OTELResourceDetector()
    except AttributeError:  # a later SDK may call them otherwise
        return resources.Resource.create(attributes)
    made = resources.Resource(
        {
            resources.TELEMETRY_SDK_LANGUAGE: "python",
            resources.TELEMETRY_SDK_NAME: "opentelemetry",
            resources.TELEMETRY_SDK_VERSION: version.__version__,
        }
    )
    for part in parts:
        made = made.merge(part.detect())
    return made.merge(resources.Resource(attributes))


def _join_tracer_provider(resource: Resource, sink: RecordingSink, recording: Recording) -> TracerProvider:
    """The program's provider, joined; else one of ours, without the SDK's own exit hook: ours is bounded."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider: Any = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = _make_tracer_provider(resource, recording)
        trace.set_tracer_provider(provider)
    # Only ours have a sink; it is free when the provider is new, or an earlier recording left it.
    if getattr(provider, "sink", sink) is None:
        provider.sink = sink
        recording.on_shutdown(lambda: setattr(provider, "sink", None))
    else:
        from .processor import RecordingSpanProcessor

        processor = RecordingSpanProcessor(sink)
        provider.add_span_processor(processor)
        recording.on_shutdown(lambda: setattr(processor, "is_active", False))
    return cast("TracerProvider", provider)


def _make_tracer_provider(resource: Resource, recording: Recording) -> TracerProvider:
    """One of ours; upstream's, where a newer SDK has other insides than ours needs: slower, nothing lost."""
    from opentelemetry.sdk.trace import TracerProvider

    try:
        from .provider import RecordingTracerProvider, try_out

        try_out()
        return RecordingTracerProvider(
            resource=resource, shutdown_on_exit=False, on_error=recording.count_error
        )
    except Exception as error:  # noqa: BLE001  the border to the host
        recording.count_error("recorder", type(error).__qualname__)
        return TracerProvider(resource=resource, shutdown_on_exit=False)


def _join_logger_provider(
    resource: Resource, recording: Recording, make: Callable[[], RecordingLogProcessor]
) -> None:
    """The program's provider, joined; else one of ours, which loads the SDK's logs when they are used."""
    from opentelemetry import _logs

    from .loggers import LateLoggerProvider

    made: list[RecordingLogProcessor] = []

    def make_once() -> RecordingLogProcessor | None:
        if recording.is_closed:
            return None
        made.append(make())
        return made[-1]

    def silence() -> None:
        for processor in made:
            processor.is_active = False

    recording.on_shutdown(silence)
    provider = _logs.get_logger_provider()
    if _is_sdk(provider) and (processor := make_once()) is not None:
        provider.add_log_record_processor(processor)
        return
    if not isinstance(provider, LateLoggerProvider):
        provider = LateLoggerProvider(resource, recording.count_error)
        _logs.set_logger_provider(provider)
    provider.add_later(make_once)


def _is_sdk(provider: LoggerProvider) -> TypeGuard[SdkLoggerProvider]:
    """Whether it is the SDK's own; nobody has one where that is not loaded."""
    logs = sys.modules.get("opentelemetry.sdk._logs")
    return logs is not None and isinstance(provider, logs.LoggerProvider)


def _make_log_processor(
    encoder: Encoder, intake: Intake, writer: Writer, stamp: Stamp
) -> RecordingLogProcessor:
    from .processor import RecordingLogProcessor

    return RecordingLogProcessor(encoder, intake, writer, stamp)


def _open_session(
    settings: Settings, resource: bytes, find_lock: Callable[[], ProcessLock | None]
) -> StoreSession:
    """What the writer writes to: loaded on its thread, with the first record."""
    from taskscope.store.balance import note_expired
    from taskscope.store.records import Source
    from taskscope.store.retention import Limits
    from taskscope.store.session import StoreSession

    limits = Limits(int(settings.retention_days * _DAY_NS), settings.store_limit_bytes)
    return StoreSession(
        settings.store_path,
        find_lock,
        limits=limits,
        note_expired=note_expired,
        source=Source(resource, b""),
    )


def _set_meter_provider(
    settings: Settings, recording: Recording, resource: Resource, readers: Sequence[MetricReader]
) -> None:
    """A provider for the host's own instruments, if somebody reads them; ours come from the record."""
    has_endpoint = settings.otlp_endpoint or settings.otlp_metrics_endpoint
    if not readers and not has_endpoint:
        return
    from opentelemetry import metrics

    from .meters import LateMeterProvider

    def make() -> MeterProvider:
        from opentelemetry.sdk.metrics import MeterProvider

        from .exporting import make_metric_reader, make_views

        all_readers: list[Any] = [*readers, *([make_metric_reader()] if has_endpoint else ())]
        return MeterProvider(all_readers, resource=resource, shutdown_on_exit=False, views=make_views())

    if _is_meter_provider_set(metrics.get_meter_provider()):
        return
    provider = make() if readers else LateMeterProvider(make)  # who brings readers has instruments
    metrics.set_meter_provider(provider)
    recording.on_shutdown(provider.shutdown, is_foreign=True)


def _is_meter_provider_set(provider: object) -> bool:
    """Whether it is one of the SDK's, or ours; nobody has the SDK's where that is not loaded."""
    from .meters import LateMeterProvider

    sdk = sys.modules.get("opentelemetry.sdk.metrics")
    kinds = (LateMeterProvider,) if sdk is None else (LateMeterProvider, sdk.MeterProvider)
    return isinstance(provider, kinds)
