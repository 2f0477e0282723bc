"""Hostile values, exceptions and providers: the host never notices, and what can be recorded is."""

from __future__ import annotations

import threading
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from taskscope.telemetry import manual, spans
from taskscope.telemetry._values import clean_attributes, clean_value
from taskscope.telemetry.events import emit_event
from taskscope.telemetry.failures import class_name, error_type_of
from taskscope.telemetry.guard import INSTRUMENTATION, drain_errors
from taskscope.telemetry.providers import get_providers, new_task_id, use_providers
from taskscope.testing import SpanRecorder


class Hostile:
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class HostileError(Exception):
    """Refuses to be described, compared, changed or typed."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __hash__(self) -> int:
        raise RuntimeError("no")

    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError("no")

    @property
    def error_type(self) -> str:
        """Raise."""
        raise RuntimeError("no")

    @property
    def hint(self) -> str:
        """Raise."""
        raise RuntimeError("no")


class LyingText(str):
    """A string that says something else each time."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no")


class Color(Enum):
    """An enumeration."""

    RED = "red"


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value, cleaned",
    [
        ("text", "text"),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        (2**63, hex(2**63)),
        (-(2**63), -(2**63)),
        (Color.RED, "red"),
        (PurePosixPath("a/b"), "a/b"),
        (["a", "b"], ["a", "b"]),
        ((1, 2), [1, 2]),
        ([1, "a", None], ["1", "a", "None"]),
        ([2**64], [hex(2**64)]),
        ([True, 1], ["True", "1"]),
        ([], []),
        ("\ud800x", "\ufffdx"),
        ("Grüße 🙂", "Grüße 🙂"),
        (b"\xff", "b'\\xff'"),
        (Hostile(), "<unprintable Hostile>"),
        (LyingText("lie"), "lie"),
        ({"a": 1}, "{'a': 1}"),
        (CYCLE, ["[[...]]"]),
        ("x" * 9000, "x" * 9000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_becomes_a_scalar_or_an_array(value: object, cleaned: object) -> None:
    """Whatever a host hands over becomes a value that every backend takes."""
    found = clean_value(value)
    assert found == cleaned
    assert type(found) is type(cleaned)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()


@given(st.recursive(SCALARS, st.lists))
def test_every_value_can_be_encoded(value: object) -> None:
    """No value leads to an attribute that OTLP could not carry."""
    found = clean_value(value)
    items = found if isinstance(found, list) else [found]
    assert len({type(item) for item in items}) <= 1
    for item in items:
        assert isinstance(item, str | bool | int | float)
        if isinstance(item, str):
            item.encode("utf-8")
        if isinstance(item, int):
            assert -(2**63) <= item < 2**63


def test_what_is_none_is_left_out() -> None:
    """None and an empty key are no attributes; an object's own text is cut."""
    long = type("Long", (), {"__str__": lambda _: "x" * 9000})()
    assert clean_attributes({"a": None, "": 1, "b": long}) == {"b": "x" * 4096}


def test_hostile_values_and_names_reach_the_span_as_words(span_recorder: SpanRecorder) -> None:
    """Hostile names, values and event attributes neither raise nor lose the span."""
    name: Any = Hostile()
    with manual.task(LyingText("answer")), manual.tool(name) as tool:
        tool.set("host.value", Hostile())
        tool.set(Hostile(), 1)  # type: ignore[arg-type]
        emit_event("host.event", {"value": Hostile()})
    assert span_recorder.text() == "invoke_workflow answer\n  execute_tool <unprintable Hostile>"
    assert (span_recorder.spans[1].attributes or {})["host.value"] == "<unprintable Hostile>"


def test_hostile_exception_passes_as_it_is(span_recorder: SpanRecorder) -> None:
    """An exception that cannot be described, typed or changed passes, and is told as far as can be."""
    error = HostileError()
    caught = None
    try:
        with spans.task("repair"), spans.tool("files"):
            raise error
    except HostileError as passed:
        caught = passed
    assert caught is error
    told = [event for event in span_recorder.events if event.name == "exception"]
    assert len(told) == 1
    assert told[0].attributes["exception.message"] == "<unprintable HostileError>"
    assert told[0].attributes["error.type"] == f"{__name__}.HostileError"
    assert span_recorder.text().count(f"! {__name__}.HostileError") == 2


def test_endless_recursion_is_told_shortly(span_recorder: SpanRecorder) -> None:
    """The traceback of a recursion has a bounded length."""

    def fall() -> None:
        fall()

    with pytest.raises(RecursionError), spans.tool("files"):
        fall()
    (event,) = span_recorder.events
    assert event.attributes["error.type"] == "RecursionError"
    assert len(event.attributes["exception.stacktrace"]) < 20_000


class RaisingProcessor(SpanProcessor):
    """A foreign processor with a fault at each end."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("start")

    def on_end(self, span: Any) -> None:
        raise RuntimeError("end")


def test_foreign_processor_that_raises_stays_outside() -> None:
    """When the provider itself fails, the host's code runs, knows its task, and the errors are counted."""
    drain_errors()
    recorder = SpanRecorder()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RaisingProcessor())
    with use_providers(provider, recorder.logger_provider), manual.task("repair", task_id="t-1") as task:
        assert manual.current_task() is task
    counted = drain_errors()
    assert set(counted) == {("instrumentation", "RuntimeError")}
    provider.shutdown()


def test_operations_that_are_over_take_nothing_more(span_recorder: SpanRecorder) -> None:
    """Setting, failing and ending after the end do nothing."""
    with spans.tool("files") as tool:
        pass
    tool.set("late", 1)
    tool.fail("late")
    tool.end(ValueError("late"))
    (node,) = span_recorder.tree()
    assert "late" not in str(node)


def test_one_operation_may_be_entered_again_and_within_itself(span_recorder: SpanRecorder) -> None:
    """A kept `with` object makes a span each time it is entered anew, one where it nests in itself."""
    tool = manual.tool("files")
    with tool, tool:
        pass
    with tool:
        pass
    assert span_recorder.text() == "execute_tool files\nexecute_tool files"


def test_guard_counts_errors_and_lets_the_hosts_own_pass() -> None:
    """The guard keeps exceptions and counts them; Ctrl-C is the host's."""
    drain_errors()
    with INSTRUMENTATION:
        raise ValueError("ours")
    with pytest.raises(KeyboardInterrupt), INSTRUMENTATION:
        raise KeyboardInterrupt
    assert drain_errors() == {("instrumentation", "ValueError"): 1}
    assert drain_errors() == {}


def test_chosen_providers_hold_in_all_threads_and_end() -> None:
    """Providers chosen for a block serve every thread, and those before it return."""
    before = get_providers()
    seen: list[object] = []
    with SpanRecorder() as recorder:
        thread = threading.Thread(target=manual.tool("files")(lambda: seen.append(get_providers())))
        thread.start()
        thread.join()
        assert seen == [get_providers()]
    assert get_providers() is before
    assert [span.name for span in recorder.spans] == ["execute_tool files"]


def test_task_ids_sort_by_time() -> None:
    """A generated task id begins with `t-`, is unique, and a later one sorts behind."""
    ids = [new_task_id() for _ in range(500)]
    assert len(set(ids)) == 500
    assert [task_id[:12] for task_id in ids] == sorted(task_id[:12] for task_id in ids)
    assert {len(task_id) for task_id in ids} == {18}


class Words:
    """Builds exceptions with a word of their own."""

    @staticmethod
    def of(word: object) -> BaseException:
        error = OSError()
        error.error_type = word  # type: ignore[attr-defined]
        return error


@pytest.mark.parametrize(
    "error, expected",
    [
        (Words.of("429"), "429"),
        (Words.of("x" * 500), "x" * 128),
        (Words.of(""), "OSError"),
        (Words.of(None), "OSError"),
        (Words.of("_OTHER"), "OSError"),
    ],
)
def test_own_word_of_an_error_is_its_type(error: BaseException, expected: str) -> None:
    """An error's own `error_type` wins when it is a usable word, cut to 128 characters."""
    assert error_type_of(error) == expected


def test_class_is_named_with_its_module_unless_builtin() -> None:
    """Exception classes are named as the conventions say."""
    assert (class_name(OSError), class_name(HostileError)) == ("OSError", f"{__name__}.HostileError")


def test_future_that_was_cancelled_is_cancelled() -> None:
    """The cancellation of a future of a pool is `cancelled` like asyncio's."""
    from concurrent.futures import CancelledError

    assert error_type_of(CancelledError()) == "cancelled"


def test_exception_is_not_kept_alive(span_recorder: SpanRecorder) -> None:
    """After it was told, an exception is marked by a number only; nothing of ours refers to it."""
    error = ValueError("x")
    with pytest.raises(ValueError, match="x"), spans.tool("files"):
        raise error
    assert {type(value) for value in vars(error).values()} == {int}


class CyclicError(Exception):
    """Raises when its cause is asked for."""

    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        raise RuntimeError("no")


def test_exception_whose_cause_is_hostile_is_still_told(span_recorder: SpanRecorder) -> None:
    """A traceback that cannot be formatted is named, and the rest is told."""
    with pytest.raises(CyclicError), spans.tool("files"):
        raise CyclicError("x")
    (event,) = span_recorder.events
    assert event.attributes["exception.message"] == "x"
    assert event.attributes["exception.stacktrace"].startswith("<unprintable traceback of ")


def test_exception_is_the_failure_of_a_skill_or_check(span_recorder: SpanRecorder) -> None:
    """An exception that leaves a skill or a check is its failure, with the contract's words."""
    with pytest.raises(OSError, match="x"), spans.skill("missing_colon"):
        raise OSError("x")
    with pytest.raises(OSError, match="y"), spans.health_check("disk", group="live", required=False):
        raise OSError("y")
    skill, check = (span.attributes or {} for span in span_recorder.spans)
    assert (skill["taskscope.skill.outcome"], check["taskscope.health.status"]) == ("failed", "fail")


@pytest.mark.parametrize("kind", ["task", "agent", "plan", "step", "tool", "retrieval", "skill"])
def test_an_operation_that_cannot_be_made_costs_the_host_nothing(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory, say: a block runs, a function is as it was, what is told goes nowhere, and it is counted."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(spans, kind, fail)
    drain_errors()
    make: Any = getattr(manual, kind)
    with make("x") as operation:
        operation.set("a", 1)
        operation.finish("failed")
    assert make("x")(len) is len
    assert drain_errors() == {("instrumentation", "MemoryError"): 2}


@pytest.mark.parametrize("step", ["start", "end", "fail"])
def test_a_failing_step_of_an_operation_stays_inside(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block's own exception passes all the same."""

    def fail(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(spans.ToolSpan, step, fail)
    with pytest.raises(KeyError, match="mine"), manual.tool("x"):
        raise KeyError("mine")
