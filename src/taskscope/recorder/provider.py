"""Our tracer behind an SDK `TracerProvider`: resource, sampler, limits, ids, processors work as always.

One sink is called directly and first; what it or a foreign processor raises never reaches the host.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED
from opentelemetry.sdk.environment_variables._internal import parse_boolean_environment_variable
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.util.instrumentation import InstrumentationInfo, InstrumentationScope
from opentelemetry.trace import NoOpTracer

from ._clock import Clock
from ._readable import GuardedProcessors
from .tracer import OwnRandomIds, Tracer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Tracer as ApiTracer

    from .span import Sink


_MILLISECOND = 1_000_000  # nanoseconds


def _count_nothing(_component: str, _error_type: str) -> None:
    """Nobody asked."""


class RecordingTracerProvider(sdk.TracerProvider):
    """Upstream's, with `get_tracer` giving ours."""

    def __init__(
        self,
        sampler: Sampler | None = None,
        resource: Resource | None = None,
        shutdown_on_exit: bool = True,
        active_span_processor: Any = None,
        id_generator: IdGenerator | None = None,
        span_limits: sdk.SpanLimits | None = None,
        *,
        sink: Sink | None = None,
        on_error: Callable[[str, str], object] = _count_nothing,
        clock: Clock | None = None,
        meter_provider: MeterProvider | None = None,
        _tracer_configurator: Any = None,
    ) -> None:
        """`on_error` is told component and type of each error that was kept from the host."""
        self._on_error = on_error
        self._clock = clock or Clock()
        self._sink = sink
        self._by_arguments: dict[tuple[str, str | None, str | None], Tracer] = {}
        super().__init__(
            sampler, resource, shutdown_on_exit,
            active_span_processor or GuardedProcessors(self._report),
            id_generator or OwnRandomIds(), span_limits or _read_limits(),
            meter_provider=meter_provider, _tracer_configurator=_tracer_configurator,
        )  # fmt: skip
        self._own_tracers = cast("dict[InstrumentationScope, Tracer]", self._tracers)

    @property
    def sink(self) -> Sink | None:
        """Who records sampled spans; may be replaced at any time."""
        return self._sink

    @sink.setter
    def sink(self, sink: Sink | None) -> None:
        with self._tracers_lock:
            self._sink = sink
            for tracer in self._own_tracers.values():
                tracer.sink = sink

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> ApiTracer:
        """The one tracer of an instrumentation scope."""
        key = (instrumenting_module_name, instrumenting_library_version, schema_url)
        known = self._by_arguments.get(key) if attributes is None else None
        if known is not None:
            return known
        if self._disabled:
            return NoOpTracer()
        if not instrumenting_module_name:
            sdk.logger.error("get_tracer called with missing module name.")
        scope = InstrumentationScope(
            instrumenting_module_name or "", instrumenting_library_version or "", schema_url, attributes
        )
        tracer = self._find_tracer(scope) or self._find_tracer(scope)
        if tracer is None:
            return NoOpTracer()
        if attributes is None and instrumenting_module_name:
            self._by_arguments[key] = tracer
        return tracer

    def _find_tracer(self, scope: InstrumentationScope) -> Tracer | None:
        """The tracer of a scope, made if need be; None where that fails.

        Asked again then: who once gets a tracer that does nothing keeps it for good.
        """
        try:
            with self._tracers_lock:
                tracer = self._own_tracers.get(scope)
                if tracer is None:
                    self._own_tracers[scope] = tracer = self._make_tracer(scope)
        except Exception as error:  # noqa: BLE001  the border to the host
            self._report("recorder", error)
            return None
        return tracer

    def _make_tracer(self, scope: InstrumentationScope) -> Tracer:
        return Tracer(
            self.sampler,
            self._resource,
            self._active_span_processor,
            self.id_generator,
            _describe_as_before_scopes(scope),
            limits=self._span_limits,
            scope=scope,
            sink=self._sink,
            clock=self._clock,
            report=self._report,
            config=self._apply_tracer_configurator(scope),
            meter_provider=self._meter_provider,
            is_metered=parse_boolean_environment_variable(OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED),
        )

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether the sink and each foreign processor flushed in time; the sink is asked first."""
        deadline = time.monotonic_ns() + timeout_millis * _MILLISECOND
        is_flushed = True
        if self._sink is not None:
            try:
                is_flushed = self._sink.force_flush(timeout_millis)
            except Exception as error:  # noqa: BLE001  the border to the host
                self._report("processor", error)
                is_flushed = False
        left = (deadline - time.monotonic_ns()) // _MILLISECOND
        try:
            return self._active_span_processor.force_flush(max(left, 0)) and is_flushed
        except Exception as error:  # noqa: BLE001  the border to the host
            self._report("processor", error)
            return False

    def shutdown(self) -> None:
        """Shut down the sink and all foreign processors."""
        sink = self._sink
        for close in (*(() if sink is None else (sink.shutdown,)), super().shutdown):
            try:
                close()
            except Exception as error:  # noqa: BLE001  the border to the host
                self._report("processor", error)

    def _report(self, component: str, error: BaseException) -> None:
        with contextlib.suppress(Exception):  # who counts errors may fail too, and nobody is left to tell
            self._on_error(component, type(error).__qualname__)


def _read_limits() -> sdk.SpanLimits:
    """The environment's; where one is no number, the defaults and a warning: upstream raises at the host."""
    try:
        return sdk.SpanLimits()
    except ValueError as error:
        sdk.logger.warning("%s; the default limits of spans stand.", error)
    unlimited = sdk.SpanLimits.UNSET
    return sdk.SpanLimits(128, 128, 128, 128, 128, 128, unlimited, unlimited)


def try_out() -> None:
    """Make a span with all its parts; raises where the SDK has other insides than this was built for."""
    errors: list[tuple[str, str]] = []
    provider = RecordingTracerProvider(
        sampling.DEFAULT_ON,
        Resource({}),
        shutdown_on_exit=False,
        on_error=lambda *error: errors.append(error),
        meter_provider=NoOpMeterProvider(),
    )
    provider.add_span_processor(sdk.SpanProcessor())
    with provider.get_tracer("trial").start_as_current_span("trial", attributes={"list": [1]}) as span:
        span.add_event("trial", {"list": [1]})
        span.add_link(span.get_span_context())
    if errors:
        msg = f"a span could not be made with this OpenTelemetry SDK: {errors}"
        raise RuntimeError(msg)


def _describe_as_before_scopes(scope: InstrumentationScope) -> InstrumentationInfo:
    """What old exporters read; made without its constructor, which warns of its age."""
    info: InstrumentationInfo = object.__new__(InstrumentationInfo)
    info._name, info._version, info._schema_url = scope.name, scope.version, scope.schema_url or ""
    return info
