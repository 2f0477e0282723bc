"""What a span promises: each law that is upstream's holds for upstream's span and for ours alike."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.trace.span import TraceState

from taskscope.recorder._clock import Clock
from taskscope.recorder.provider import RecordingTracerProvider
from taskscope.semconv import attributes as attr
from taskscope.telemetry import spans
from taskscope.telemetry.providers import use_providers
from tests.taskscope.recorder.tracing import KeepingSink, Rig, describe

if TYPE_CHECKING:
    from collections.abc import Callable

_ELSEWHERE = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))
_NOWHERE = SpanContext(0, 8, is_remote=False)


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unhashable(str):
    __slots__ = ()

    def __hash__(self) -> int:
        raise RuntimeError("no hash")


class Endless(list[Any]):
    def __iter__(self) -> Any:
        raise RuntimeError("no items")


class Name(str):
    __slots__ = ()


class SpokenError(Exception):
    pass


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.fixture(params=["upstream", "ours"])
def make(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(make: str) -> Rig:
    return Rig(make)


@pytest.fixture
def ours() -> Rig:
    return Rig("ours")


# --- what it is


def test_it_is_a_span_for_whoever_asks(rig: Rig) -> None:
    """The API's, the SDK's and a readable one, by upstream's names, open or ended."""
    span = rig.tracer.start_span("a", kind=SpanKind.CLIENT, attributes={"k": "v"})
    assert isinstance(span, trace.Span)
    assert isinstance(span, sdk.Span)
    assert isinstance(span, sdk.ReadableSpan)
    assert (span.name, span.kind, span.parent, span.end_time) == ("a", SpanKind.CLIENT, None, None)
    assert dict(span.attributes or {}) == {"k": "v"}
    assert (span.events, span.links) == ((), ())
    assert span.context is span.get_span_context()
    assert span.resource.attributes == {"service.name": "test"}
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "scope"
    assert '"name": "a"' in span.to_json()
    assert "a" in repr(span)


def test_its_old_description_of_a_scope_is_there_for_old_exporters(rig: Rig) -> None:
    """Name, version and schema of the scope, without a warning to whoever gets the tracer."""
    rig.tracer.start_span("a").end()
    info = rig.span._instrumentation_info
    assert info is not None
    assert (info.name, info.version, info.schema_url) == ("scope", "1.0", "https://schema")


# --- attributes


def test_attributes_are_set_one_by_one_and_together(rig: Rig) -> None:
    """The last value of a key counts, and each keeps its type."""
    span = rig.tracer.start_span("a", attributes={"a": 1, "b": True})
    span.set_attribute("a", "x")
    span.set_attributes({"b": 2.5, "c": b"raw", "d": None})
    span.end()
    assert dict(rig.span.attributes or {}) == {"a": "x", "b": 2.5, "c": b"raw", "d": None}


def test_a_list_that_changes_later_was_another_list(rig: Rig) -> None:
    """Lists, and what is nested in them or in mappings, are kept as they were when they were set."""
    values: list[Any] = ["a"]
    nested = {"deep": [values]}
    span = rig.tracer.start_span("a", attributes={"start": values})
    span.set_attribute("set", values)
    span.set_attributes({"nested": nested, "mixed": [values, 1]})
    span.add_event("e", {"event": values})
    span.add_link(_ELSEWHERE, {"link": values})
    values.append("b")
    nested["more"] = []
    span.end()
    assert dict(rig.span.attributes or {}) == {
        "start": ("a",),
        "set": ("a",),
        "nested": {"deep": (("a",),)},
        "mixed": (("a",), 1),
    }
    assert dict(rig.span.events[0].attributes or {}) == {"event": ("a",)}
    assert dict(rig.span.links[0].attributes or {}) == {"link": ("a",)}


def test_a_key_that_is_no_text_is_dropped_and_counted(rig: Rig) -> None:
    """So is an empty one; in a mapping, a key with words of its own is taken by them."""
    span = rig.tracer.start_span("a")
    bad: Any = 5
    span.set_attribute(bad, 1)
    span.set_attribute("", 1)
    span.set_attributes({bad: "five", "": 1, "a": 1})
    span.end()
    assert dict(rig.span.attributes or {}) == {"5": "five", "a": 1}
    assert rig.span.dropped_attributes == 3


def test_an_object_is_its_words_for_foreign_processors(rig: Rig) -> None:
    """As upstream, what is no attribute value becomes its text, and None where it has no text of its own."""
    span: Any = rig.tracer.start_span("a", attributes={"set": {1}})  # type: ignore[dict-item]
    span.set_attribute("error", ValueError("x"))
    span.set_attribute("object", object())
    span.end()
    assert dict(rig.span.attributes or {}) == {"set": "{1}", "error": "x", "object": None}


def test_too_many_attributes_push_out_the_oldest(make: str) -> None:
    """As many as the limit says are kept, and each that went is counted."""
    rig = Rig(make, span_limits=SpanLimits(max_span_attributes=3))
    span = rig.tracer.start_span("a", attributes={"0": 0, "1": 1, "2": 2, "3": 3})
    span.set_attribute("4", 4)
    span.set_attribute("4", "again")
    span.set_attributes({"5": 5, "6": 6})
    span.end()
    assert dict(rig.span.attributes or {}) == {"4": "again", "5": 5, "6": 6}
    assert rig.span.dropped_attributes == 4


def test_a_limit_of_none_at_all_drops_everything(make: str) -> None:
    """Attributes, events and links are counted, not kept."""
    rig = Rig(
        make, span_limits=SpanLimits(max_attributes=0, max_events=0, max_links=0, max_span_attributes=0)
    )
    span = rig.tracer.start_span("a", attributes={"a": 1}, links=[Link(_ELSEWHERE)])
    span.set_attribute("b", 1)
    span.add_event("e")
    span.add_link(_ELSEWHERE)
    span.end()
    assert (rig.span.attributes, rig.span.events, rig.span.links) == ({}, (), ())
    assert (rig.span.dropped_attributes, rig.span.dropped_events, rig.span.dropped_links) == (2, 1, 2)


def test_limits_come_from_the_environment(make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_SPAN_*` and `OTEL_ATTRIBUTE_*` count for attributes, their lengths, events and links."""
    for name, value in {
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "2",
        "OTEL_SPAN_EVENT_COUNT_LIMIT": "1",
        "OTEL_SPAN_LINK_COUNT_LIMIT": "1",
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "1",
        "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "1",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3",
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2",
    }.items():
        monkeypatch.setenv(name, value)
    rig = Rig(make)
    span = rig.tracer.start_span("a", attributes={"a": "long", "b": ["long", 5], "c": {"d": "long"}})
    for number in range(2):
        span.add_event(f"e{number}", {"x": "longer", "y": 1})
        span.add_link(_ELSEWHERE, {"x": number, "y": "longer"})
    span.end()
    assert dict(rig.span.attributes or {}) == {"b": ("lo", 5), "c": {"d": "lo"}}
    assert [
        (event.name, dict(event.attributes or {}), event.dropped_attributes) for event in rig.span.events
    ] == [("e1", {"y": 1}, 1)]
    assert [(dict(link.attributes or {}), link.dropped_attributes) for link in rig.span.links] == [
        ({"y": "lon"}, 1)
    ]
    assert (rig.span.dropped_attributes, rig.span.dropped_events, rig.span.dropped_links) == (1, 1, 1)


def test_what_the_contract_says_outlives_the_limit(ours: Rig) -> None:
    """Where upstream forgets at attribute 129 which task a span is of, ours gives up the others first."""
    task = {attr.GEN_AI_OPERATION_NAME: "execute_tool", attr.TASK_ID: "t-1"}
    span = ours.tracer.start_span("a", attributes=task)
    span.set_attributes({f"app.{number}": number for number in range(200)})
    span.set_attribute(attr.TASK_KIND, "repair")
    span.end()
    said = dict(ours.span.attributes or {})
    assert len(said) == 128
    assert {key: said[key] for key in (*task, attr.TASK_KIND)} == {**task, attr.TASK_KIND: "repair"}
    assert "app.199" in said
    assert ours.span.dropped_attributes == 75


def test_a_limit_too_small_for_the_contract_holds_all_the_same() -> None:
    """A foreign key is not let in; a later one of the contract takes the oldest one's place."""
    rig = Rig("ours", span_limits=SpanLimits(max_span_attributes=1))
    span = rig.tracer.start_span("a", attributes={attr.TASK_ID: "t-1"})
    span.set_attribute("app.x", 1)
    assert dict(span.attributes or {}) == {attr.TASK_ID: "t-1"}  # type: ignore[attr-defined]
    span.set_attribute(attr.TASK_KIND, "repair")
    span.end()
    assert dict(rig.span.attributes or {}) == {attr.TASK_KIND: "repair"}
    assert rig.span.dropped_attributes == 2


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Hostile(), id="no text"),
        pytest.param([Hostile(), 1], id="no text in a list"),
        pytest.param(2**99999, id="a huge number"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param({Hostile(): 1}, id="no key"),
        pytest.param(Endless([1]), id="no items"),
    ],
)
def test_a_hostile_value_is_not_raised_at_the_host(ours: Rig, value: Any) -> None:
    """Wherever it is handed in, the span ends, reaches everybody, and keeps its other attributes."""
    sink = KeepingSink()
    assert isinstance(ours.provider, RecordingTracerProvider)
    ours.provider.sink = sink
    with ours.tracer.start_as_current_span("a", attributes={"bad": value, "good": 1}) as span:
        span.set_attribute("bad too", value)
        span.set_attributes({"bad again": value, "good too": 2})
        span.add_event("e", {"bad": value, "good": 1})
        span.add_link(_ELSEWHERE, {"bad": value, "good": 1})
    assert sink.ended == [span]
    said = dict(ours.span.attributes or {})
    assert (said["good"], said["good too"]) == (1, 2)
    assert (ours.span.events[0].attributes or {})["good"] == 1
    assert (ours.span.links[0].attributes or {})["good"] == 1


def test_a_hostile_key_is_not_raised_at_the_host() -> None:
    """It is dropped and counted, in a mapping without what stands beside it."""
    errors: list[tuple[str, str]] = []
    rig = Rig("ours", on_error=lambda *error: errors.append(error))
    span = rig.tracer.start_span("a")
    wordless: Any = Hostile()
    span.set_attributes({wordless: 1, "good": 1})
    span.set_attribute(Unhashable("k"), 1)
    span.end()
    assert dict(rig.span.attributes or {}) == {"good": 1}
    assert rig.span.dropped_attributes == 2
    assert errors == [("recorder", "RuntimeError")]


def test_a_key_of_a_class_of_its_own_is_a_key(rig: Rig) -> None:
    """Names of an enum of texts, say."""
    span = rig.tracer.start_span("a", attributes={Name("start"): 1})
    span.set_attribute(Name("set"), 2)
    span.end()
    assert dict(rig.span.attributes or {}) == {"start": 1, "set": 2}


def test_a_list_in_itself_has_an_end(ours: Rig) -> None:
    """Neither its depth nor its breadth takes long: it is cut where it is nested too deep."""
    cycle: list[Any] = []
    cycle += [cycle] * 10
    ours.tracer.start_span("a", attributes={"cycle": cycle, "good": 1}).end()
    assert (ours.span.attributes or {})["good"] == 1
    assert "[nested too deep]" in str((ours.span.attributes or {})["cycle"])


def test_attributes_that_are_no_mapping_are_not_raised_at_the_host() -> None:
    """They are counted as an error of ours, and the span goes on."""
    errors: list[tuple[str, str]] = []
    rig = Rig("ours", on_error=lambda *error: errors.append(error))
    wrong: Any = 5
    with rig.tracer.start_as_current_span("a", attributes=wrong, links=wrong) as span:
        span.set_attributes(wrong)
        span.add_event("e", wrong)
        span.record_exception(ValueError("x"), wrong)
    assert errors == [("recorder", "TypeError")] * 5
    assert [event.name for event in rig.span.events] == ["e"]


# --- events, links, exceptions


def test_events_keep_their_order_and_times(rig: Rig) -> None:
    """A time given is the event's; else it is that of the clock, within the span."""
    span = rig.tracer.start_span("a")
    span.add_event("first", {"k": ["v"]}, timestamp=5)
    span.add_event("second")
    span.end()
    first, second = rig.span.events
    assert (first.name, first.timestamp, dict(first.attributes or {})) == ("first", 5, {"k": ("v",)})
    assert (second.name, dict(second.attributes or {})) == ("second", {})
    assert (rig.span.start_time or 0) <= second.timestamp <= (rig.span.end_time or 0)


def test_a_link_that_says_nothing_is_no_link(rig: Rig) -> None:
    """An invalid context counts only with attributes or a trace state, at the start and later."""
    state = SpanContext(0, 0, is_remote=True, trace_state=TraceState([("k", "v")]))
    given = [Link(_NOWHERE), Link(_NOWHERE, {"k": 1}), Link(state), Link(_ELSEWHERE)]
    span = rig.tracer.start_span("a", links=given)
    for link in given:
        span.add_link(link.context, link.attributes)
    span.end()
    assert [link.context for link in rig.span.links] == [_NOWHERE, state, _ELSEWHERE] * 2


def test_an_exception_is_an_event(rig: Rig) -> None:
    """Type, message, stack trace and whether it escaped, with what is added to it."""
    span = rig.tracer.start_span("a")
    try:
        raise TypeError("x")
    except TypeError as error:
        span.record_exception(error, {"extra": 1, "exception.message": "mine"}, timestamp=5, escaped=True)
    span.record_exception(SpokenError("x"))
    span.end()
    first, second = rig.span.events
    said = dict(first.attributes or {})
    assert (first.name, first.timestamp) == ("exception", 5)
    assert "TypeError" in str(said.pop("exception.stacktrace"))
    assert said == {
        "exception.type": "TypeError",
        "exception.message": "mine",
        "exception.escaped": "True",
        "extra": 1,
    }
    assert (second.attributes or {})["exception.type"] == f"{__name__}.SpokenError"
    assert (second.attributes or {})["exception.escaped"] == "False"


def test_an_exception_without_words_is_recorded_without_words(ours: Rig) -> None:
    """The host gets its own exception, not that of its `__str__`."""
    with pytest.raises(HostileError), ours.tracer.start_as_current_span("a"):
        raise HostileError
    (event,) = ours.span.events
    assert (event.attributes or {})["exception.message"] == "[unreadable HostileError]"
    assert ours.span.status.description == "HostileError: [unreadable HostileError]"


# --- status


@pytest.mark.parametrize(
    "calls, expected",
    [
        ([], (StatusCode.UNSET, None)),
        ([(StatusCode.ERROR, "why")], (StatusCode.ERROR, "why")),
        ([(StatusCode.OK, "why")], (StatusCode.OK, None)),
        ([(StatusCode.ERROR, "why"), (StatusCode.OK, None)], (StatusCode.OK, None)),
        ([(StatusCode.OK, None), (StatusCode.ERROR, "why")], (StatusCode.OK, None)),
        ([(StatusCode.OK, None), (Status(StatusCode.ERROR, "why"), None)], (StatusCode.OK, None)),
        ([(StatusCode.ERROR, "why"), (StatusCode.UNSET, None)], (StatusCode.ERROR, "why")),
        ([(StatusCode.ERROR, "why"), (Status(StatusCode.UNSET), None)], (StatusCode.ERROR, "why")),
        ([(Status(StatusCode.ERROR, "why"), "ignored")], (StatusCode.ERROR, "why")),
        ([(StatusCode.ERROR, "why"), (StatusCode.ERROR, "then")], (StatusCode.ERROR, "then")),
        ([("ERROR", "no status at all")], (StatusCode.UNSET, None)),
    ],
)
def test_the_rules_of_status(
    rig: Rig, calls: list[tuple[Any, str | None]], expected: tuple[Any, Any]
) -> None:
    """OK is final, UNSET changes nothing, only ERROR has a description, and the last ERROR counts."""
    span = rig.tracer.start_span("a")
    for status, description in calls:
        span.set_status(status, description)
    span.end()
    assert (rig.span.status.status_code, rig.span.status.description) == expected


def test_a_name_may_change_until_the_end(rig: Rig) -> None:
    """The last one counts."""
    span = rig.tracer.start_span("a")
    span.update_name("b")
    span.end()
    assert rig.span.name == "b"


# --- the end


_AFTER_THE_END: list[tuple[str, Callable[[trace.Span], object]]] = [
    ("Setting attribute on ended span.", lambda span: span.set_attribute("late", 1)),
    ("Setting attribute on ended span.", lambda span: span.set_attributes({"late": 1})),
    ("Tried calling _add_event on an ended span.", lambda span: span.add_event("late")),
    ("Tried calling _add_link on an ended span.", lambda span: span.add_link(_ELSEWHERE)),
    ("Tried calling update_name on an ended span.", lambda span: span.update_name("late")),
    ("Tried calling set_status on an ended span.", lambda span: span.set_status(StatusCode.ERROR)),
    ("Tried calling _add_event on an ended span.", lambda span: span.record_exception(ValueError("late"))),
    ("Calling end() on an ended span.", lambda span: span.end(99)),
]


@pytest.mark.parametrize("warning, call", _AFTER_THE_END)
def test_after_its_end_a_span_changes_no_more(
    rig: Rig, caplog: pytest.LogCaptureFixture, warning: str, call: Callable[[trace.Span], object]
) -> None:
    """Each call warns in upstream's words; what was handed on, and the span itself, stay as they were."""
    span = rig.tracer.start_span("a", attributes={"k": "v"})
    span.end(50)
    assert not span.is_recording()
    before = describe(rig.spans)
    call(span)
    assert describe(rig.spans) == before
    assert dict(span.attributes) == {"k": "v"}  # type: ignore[attr-defined]
    assert span.end_time == 50  # type: ignore[attr-defined]
    assert [(record.levelno, record.name, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "opentelemetry.sdk.trace", warning)
    ]


def test_a_link_that_says_nothing_is_not_worth_a_warning(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Not even after the end."""
    span = rig.tracer.start_span("a")
    span.end()
    span.add_link(INVALID_SPAN_CONTEXT)
    assert not caplog.records


def test_times_that_are_given_are_the_spans(rig: Rig) -> None:
    """Start and end as told, even an end before the start; an end alone too."""
    rig.tracer.start_span("a", start_time=100).end(50)
    rig.tracer.start_span("b", start_time=0).end(0)
    assert [(span.start_time, span.end_time) for span in rig.spans] == [(100, 50), (0, 0)]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt("x")])
def test_a_span_as_a_block_ends_with_what_leaves_it(rig: Rig, error: BaseException) -> None:
    """`with tracer.start_span(...)`: the exception is recorded as escaped, whatever it is."""
    with pytest.raises(type(error)), rig.tracer.start_span("a"):
        raise error
    (event,) = rig.span.events
    assert (event.attributes or {})["exception.escaped"] == "True"
    assert rig.span.status.description == f"{type(error).__name__}: x"
    assert rig.span.end_time is not None


def test_a_span_as_a_block_records_nothing_where_it_was_told_so(rig: Rig) -> None:
    """`record_exception` and `set_status_on_exception` of `start_span` count for the block."""
    span = rig.tracer.start_span("a", record_exception=False, set_status_on_exception=False)
    with pytest.raises(ValueError, match="x"), span:
        raise ValueError("x")
    assert rig.span.events == ()
    assert rig.span.status.status_code is StatusCode.UNSET


# --- time


class SteppingClock:
    """A wall clock that can be set, and one that goes on by a second each time that it is read."""

    def __init__(self) -> None:
        self.wall_ns = 10**18
        self.ticks_ns = 0

    def wall(self) -> int:
        return self.wall_ns + self.ticks_ns

    def ticks(self) -> int:
        self.ticks_ns += 10**9
        return self.ticks_ns

    def as_clock(self) -> Clock:
        return Clock(self.wall, self.ticks)


@pytest.mark.parametrize("step_s", [-3600, -1, 1, 3600])
def test_a_step_of_the_wall_clock_is_no_duration(step_s: int) -> None:
    """What belongs to a local trace lies within it, as long as it took; the next trace is on time."""
    clock = SteppingClock()
    rig = Rig("ours", clock=clock.as_clock())
    with rig.tracer.start_as_current_span("root"):
        clock.wall_ns += step_s * 10**9
        with rig.tracer.start_as_current_span("child") as child:
            child.add_event("event")
    rig.tracer.start_span("next").end()
    child_span, root, after = rig.spans
    seconds = [
        ((time or 0) - 10**18) // 10**9
        for time in (root.start_time, child_span.start_time, child_span.events[0].timestamp)
    ]
    assert seconds == [1, 2, 3]
    assert ((child_span.end_time or 0) - (child_span.start_time or 0)) == 2 * 10**9
    assert ((root.end_time or 0) - (root.start_time or 0)) == 4 * 10**9
    assert after.start_time == 10**18 + (step_s + 6) * 10**9


def test_spans_of_the_contract_last_as_long_as_they_took() -> None:
    """They leave their times to the tracer, so that no step of the wall clock is in them."""
    clock = SteppingClock()
    rig = Rig("ours", clock=clock.as_clock())
    with use_providers(rig.provider, LoggerProvider(shutdown_on_exit=False)), spans.agent("coder"):
        clock.wall_ns -= 3600 * 10**9
        with spans.tool("search"):
            clock.wall_ns += 7200 * 10**9
    tool, agent = rig.spans
    assert [(span.end_time or 0) - (span.start_time or 0) for span in (tool, agent)] == [10**9, 3 * 10**9]


def test_a_start_that_is_given_brings_its_own_time() -> None:
    """Its end is that of the wall clock that its giver read, whatever clock its parent began by."""
    clock = SteppingClock()
    rig = Rig("ours", clock=clock.as_clock())
    with rig.tracer.start_as_current_span("root"):
        clock.wall_ns -= 3600 * 10**9
        given = clock.wall()
        rig.tracer.start_span("given", start_time=given).end()
    assert (rig.spans[0].end_time or 0) - given == 2 * 10**9


def test_a_start_in_the_future_gives_no_negative_duration(ours: Rig) -> None:
    """Its end is its start, unless one is given."""
    ours.tracer.start_span("a", start_time=10**30).end()
    assert ours.span.end_time == 10**30
