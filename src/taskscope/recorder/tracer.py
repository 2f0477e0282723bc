"""Starts spans: a few lines where the default sampler decides, upstream's whole way where another one does.

Ids, context and slots are made inline, because most of what a span costs is calls.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import trace as trace_api
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.trace.span import DEFAULT_TRACE_STATE

from . import span as spans
from ._attributes import Bounds
from ._current import CurrentSpan, get_current
from .span import UNSET, Span

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanLimits
    from opentelemetry.sdk.util.instrumentation import InstrumentationInfo, InstrumentationScope
    from opentelemetry.trace import Link

    from ._clock import Clock
    from .span import Sink

_NOBODY = -1
"""The generation of a span that no process records."""
_SAMPLED = 1
_RANDOM = 2
_RECORD_AND_SAMPLE = sampling.Decision.RECORD_AND_SAMPLE
_RECORDING = (_RECORD_AND_SAMPLE, sampling.Decision.RECORD_ONLY)
_FLAGS = tuple(TraceFlags(bits) for bits in range(4))
_SAMPLED_RANDOM = _FLAGS[_SAMPLED | _RANDOM]

_random = random.Random()  # noqa: S311  ids are no secrets
os.register_at_fork(after_in_child=_random.seed)
_new: Callable[[type[Any]], Any] = object.__new__
_new_context: Callable[[type[SpanContext], tuple[Any, ...]], SpanContext] = tuple.__new__


def _draw_nothing(_bits: int) -> int:
    """Ids come from a foreign generator."""
    raise NotImplementedError


class OwnRandomIds(RandomIdGenerator):
    """Random ids that a host's `random.seed(...)` does not repeat, nor a fork."""

    draw = staticmethod(_random.getrandbits)

    def generate_span_id(self) -> int:
        """64 random bits, never 0."""
        return self.draw(64) or 1

    def generate_trace_id(self) -> int:
        """128 random bits, never 0."""
        return self.draw(128) or 1


class Tracer(sdk.Tracer):
    """Made by the provider, one for each instrumentation scope."""

    def __init__(
        self,
        sampler: sampling.Sampler,
        resource: Resource,
        processors: Any,
        id_generator: Any,
        instrumentation_info: InstrumentationInfo,
        *,
        limits: SpanLimits,
        scope: InstrumentationScope,
        sink: Sink | None,
        clock: Clock,
        report: Callable[[str, BaseException], None],
        config: Any,
        meter_provider: MeterProvider | None,
        is_metered: bool,
    ) -> None:
        super().__init__(
            sampling.DEFAULT_ON if _samples_by_default(sampler) else sampler,
            resource, processors, id_generator, instrumentation_info, limits, scope,
            meter_provider=meter_provider, _tracer_config=config,
        )  # fmt: skip
        self.sink = sink
        self.scope = scope
        self.limits = limits
        self.report = report
        self.wall, self.ticks = clock.wall, clock.ticks
        self.is_metered = is_metered
        """Whether the SDK's own metrics count spans."""
        self._counted: dict[int, Callable[[], None]] = {}
        length = limits.max_attribute_length
        self.bounds = Bounds(limits.max_span_attributes, limits.max_span_attribute_length)
        self.event_bounds = Bounds(limits.max_event_attributes, length)
        self.link_bounds = Bounds(limits.max_link_attributes, length)
        self.events_limit = Bounds(limits.max_events, None).count
        self.links_limit = Bounds(limits.max_links, None).count
        self._draw = id_generator.draw if type(id_generator) is OwnRandomIds else _draw_nothing
        self._set_tracer_config(config)

    def _set_tracer_config(self, tracer_config: Any) -> None:
        super()._set_tracer_config(tracer_config)
        self._is_plain = tracer_config.is_enabled and not self.is_metered and self._draw is not _draw_nothing

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace_api.Span:
        """A span that started, child of the current one or of that in `context`; empty if unsampled."""
        try:
            outer = (get_current() if context is None else context).get(_SPAN_KEY)
        except Exception as error:  # noqa: BLE001  the border to the host: no context at all
            self.report("recorder", error)
            outer = None
        parent: SpanContext | None
        if type(outer) is Span:
            parent = outer._context
        else:
            parent = None if outer is None else self._read_context(outer)
        is_sampled = True
        if self._is_plain and self.sampler is sampling.DEFAULT_ON:
            own = self._make_context(parent)
            if (flags := own[3]) is not _SAMPLED_RANDOM and not flags & _SAMPLED:
                return NonRecordingSpan(own)
        else:
            decided = self._decide(parent, context, name, kind, attributes, links)
            if isinstance(decided, NonRecordingSpan):
                return decided
            own, attributes, is_sampled = decided
        span = self._make_span(own, parent, name, kind, outer if start_time is None else None)
        span._generation = spans.generation if is_sampled else _NOBODY
        span._record_exception = record_exception
        span._set_status_on_exception = set_status_on_exception
        if start_time is not None:
            span._start_time = start_time
        if attributes:
            span.set_attributes(attributes)
        if links:
            try:
                span._add_first_links(links)
            except Exception as error:  # noqa: BLE001  the border to the host
                self.report("recorder", error)
        self._announce(span, context, is_sampled=is_sampled)
        return span

    def _make_context(self, parent: SpanContext | None) -> SpanContext:
        """What upstream's default sampler decides: as the parent, else sampled."""
        draw = self._draw
        if parent is None:
            return _new_context(
                SpanContext,
                (draw(128) or 1, draw(64) or 1, False, _SAMPLED_RANDOM, DEFAULT_TRACE_STATE, True),
            )
        flags = parent[3]
        if flags is not _SAMPLED_RANDOM:
            flags = _FLAGS[flags & 3]
        return _new_context(SpanContext, (parent[0], draw(64) or 1, False, flags, parent[4], True))

    def _make_span(
        self, own: SpanContext, parent: SpanContext | None, name: str, kind: SpanKind, outer: object
    ) -> Span:
        """A span that starts now, on the clock of the trace of `outer` if that is a span of ours."""
        span: Span = _new(Span)
        span._tracer = self
        span._context = own
        span._parent = parent
        span._name = name
        span._kind = kind
        span._status = UNSET
        span._attributes = {}
        span._events = span._links = ()
        span.dropped_attributes = span.dropped_events = span.dropped_links = 0
        span._end_time = None
        span._is_open = True
        ticks = self.ticks()
        offset = outer._offset if type(outer) is Span else self.wall() - ticks
        span._offset = offset
        span._start_time = offset + ticks
        return span

    def start_as_current_span(  # type: ignore[override]  # upstream's is a generator, used as this object is
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> CurrentSpan:
        """For `with`, or around a function, plain or async: at each entry a new span, current inside."""
        current: CurrentSpan = _new(CurrentSpan)
        current._tracer = self
        current._name = name
        current._context = context
        current._kind = kind
        current._attributes = attributes
        current._links = links
        current._start_time = start_time
        current._record_exception = record_exception
        current._set_status_on_exception = set_status_on_exception
        current._end_on_exit = end_on_exit
        return current

    # Where another sampler decides, ids come from elsewhere, or something is off.

    def _decide(
        self,
        parent: SpanContext | None,
        context: Context | None,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, Any] | None,
        links: Sequence[Link] | None,
    ) -> _Decided | NonRecordingSpan:
        """What the sampler says: context, attributes and flags of the span, or one that does nothing."""
        if not self._is_enabled():
            return NonRecordingSpan(trace_api.get_current_span(context).get_span_context())
        trace_id, span_id, is_random = self._make_ids(parent)
        try:
            said = self.sampler.should_sample(context, trace_id, name, kind, attributes, links or ())
        except Exception as error:  # noqa: BLE001  the border to the host
            self.report("recorder", error)
            said = sampling.DEFAULT_ON.should_sample(context, trace_id, name, kind, attributes)
        is_sampled = said.decision is _RECORD_AND_SAMPLE
        flags = _FLAGS[(_SAMPLED if is_sampled else 0) | (_RANDOM if is_random else 0)]
        own = SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags, trace_state=said.trace_state)
        if self.is_metered:
            self._count_start(own, parent, said.decision)
        if said.decision not in _RECORDING:
            return NonRecordingSpan(own)
        return own, said.attributes, is_sampled

    def _make_ids(self, parent: SpanContext | None) -> tuple[int, int, bool]:
        """Trace id, span id, and whether the trace id is random."""
        ids = self.id_generator
        try:
            if parent is not None:
                return parent.trace_id, ids.generate_span_id(), bool(parent.trace_flags & _RANDOM)
            trace_id, is_random = ids.generate_trace_id(), ids.is_trace_id_random()
            return trace_id, ids.generate_span_id(), is_random
        except Exception as error:  # noqa: BLE001  the border to the host
            self.report("recorder", error)
            own = OwnRandomIds()
            trace_id = own.generate_trace_id() if parent is None else parent.trace_id
            return trace_id, own.generate_span_id(), parent is None

    def _read_context(self, outer: object) -> SpanContext | None:
        """The context of a parent that is no span of ours; None where it names no span."""
        if not isinstance(outer, trace_api.Span):
            return None
        try:
            context = outer.get_span_context()
            is_valid = context.is_valid
        except Exception as error:  # noqa: BLE001  the border to the host
            self.report("recorder", error)
            return None
        return context if is_valid else None

    def select(self, bounds: Bounds, attributes: Mapping[str, Any] | None) -> tuple[dict[str, Any], int]:
        """What an event or link keeps of its attributes, and how many it drops."""
        try:
            return bounds.select(attributes)
        except Exception as error:  # noqa: BLE001  the border to the host
            self.report("recorder", error)
            return {}, 1

    # The SDK's own metrics, off unless asked for.

    def _count_start(self, own: SpanContext, parent: SpanContext | None, decision: sampling.Decision) -> None:
        self._counted[own.span_id] = self._tracer_metrics.start_span(parent, decision)

    def count_end(self, span: Span) -> None:
        """Count that a span is no longer open."""
        count = self._counted.pop(span._context.span_id, None)
        if count is not None:
            count()

    # The sink and foreign span processors.

    def _announce(self, span: Span, context: Context | None, *, is_sampled: bool) -> None:
        sink = self.sink
        if sink is not None and is_sampled:
            try:
                sink.on_start(span, context)
            except Exception as error:  # noqa: BLE001  the border to the host
                self.report("processor", error)
        processors = self.span_processor
        if processors._span_processors:
            try:
                processors.on_start(span, parent_context=context)
            except Exception as error:  # noqa: BLE001  the border to the host
                self.report("processor", error)

    def serve_end(self, span: Span) -> None:
        """Hand an ended span to foreign processors, as upstream would."""
        try:
            self.span_processor._on_ending(span)
            self.span_processor.on_end(span._readable_span())
        except Exception as error:  # noqa: BLE001  the border to the host
            self.report("processor", error)


_Decided = tuple[SpanContext, Mapping[str, Any] | None, bool]


def _samples_by_default(sampler: sampling.Sampler) -> bool:
    """Whether it decides as upstream's default does."""
    return type(sampler) is sampling.ParentBased and (
        sampler._root is sampling.ALWAYS_ON
        and sampler._remote_parent_sampled is sampling.ALWAYS_ON
        and sampler._remote_parent_not_sampled is sampling.ALWAYS_OFF
        and sampler._local_parent_sampled is sampling.ALWAYS_ON
        and sampler._local_parent_not_sampled is sampling.ALWAYS_OFF
    )
