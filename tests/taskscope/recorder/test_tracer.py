"""How spans come to be: parents, sampling, the current span; upstream's laws hold for both."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, suppress_instrumentation
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)
from opentelemetry.trace.span import TraceState

from taskscope.recorder.provider import RecordingTracerProvider
from tests.taskscope.recorder.tracing import KeepingSink, Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.context import Context

_STATE = TraceState([("vendor", "x")])


@pytest.fixture(params=["upstream", "ours"])
def make(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(make: str) -> Rig:
    return Rig(make)


class ScriptedSampler(Sampler):
    """Decides as told, and keeps what it was asked."""

    def __init__(self, result: SamplingResult | Exception) -> None:
        self.result = result
        self.asked: list[Any] = []

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        self.asked.append((parent_context, name, kind, attributes, links, trace_state))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def get_description(self) -> str:
        return "scripted"


class CountedIds(IdGenerator):
    def __init__(self) -> None:
        self.count = 0

    def generate_span_id(self) -> int:
        self.count += 1
        return self.count

    def generate_trace_id(self) -> int:
        self.count += 1
        return self.count


def _remote(bits: int, *, is_remote: bool = True) -> Context:
    context = SpanContext(7, 8, is_remote, TraceFlags(bits), _STATE)
    return trace.set_span_in_context(NonRecordingSpan(context))


# --- parents


def test_a_span_without_a_parent_begins_a_trace(rig: Rig) -> None:
    """Its own trace id, sampled and random, no trace state."""
    rig.tracer.start_span("a").end()
    rig.tracer.start_span("b").end()
    first, second = (span.context for span in rig.spans)
    assert first.trace_id != second.trace_id
    assert first.span_id != second.span_id
    assert (first.is_valid, first.is_remote, first.trace_flags, dict(first.trace_state)) == (
        True,
        False,
        3,
        {},
    )
    assert [span.parent for span in rig.spans] == [None, None]


def test_a_span_is_a_child_of_the_current_one(rig: Rig) -> None:
    """Same trace, its parent's very context, through several levels."""
    with rig.tracer.start_as_current_span("a") as outer, rig.tracer.start_as_current_span("b") as inner:
        rig.tracer.start_span("c").end()
    c, b, a = rig.spans
    assert (c.parent, b.parent, a.parent) == (inner.get_span_context(), outer.get_span_context(), None)
    assert len({span.context.trace_id for span in rig.spans}) == 1


def test_a_given_context_names_the_parent(rig: Rig) -> None:
    """Not the current span; an empty context is a new trace."""
    other = rig.tracer.start_span("other")
    with rig.tracer.start_as_current_span("current"):
        rig.tracer.start_span("child", context=trace.set_span_in_context(other)).end()
        rig.tracer.start_span("root", context=otel_context.Context()).end()
    child, root = rig.spans[:2]
    assert child.parent == other.get_span_context()
    assert root.parent is None


@pytest.mark.parametrize("bits", range(4))
@pytest.mark.parametrize("is_remote", [True, False])
def test_a_parent_from_elsewhere_decides(rig: Rig, bits: int, is_remote: bool) -> None:
    """Its sampled flag, its random flag and its trace state pass on to the child, remote or not."""
    span = rig.tracer.start_span("a", context=_remote(bits, is_remote=is_remote))
    span.end()
    own = span.get_span_context()
    assert span.is_recording() is False
    assert type(span) is NonRecordingSpan or bits & 1
    assert (own.trace_id, int(own.trace_flags), own.is_remote) == (7, bits, False)
    assert own.span_id != 8
    assert own.trace_state is _STATE
    assert len(rig.spans) == (bits & 1)


def test_unknown_flags_do_not_pass_on(rig: Rig) -> None:
    """Only what a tracer understands stands in its own context."""
    span = rig.tracer.start_span("a", context=_remote(0xFF))
    assert int(span.get_span_context().trace_flags) == 3
    span.end()


@pytest.mark.parametrize(
    "context",
    [
        pytest.param(trace.set_span_in_context(INVALID_SPAN), id="invalid span"),
        pytest.param(
            trace.set_span_in_context(NonRecordingSpan(SpanContext(7, 0, is_remote=True))), id="no id"
        ),
        pytest.param(otel_context.set_value(trace.propagation._SPAN_KEY, "no span"), id="no span at all"),
    ],
)
def test_an_invalid_parent_is_none(rig: Rig, context: Context) -> None:
    """The span begins a trace of its own."""
    rig.tracer.start_span("a", context=context).end()
    assert rig.span.parent is None
    assert rig.span.context.trace_id != 7


def test_a_parent_of_another_make_is_a_parent(make: str) -> None:
    """Spans of the SDK's provider and of ours mix in one trace, both ways."""
    other = Rig("ours" if make == "upstream" else "upstream")
    rig = Rig(make)
    with rig.tracer.start_as_current_span("a") as a, other.tracer.start_as_current_span("b") as b:
        rig.tracer.start_span("c").end()
    assert other.span.parent == a.get_span_context()
    assert rig.spans[0].parent == b.get_span_context()


def test_an_ended_parent_is_still_a_parent(rig: Rig) -> None:
    """Work may outlive the span that began it."""
    outer = rig.tracer.start_span("a")
    outer.end()
    rig.tracer.start_span("b", context=trace.set_span_in_context(outer)).end()
    assert rig.spans[1].parent == outer.get_span_context()


# --- sampling


@pytest.mark.parametrize(
    "sampler, sampled",
    [
        (ALWAYS_ON, [True, True, True]),
        (ALWAYS_OFF, [False, False, False]),
        (ParentBased(ALWAYS_ON), [True, True, False]),
        (ParentBased(ALWAYS_OFF), [False, True, False]),
        (ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON), [True, True, True]),
        (TraceIdRatioBased(1.0), [True, True, True]),
    ],
)
def test_the_sampler_decides(make: str, sampler: Sampler, sampled: list[bool]) -> None:
    """On a root, a child of a sampled remote parent, and one of an unsampled: recorded or without effect."""
    rig = Rig(make, sampler=sampler)
    contexts = [otel_context.Context(), _remote(1), _remote(0)]
    spans = [rig.tracer.start_span("a", context=context) for context in contexts]
    assert [span.is_recording() for span in spans] == sampled
    assert [bool(span.get_span_context().trace_flags.sampled) for span in spans] == sampled
    for span in spans:
        span.end()
    assert len(rig.spans) == sum(sampled)


@pytest.mark.parametrize(
    "name, argument, is_sampled",
    [("always_off", "", False), ("parentbased_traceidratio", "0", False), ("traceidratio", "1", True)],
)
def test_the_environment_names_the_sampler(
    make: str, monkeypatch: pytest.MonkeyPatch, name: str, argument: str, is_sampled: bool
) -> None:
    """`OTEL_TRACES_SAMPLER` and its argument."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    assert Rig(make).tracer.start_span("a").is_recording() is is_sampled


def test_a_sampler_is_asked_and_its_word_counts(make: str) -> None:
    """It sees context, name, kind, attributes and links; its attributes and trace state are the span's."""
    sampler = ScriptedSampler(SamplingResult(Decision.RECORD_AND_SAMPLE, {"said": 1}, _STATE))
    rig = Rig(make, sampler=sampler)
    context, links = _remote(0), [Link(SpanContext(1, 2, is_remote=False))]
    rig.tracer.start_span("a", context, SpanKind.SERVER, {"given": 1}, links).end()
    assert sampler.asked == [(context, "a", SpanKind.SERVER, {"given": 1}, links, None)]
    assert dict(rig.span.attributes or {}) == {"said": 1}
    assert rig.span.context.trace_state is _STATE
    assert rig.span.context.trace_flags == 1


def test_what_is_recorded_only_is_not_sampled(make: str) -> None:
    """Such a span reaches processors, but neither exporters nor the record; nor are its children sampled."""
    rig = Rig(make, sampler=ScriptedSampler(SamplingResult(Decision.RECORD_ONLY)))
    sink = KeepingSink()
    if isinstance(rig.provider, RecordingTracerProvider):
        rig.provider.sink = sink
    with rig.tracer.start_as_current_span("a") as span:
        assert span.is_recording()
        assert not span.get_span_context().trace_flags.sampled
    with trace.use_span(span):
        assert not Rig(make).tracer.start_span("b").is_recording()
    assert rig.spans == []  # upstream's exporting processors leave it out
    assert (sink.started, sink.ended) == ([], [])


def test_a_sampler_that_raises_costs_nothing() -> None:
    """The span is sampled as by default, and the error is counted."""
    errors: list[tuple[str, str]] = []
    sampler = ScriptedSampler(ZeroDivisionError())
    rig = Rig("ours", sampler=sampler, on_error=lambda *error: errors.append(error))
    rig.tracer.start_span("a", attributes={"k": 1}).end()
    assert dict(rig.span.attributes or {}) == {"k": 1}
    assert errors == [("recorder", "ZeroDivisionError")]


# --- ids


def test_a_foreign_id_generator_is_used(make: str) -> None:
    """Its ids in the order of their making; it does not claim that they are random."""
    rig = Rig(make, id_generator=CountedIds())
    with rig.tracer.start_as_current_span("a"):
        rig.tracer.start_span("b").end()
    assert [(span.context.trace_id, span.context.span_id) for span in rig.spans] == [(1, 3), (1, 2)]
    assert [int(span.context.trace_flags) for span in rig.spans] == [1, 1]


def test_an_id_generator_that_raises_costs_nothing() -> None:
    """Ids are made all the same, and the error is counted."""

    class BrokenIds(CountedIds):
        def generate_span_id(self) -> int:
            raise OSError("no entropy")

    errors: list[tuple[str, str]] = []
    rig = Rig("ours", id_generator=BrokenIds(), on_error=lambda *error: errors.append(error))
    with rig.tracer.start_as_current_span("a"):
        rig.tracer.start_span("b").end()
    b, a = rig.spans
    assert b.parent == a.context
    assert errors == [("recorder", "OSError")] * 2


def test_a_hosts_seed_repeats_no_id() -> None:
    """Whoever seeds `random` for its own experiments gets new ids all the same; upstream's come again."""
    state = random.getstate()
    rig = Rig("ours")
    try:
        for _ in range(2):
            random.seed(42)
            rig.tracer.start_span("a").end()
    finally:
        random.setstate(state)
    first, second = (span.context for span in rig.spans)
    assert first.trace_id != second.trace_id
    assert first.span_id != second.span_id


# --- the current span


def test_a_span_is_current_inside_of_its_block_only(rig: Rig) -> None:
    """What else stands in the context stays there."""
    token = otel_context.attach(otel_context.set_value("other", 1))
    with rig.tracer.start_as_current_span("a") as span:
        assert trace.get_current_span() is span
        assert otel_context.get_value("other") == 1
        assert span.is_recording()
    assert trace.get_current_span() is INVALID_SPAN
    assert not span.is_recording()
    otel_context.detach(token)


def test_the_context_that_names_the_parent_does_not_become_current(rig: Rig) -> None:
    """Only the span is put into the current context, as upstream."""
    with rig.tracer.start_as_current_span("a", context=otel_context.set_value("other", 1)):
        assert otel_context.get_value("other") is None


def test_a_span_may_outlive_its_block(rig: Rig) -> None:
    """With `end_on_exit=False` it stays open."""
    with rig.tracer.start_as_current_span("a", end_on_exit=False) as span:
        pass
    assert span.is_recording()
    assert trace.get_current_span() is INVALID_SPAN
    span.end()


def test_a_span_that_was_ended_inside_of_its_block_says_no_more(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """The exception that leaves the block later is not recorded on it."""

    def end_and_fail() -> None:
        with rig.tracer.start_as_current_span("a") as span:
            span.end()
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        end_and_fail()
    assert rig.span.events == ()
    assert [record.getMessage() for record in caplog.records] == ["Calling end() on an ended span."]


def test_an_exception_leaves_the_block_and_is_recorded(rig: Rig) -> None:
    """Once as an event that did not escape, once as the status; the host gets the very same exception."""
    error = ValueError("x")
    with pytest.raises(ValueError, match="x") as caught, rig.tracer.start_as_current_span("a"):
        raise error
    assert caught.value is error
    (event,) = rig.span.events
    assert (event.attributes or {})["exception.escaped"] == "False"
    assert (rig.span.status.status_code, rig.span.status.description) == (StatusCode.ERROR, "ValueError: x")


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), SystemExit()]
)
def test_what_is_no_exception_is_no_failure(rig: Rig, error: BaseException) -> None:
    """The span ends unset, without an event."""
    with pytest.raises(type(error)), rig.tracer.start_as_current_span("a"):
        raise error
    assert rig.span.events == ()
    assert rig.span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("record_exception", [True, False])
@pytest.mark.parametrize("set_status_on_exception", [True, False])
def test_what_is_told_of_an_exception_can_be_chosen(
    rig: Rig, record_exception: bool, set_status_on_exception: bool
) -> None:
    """The event and the status, each by its own."""
    with (
        pytest.raises(ValueError, match="x"),
        rig.tracer.start_as_current_span(
            "a", record_exception=record_exception, set_status_on_exception=set_status_on_exception
        ),
    ):
        raise ValueError("x")
    assert bool(rig.span.events) is record_exception
    assert (rig.span.status.status_code is StatusCode.ERROR) is set_status_on_exception


def test_an_unsampled_span_is_current_too(make: str) -> None:
    """Its children are unsampled in the same trace."""
    rig = Rig(make, sampler=ALWAYS_OFF)
    with rig.tracer.start_as_current_span("a") as outer:
        assert trace.get_current_span() is outer
        inner = rig.tracer.start_span("b")
    assert inner.get_span_context().trace_id == outer.get_span_context().trace_id
    assert rig.spans == []


def test_use_span_makes_any_span_current(rig: Rig) -> None:
    """The API's own way, with its own rules for exceptions."""
    span = rig.tracer.start_span("a")

    def work_and_fail() -> None:
        with trace.use_span(span, end_on_exit=True):
            rig.tracer.start_span("b").end()
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        work_and_fail()
    assert rig.spans[0].parent == span.get_span_context()
    assert rig.spans[1].status.description == "ValueError: x"


def test_each_thread_and_task_has_its_own_current_span(rig: Rig) -> None:
    """A new thread has none; a task begins with that of its creator, and what it opens stays its own."""
    seen: list[trace.Span] = []

    async def work(name: str) -> None:
        with rig.tracer.start_as_current_span(name):
            await asyncio.sleep(0)

    async def both() -> None:
        with rig.tracer.start_as_current_span("outer"):
            await asyncio.gather(work("a"), work("b"))

    asyncio.run(both())
    with rig.tracer.start_as_current_span("main"):
        thread = threading.Thread(target=lambda: seen.append(trace.get_current_span()))
        thread.start()
        thread.join()
    assert seen == [INVALID_SPAN]
    outer = next(span for span in rig.spans if span.name == "outer")
    assert [span.parent for span in rig.spans if span.name in {"a", "b"}] == [outer.context] * 2


def test_a_block_that_is_left_in_another_context_says_so(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """The span ends; that the context could not be restored is logged, not raised."""
    block = rig.tracer.start_as_current_span("a")
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert rig.span.end_time is not None
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "Failed to detach context")
    ]


# --- as a decorator


def test_each_call_of_a_decorated_function_is_a_span(rig: Rig) -> None:
    """No span before the first call; name and doc, arguments and result stay the function's."""

    @rig.tracer.start_as_current_span("a", attributes={"k": 1})
    def double(number: int) -> int:
        """Twice."""
        assert trace.get_current_span().is_recording()
        return 2 * number

    assert rig.spans == []
    assert (double.__name__, double.__doc__) == ("double", "Twice.")
    assert [double(1), double(number=2)] == [2, 4]
    first, second = rig.spans
    assert first.context != second.context
    assert [(span.name, dict(span.attributes or {})) for span in rig.spans] == [("a", {"k": 1})] * 2


def test_a_decorated_coroutine_is_a_span_until_it_is_done(rig: Rig) -> None:
    """Not only until it was made; it is a coroutine function still."""

    @rig.tracer.start_as_current_span("a")
    async def work() -> trace.Span:
        await asyncio.sleep(0)
        assert trace.get_current_span().is_recording()
        return trace.get_current_span()

    assert asyncio.iscoroutinefunction(work)
    assert not asyncio.run(work()).is_recording()
    assert rig.span.name == "a"


@pytest.mark.parametrize("is_async", [True, False])
def test_a_decorated_function_may_call_itself_and_fail(rig: Rig, is_async: bool) -> None:
    """Each level is a span, child of the one before; each tells of the exception that passes it."""
    error = ValueError("x")

    @rig.tracer.start_as_current_span("a")
    def descend(depth: int) -> None:
        if depth == 0:
            raise error
        descend(depth - 1)

    @rig.tracer.start_as_current_span("a")
    async def descend_async(depth: int) -> None:
        if depth == 0:
            raise error
        await descend_async(depth - 1)

    call: Callable[[], object] = (lambda: asyncio.run(descend_async(2))) if is_async else lambda: descend(2)
    with pytest.raises(ValueError, match="x") as caught:
        call()
    assert caught.value is error
    inner, middle, outer = rig.spans
    assert (inner.parent, middle.parent, outer.parent) == (middle.context, outer.context, None)
    assert [span.status.description for span in rig.spans] == ["ValueError: x"] * 3


# --- switched off


def test_suppressed_instrumentation_is_the_instrumentations_matter(rig: Rig) -> None:
    """The key stands in the context for whoever asks; a tracer that is used all the same makes its span."""
    with suppress_instrumentation(), rig.tracer.start_as_current_span("a"):
        assert not is_instrumentation_enabled()
    assert is_instrumentation_enabled()
    assert rig.span.name == "a"


def test_a_tracer_can_be_switched_off_and_on_again(rig: Rig) -> None:
    """By upstream's configurator: meanwhile its spans have no effect and carry the parent's context on."""
    provider: Any = rig.provider
    with rig.tracer.start_as_current_span("a") as outer:
        provider._set_tracer_configurator(tracer_configurator=sdk_trace._disable_tracer_configurator)
        off = rig.tracer.start_span("b")
        nowhere = rig.tracer.start_span("c", context=otel_context.Context())
        provider._set_tracer_configurator(tracer_configurator=sdk_trace._default_tracer_configurator)
        rig.tracer.start_span("d").end()
    assert (type(off), off.get_span_context()) == (NonRecordingSpan, outer.get_span_context())
    assert nowhere.get_span_context() == INVALID_SPAN.get_span_context()
    assert [span.name for span in rig.spans] == ["d", "a"]


def test_otel_sdk_disabled_is_no_tracing_at_all(make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API's own tracer without effect."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    rig = Rig(make)
    assert type(rig.tracer) is trace.NoOpTracer
    with rig.tracer.start_as_current_span("a") as span:
        assert not span.is_recording()
    assert rig.spans == []


def test_a_context_that_is_none_at_all_is_no_parent() -> None:
    """Whatever was handed in for it, the host gets its span."""
    errors: list[tuple[str, str]] = []
    rig = Rig("ours", on_error=lambda *error: errors.append(error))
    wrong: Any = 5
    rig.tracer.start_span("a", context=wrong).end()
    assert rig.span.parent is None
    assert errors == [("recorder", "AttributeError")]


def test_a_parent_that_raises_is_none() -> None:
    """A foreign span whose context cannot be read does not stop the host, and is counted."""

    class BrokenSpan(NonRecordingSpan):
        def get_span_context(self) -> SpanContext:
            raise RuntimeError("gone")

    errors: list[tuple[str, str]] = []
    rig = Rig("ours", on_error=lambda *error: errors.append(error))
    rig.tracer.start_span(
        "a", context=trace.set_span_in_context(BrokenSpan(INVALID_SPAN.get_span_context()))
    ).end()
    assert rig.span.parent is None
    assert errors == [("recorder", "RuntimeError")]


def test_both_makes_are_sdk_tracers(rig: Rig) -> None:
    """Hosts that look at what they got find upstream's classes and public fields."""
    tracer: Any = rig.tracer
    assert isinstance(rig.provider, sdk_trace.TracerProvider)
    assert isinstance(tracer, sdk_trace.Tracer)
    assert tracer.resource is rig.provider.resource
    assert tracer.sampler is rig.provider.sampler
    assert tracer.id_generator is rig.provider.id_generator
