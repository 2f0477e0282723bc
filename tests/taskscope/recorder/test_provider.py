"""The provider: its sink, foreign span processors, and that neither can hurt the host."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from taskscope.recorder.provider import RecordingTracerProvider
from taskscope.recorder.span import Span
from tests.taskscope.recorder.tracing import KeepingSink, Rig, describe

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer


@pytest.fixture(params=["upstream", "ours"])
def make(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class WatchingProcessor(SpanProcessor):
    """Writes down each call; sets an attribute at the start."""

    def __init__(self, calls: list[Any], name: str = "p") -> None:
        self.calls = calls
        self.name = name
        self.ended: list[sdk.ReadableSpan] = []

    def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:
        self.calls.append((self.name, "start", span.name, parent_context, span.is_recording()))
        span.set_attribute("by", self.name)

    def _on_ending(self, span: sdk.Span) -> None:
        self.calls.append((self.name, "ending", span.name, span.end_time is not None))

    def on_end(self, span: sdk.ReadableSpan) -> None:
        self.calls.append((self.name, "end", span.name, type(span)))
        self.ended.append(span)

    def shutdown(self) -> None:
        self.calls.append((self.name, "shutdown"))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self.calls.append((self.name, "flush", 0 < timeout_millis <= 5000))
        return True


class RaisingProcessor(SpanProcessor):
    def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:
        raise ZeroDivisionError

    def _on_ending(self, span: sdk.Span) -> None:
        raise ZeroDivisionError

    def on_end(self, span: sdk.ReadableSpan) -> None:
        raise ZeroDivisionError

    def shutdown(self) -> None:
        raise ZeroDivisionError

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        raise ZeroDivisionError


class RaisingSink(KeepingSink):
    def on_start(self, span: Span, parent_context: Context | None) -> None:
        raise MemoryError

    def on_end(self, span: Span) -> None:
        raise RecursionError

    def force_flush(self, timeout_millis: int) -> bool:
        raise OSError

    def shutdown(self) -> None:
        raise OSError


def _provide(**settings: Any) -> RecordingTracerProvider:
    return RecordingTracerProvider(resource=Resource({}), shutdown_on_exit=False, **settings)


def _make_upstreams_multi() -> Any:
    make: Any = sdk.SynchronousMultiSpanProcessor
    return make()


# --- the sink


def test_the_sink_gets_the_span_itself() -> None:
    """At its start, with the context that was given, and at its end; nothing is built for it."""
    sink = KeepingSink()
    tracer = _provide(sink=sink).get_tracer("a")
    context = trace.set_span_in_context(trace.INVALID_SPAN)
    with tracer.start_as_current_span("a", context=context, attributes={"k": 1}) as span:
        assert sink.started == [span]
        assert sink.contexts == [context]
        assert sink.ended == []
    assert sink.ended == [span]
    assert type(span) is Span
    assert span._attributes == {"k": 1}
    assert span._attributes.copy() is not span._attributes


def test_the_sink_comes_first_and_foreign_processors_see_what_it_set() -> None:
    """Its attributes are on the span when others are told of the start."""

    class StampingSink(KeepingSink):
        def on_start(self, span: Span, parent_context: Context | None) -> None:
            span.set_attribute("stamp", 1)

    seen: list[Any] = []

    class LookingProcessor(SpanProcessor):
        def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:
            seen.append(dict(span.attributes or {}))

    provider = _provide(sink=StampingSink())
    provider.add_span_processor(LookingProcessor())
    provider.get_tracer("a").start_span("a").end()
    assert seen == [{"stamp": 1}]


def test_the_sink_can_be_replaced_while_spans_are_open() -> None:
    """Tracers that were handed out before go to the new one; without one, spans are no less spans."""
    first, second = KeepingSink(), KeepingSink()
    provider = _provide(sink=first)
    tracer = provider.get_tracer("a")
    span = tracer.start_span("a")
    provider.sink = second
    assert provider.sink is second
    span.end()
    provider.sink = None
    tracer.start_span("b").end()
    assert (first.started, first.ended) == ([span], [])
    assert (second.started, second.ended) == ([], [span])


def test_of_two_threads_one_ends_a_span() -> None:
    """However many try at once, the sink is told once."""
    sink = KeepingSink()
    span = _provide(sink=sink).get_tracer("a").start_span("a")
    barrier = threading.Barrier(8)

    def end() -> None:
        barrier.wait()
        span.end()

    threads = [threading.Thread(target=end) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.ended == [span]


def test_a_span_that_was_open_at_a_fork_is_recorded_by_the_parent_alone() -> None:
    """In the child it ends for foreign processors, as upstream, not for the record; the child's own do."""
    program = """
import logging
import os
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from taskscope.recorder.provider import RecordingTracerProvider
class Sink:
    ended = []
    def on_start(self, span, parent_context): pass
    def on_end(self, span): self.ended.append(span.name)
provider = RecordingTracerProvider(sink=Sink(), shutdown_on_exit=False)
exporter = InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("a")
ids = os.pipe()
with tracer.start_as_current_span("inherited") as outer:
    child = os.fork()
    with tracer.start_as_current_span("own") as own:
        assert own.parent == outer.get_span_context()
        own_id = own.get_span_context().span_id
    if child:
        assert os.waitpid(child, 0)[1] == 0
        assert os.read(ids[0], 99) != str(own_id).encode()
    else:
        os.write(ids[1], str(own_id).encode())
expected = ["own", "inherited"] if child else ["own"]
assert Sink.ended == expected, Sink.ended
assert [span.name for span in exporter.get_finished_spans()] == ["own", "inherited"]
if not child: os._exit(0)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, env=dict(os.environ))


# --- foreign processors


def test_foreign_processors_are_served_as_upstream_does(make: str) -> None:
    """Start, ending and end of each, in the order of their adding; with the SDK's own readable span."""
    calls: list[Any] = []
    rig = Rig(make)
    processors = [WatchingProcessor(calls, "p"), WatchingProcessor(calls, "q")]
    for processor in processors:
        rig.provider.add_span_processor(processor)
    context = trace.set_span_in_context(trace.INVALID_SPAN)
    rig.tracer.start_span("a", context=context).end()
    assert rig.provider.force_flush(5000)
    rig.provider.shutdown()
    assert calls == [
        ("p", "start", "a", context, True),
        ("q", "start", "a", context, True),
        ("p", "ending", "a", True),
        ("q", "ending", "a", True),
        ("p", "end", "a", sdk.ReadableSpan),
        ("q", "end", "a", sdk.ReadableSpan),
        ("p", "flush", True),
        ("q", "flush", True),
        ("p", "shutdown"),
        ("q", "shutdown"),
    ]
    assert dict(rig.span.attributes or {}) == {"by": "q"}


def test_a_processor_added_behind_the_providers_back_is_served(make: str) -> None:
    """Some hosts add to `_active_span_processor` itself, or look there for what is registered."""
    provider: Any = Rig(make).provider
    exporter = InMemorySpanExporter()
    provider._active_span_processor.add_span_processor(SimpleSpanProcessor(exporter))
    assert len(provider._active_span_processor._span_processors) == 2
    provider.get_tracer("a").start_span("a").end()
    assert len(exporter.get_finished_spans()) == 1


def test_a_hosts_own_way_to_call_processors_is_used(make: str) -> None:
    """Upstream's concurrent one calls them from its threads."""
    multi = sdk.ConcurrentMultiSpanProcessor(num_threads=2)
    rig = Rig(make, active_span_processor=multi)
    rig.provider.add_span_processor(WatchingProcessor([]))
    rig.tracer.start_span("a").end()
    assert rig.provider.force_flush(5000)
    assert dict(rig.span.attributes or {}) == {"by": "p"}
    multi._executor.shutdown()


@pytest.mark.parametrize("multi", [None, "upstream"])
def test_a_processor_that_raises_hurts_nobody(multi: str | None) -> None:
    """Host and sink do not notice, nor do its neighbours where ours calls them; each error is counted."""
    errors: list[tuple[str, str]] = []
    sink = KeepingSink()
    own_multi = _make_upstreams_multi() if multi else None
    provider = _provide(
        sink=sink, on_error=lambda *error: errors.append(error), active_span_processor=own_multi
    )
    watcher = WatchingProcessor([])
    provider.add_span_processor(RaisingProcessor())
    provider.add_span_processor(watcher)
    with provider.get_tracer("a").start_as_current_span("a") as span:
        pass
    assert not provider.force_flush(5000)
    provider.shutdown()
    assert sink.ended == [span]
    assert set(errors) == {("processor", "ZeroDivisionError")}
    if multi is None:
        assert [call[1] for call in watcher.calls] == ["start", "ending", "end", "flush", "shutdown"]
        assert len(errors) == 5


def test_a_sink_that_raises_hurts_nobody() -> None:
    """Host and foreign processors do not notice; each error is counted."""
    errors: list[tuple[str, str]] = []
    provider = _provide(sink=RaisingSink(), on_error=lambda *error: errors.append(error))
    watcher = WatchingProcessor([])
    provider.add_span_processor(watcher)
    with provider.get_tracer("a").start_as_current_span("a"):
        pass
    assert not provider.force_flush(5000)
    provider.shutdown()
    assert [call[1] for call in watcher.calls] == ["start", "ending", "end", "flush", "shutdown"]
    assert errors == [
        ("processor", "MemoryError"),
        ("processor", "RecursionError"),
        ("processor", "OSError"),
        ("processor", "OSError"),
    ]


def test_who_counts_errors_may_fail_too() -> None:
    """The host does not notice that either."""

    def fail(component: str, error_type: str) -> None:
        raise RuntimeError("cannot count")

    with _provide(sink=RaisingSink(), on_error=fail).get_tracer("a").start_as_current_span("a"):
        pass
    with _provide(sink=RaisingSink()).get_tracer("a").start_as_current_span("a"):
        pass


def test_a_flush_ends_at_its_time() -> None:
    """Who comes after the time is over is not asked, and the answer is no."""
    calls: list[Any] = []
    provider = _provide(sink=KeepingSink())
    provider.add_span_processor(WatchingProcessor(calls))
    assert not provider.force_flush(0)
    assert calls == []
    assert provider.force_flush(5000)


def test_sink_and_processors_are_flushed_and_shut_down() -> None:
    """The sink first; a provider without either has nothing to do."""
    sink = KeepingSink()
    provider = _provide(sink=sink)
    assert provider.force_flush(5000)
    provider.shutdown()
    assert sink.calls == ["force_flush 5000", "shutdown"]
    empty = _provide()
    assert empty.force_flush()
    empty.shutdown()


# --- tracers, resource, the SDK's own metrics


def test_a_scope_has_one_tracer(make: str) -> None:
    """Name, version, schema and attributes tell scopes apart."""
    provider = Rig(make).provider
    tracer = provider.get_tracer("a", "1", "s")
    assert provider.get_tracer("a", "1", "s") is tracer
    assert provider.get_tracer("a", "1", "s", {}) is tracer
    others: list[Tracer] = [
        provider.get_tracer("b", "1", "s"),
        provider.get_tracer("a", "2", "s"),
        provider.get_tracer("a", "1"),
        provider.get_tracer("a", "1", "s", {"k": 1}),
    ]
    assert len({id(one) for one in (tracer, *others)}) == 5
    assert provider.get_tracer("a", "1", "s", {"k": 1}) is others[-1]


def test_a_tracer_without_a_name_is_one_all_the_same(make: str, caplog: pytest.LogCaptureFixture) -> None:
    """It says so each time that one is asked for."""
    rig = Rig(make)
    for name in ("", None, ""):
        rig.provider.get_tracer(name).start_span("a").end()  # type: ignore[arg-type]
    assert [record.getMessage() for record in caplog.records] == [
        "get_tracer called with missing module name."
    ] * 3
    assert {span.instrumentation_scope.name for span in rig.spans if span.instrumentation_scope} == {""}


def test_the_sdks_own_metrics_count_spans(make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by origin and decision, and how many are open, where the host asks for it."""
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    rig = Rig(make, meter_provider=meters)
    with rig.tracer.start_as_current_span("a"):
        rig.tracer.start_span("b").end()
        data: Any = reader.get_metrics_data()
        points = {
            metric.name: [(dict(point.attributes), point.value) for point in metric.data.data_points]
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
    sampled = {"otel.span.sampling_result": "RECORD_AND_SAMPLE"}
    assert points["otel.sdk.span.started"] == [
        ({"otel.span.parent.origin": "none", **sampled}, 1),
        ({"otel.span.parent.origin": "local", **sampled}, 1),
    ]
    assert points["otel.sdk.span.live"] == [(sampled, 1)]
    meters.shutdown()


@pytest.mark.parametrize("value", ["many", "-1"])
def test_a_limit_that_is_no_number_is_no_limit_of_ours(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    """Where upstream raises, the defaults stand, and one warning says so."""
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", value)
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "1")
    with pytest.raises(ValueError, match="OTEL_SPAN_EVENT_COUNT_LIMIT"):
        Rig("upstream")
    rig = Rig("ours")
    span = rig.tracer.start_span("a", attributes={str(number): "x" * 5000 for number in range(200)})
    for _ in range(200):
        span.add_event("e")
    span.end()
    assert (len(rig.span.attributes or {}), len(rig.span.events)) == (128, 128)
    assert len(str((rig.span.attributes or {})["199"])) == 5000
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert (
        f"OTEL_SPAN_EVENT_COUNT_LIMIT must be a non-negative integer but got {value}" in record.getMessage()
    )


def test_a_new_resource_reaches_all_tracers(make: str) -> None:
    """Upstream renews it after a fork."""
    rig = Rig(make)
    provider: Any = rig.provider
    provider._update_resource(Resource({"process.pid": 1}))
    rig.tracer.start_span("a").end()
    assert dict(rig.span.resource.attributes) == {"service.name": "test", "process.pid": 1}


def test_what_foreign_processors_get_stays_as_it_is(make: str) -> None:
    """It does not change with later spans, and cannot be changed."""
    rig = Rig(make)
    span = rig.tracer.start_span("a", attributes={"k": 1})
    span.add_event("e", {"k": 1})
    span.end()
    before = describe(rig.spans)
    attributes: Any = rig.span.attributes
    with pytest.raises(TypeError):
        attributes["k"] = 2
    event_attributes: Any = rig.span.events[0].attributes
    with pytest.raises(TypeError):
        event_attributes["k"] = 2
    assert describe(rig.spans) == before
