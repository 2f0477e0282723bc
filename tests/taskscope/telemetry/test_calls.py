"""Decorators: four kinds of callables, each ending well, by exception, by cancellation and by early close.

Whatever happens, the call behaves as the undecorated one, the span ends, and no parent is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace

from taskscope.telemetry import manual, spans
from taskscope.telemetry.calls import wrap, wrap_entering
from taskscope.telemetry.context import get_frame
from taskscope.telemetry.guard import drain_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from taskscope.testing import SpanRecorder


def add(one: int, other: int = 1) -> int:
    """Add two numbers."""
    with manual.step("inner"):
        if other < 0:
            raise ValueError(other)
        return one + other


async def add_later(one: int, other: int = 1) -> int:
    """Add two numbers later."""
    await asyncio.sleep(0)
    return add(one, other)


def count(one: int, other: int = 1) -> Iterator[int]:
    """Count from one."""
    yield one
    yield add(one, other)


async def count_later(one: int, other: int = 1) -> AsyncIterator[int]:
    """Count from one, later."""
    yield one
    yield await add_later(one, other)


FUNCTIONS = (add, add_later, count, count_later)


async def call(function: Callable[..., Any], *args: int) -> object:
    """Call any of the four to its end: the result, or the list of what it yields."""
    found = function(*args)
    if inspect.isasyncgen(found):
        return [item async for item in found]
    if inspect.isgenerator(found):
        return list(found)
    return await found if inspect.isawaitable(found) else found


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing of this writes a log line."""
    caplog.set_level(logging.DEBUG, "opentelemetry")
    yield
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_decorated_call_gives_the_same_result(span_recorder: SpanRecorder, function: Any) -> None:
    """Each kind of callable keeps kind, signature, docstring and result; its children are in its span."""
    decorated = manual.tool("add")(function)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert (decorated.__name__, decorated.__doc__) == (function.__name__, function.__doc__)
    for is_kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert is_kind(decorated) == is_kind(function)
    assert asyncio.run(call(decorated, 2, 3)) == asyncio.run(call(function, 2, 3))
    assert span_recorder.text() == "execute_tool add\n  step inner\nstep inner"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_call_has_a_span_of_its_own(span_recorder: SpanRecorder, function: Any) -> None:
    """A decorated callable may be called again, and while it runs."""
    decorated = manual.tool("add")(function)

    async def call_thrice() -> None:
        await asyncio.gather(*(call(decorated, number, 1) for number in range(3)))

    asyncio.run(call_thrice())
    assert sorted(span_recorder.text().splitlines()) == ["  step inner"] * 3 + ["execute_tool add"] * 3


@pytest.mark.parametrize("function", FUNCTIONS)
def test_exception_passes_and_marks_the_span(span_recorder: SpanRecorder, function: Any) -> None:
    """The exception is the callable's own; `error.type` stands on both spans, one event tells it."""
    with pytest.raises(ValueError, match="-1") as caught:
        asyncio.run(call(manual.tool("add")(function), 2, -1))
    assert caught.traceback[-1].name == "add"
    assert span_recorder.text() == "execute_tool add ! ValueError\n  step inner ! ValueError"
    assert [event.name for event in span_recorder.events] == ["exception"]


@pytest.mark.parametrize("kind", ["coroutine", "async generator"])
def test_cancelled_task_marks_the_span(span_recorder: SpanRecorder, kind: str) -> None:
    """Cancellation passes, and the span says `cancelled`."""

    async def wait() -> None:
        reached.set()
        await asyncio.Event().wait()

    async def wait_in_between() -> AsyncIterator[int]:
        yield 1
        await wait()

    async def cancel() -> None:
        tool = manual.tool("wait")
        function: Any = tool(wait) if kind == "coroutine" else tool(wait_in_between)
        task = asyncio.create_task(call(function))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    reached = asyncio.Event()
    asyncio.run(cancel())
    assert span_recorder.text() == "execute_tool wait ! cancelled"


def test_consumer_of_a_generator_is_not_its_child(span_recorder: SpanRecorder) -> None:
    """What is done between the steps of generators belongs to the consumer, however they are interleaved."""
    decorated = manual.tool("count")(count)
    with manual.agent("coder"):
        for _ in zip(decorated(1), decorated(2), strict=True):
            with manual.step("consume"):
                pass
    assert span_recorder.text().splitlines() == [
        "invoke_agent coder",
        "  execute_tool count",
        "    step inner",
        "  execute_tool count",
        "    step inner",
        "  step consume",
        "  step consume",
    ]


def test_consumer_of_an_async_generator_is_not_its_child(span_recorder: SpanRecorder) -> None:
    """The same for async generators that two tasks consume."""
    decorated = manual.tool("count")(count_later)

    async def consume(number: int) -> None:
        async for _ in decorated(number):
            with manual.step("consume"):
                await asyncio.sleep(0)

    async def consume_both() -> None:
        with manual.agent("coder"):
            await asyncio.gather(consume(1), consume(2))

    asyncio.run(consume_both())
    (agent,) = span_recorder.tree()
    names = [
        (node["name"], [child["name"] for child in node.get("children", [])]) for node in agent["children"]
    ]
    assert sorted(names) == [("execute_tool count", ["step inner"])] * 2 + [("step consume", [])] * 4


def test_generator_that_is_closed_early_ended_well(span_recorder: SpanRecorder) -> None:
    """A consumer that breaks off closes the generator, whose clean-up still belongs to its span."""

    @manual.tool("read")
    def read() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            with manual.step("clean"):
                pass

    for _ in read():
        break
    gc.collect()
    assert span_recorder.text() == "execute_tool read\n  step clean"


def test_async_generator_that_is_closed_early_ended_well(span_recorder: SpanRecorder) -> None:
    """The same for an async generator, closed by its consumer."""

    @manual.tool("read")
    async def read() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            with manual.step("clean"):
                await asyncio.sleep(0)

    async def consume() -> None:
        lines = read()
        async for _ in lines:
            break
        await lines.aclose()  # type: ignore[attr-defined]

    asyncio.run(consume())
    assert span_recorder.text() == "execute_tool read\n  step clean"


def test_abandoned_async_generator_is_finished_by_the_loop(span_recorder: SpanRecorder) -> None:
    """An async generator that is dropped is closed by the loop in another context; its span still ends."""

    @manual.tool("read")
    async def read() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def consume() -> None:
        with manual.agent("coder"):
            async for _ in read():
                break
            gc.collect()
            await asyncio.sleep(0)
        assert get_frame() is None

    asyncio.run(consume())
    assert span_recorder.text() == "invoke_agent coder\n  execute_tool read"


def test_with_block_in_an_abandoned_async_generator_leaves_no_log_line(span_recorder: SpanRecorder) -> None:
    """A span that a generator holds open in a `with` of its own ends when the loop closes it, silently."""

    async def read() -> AsyncIterator[int]:
        with manual.tool("read"):
            yield 1

    async def consume() -> None:
        async for _ in read():
            break
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(consume())
    assert span_recorder.text() == "execute_tool read"


@pytest.mark.parametrize("fails", [False, True])
def test_ended_span_is_freed_at_once(span_recorder: SpanRecorder, *, fails: bool) -> None:
    """An operation that is over leads nowhere back to itself: it does not wait for the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        agent, call = manual.agent("coder"), manual.llm("gpt", provider="openai")
        past: list[weakref.ref[spans.Operation]] = [weakref.ref(agent), weakref.ref(call)]
        with contextlib.suppress(ValueError), agent, call:
            if fails:
                raise ValueError
        del agent, call
        assert len(span_recorder.spans) == 2
        span_recorder.clear()  # it keeps the events, and these their contexts
        assert all(one() is None for one in past)
    finally:
        gc.enable()


def test_span_after_an_ended_one_that_stayed_current_has_the_right_parent(
    span_recorder: SpanRecorder,
) -> None:
    """Where generators interleave their own `with` blocks, no span becomes the child of an ended one."""

    def read(kind: str) -> Iterator[int]:
        with manual.step(kind):
            yield 1

    with manual.agent("coder"):
        first, second = read("first"), read("second")
        next(first)
        next(second)
        list(first)
        list(second)
        with manual.step("after"):
            pass
    lines = span_recorder.text().splitlines()
    assert "  step after" in lines


def test_unfinished_coroutine_was_cancelled(span_recorder: SpanRecorder) -> None:
    """A coroutine that is closed before its end did not succeed."""

    @manual.step("wait")
    async def wait() -> None:
        await asyncio.sleep(0)

    coroutine = wait()
    coroutine.send(None)
    coroutine.close()
    assert span_recorder.text() == "step wait ! cancelled"


@pytest.mark.parametrize("make", [manual.task, manual.step], ids=["task", "step"])
def test_work_that_is_closed_early_was_stopped(span_recorder: SpanRecorder, make: Any) -> None:
    """A task or step around a generator that its consumer closes is `stopped`, not `succeeded`."""
    numbers = make("count")(count)(1)
    next(numbers)
    numbers.close()
    (node,) = span_recorder.tree()
    assert "stopped" in node["attributes"].values()
    assert node["attributes"]["error.type"] == "cancelled"


def test_generator_takes_values_and_exceptions(span_recorder: SpanRecorder) -> None:
    """`send` and `throw` reach the generator, and its return value comes back."""

    @manual.tool("talk")
    def talk() -> Generator[Any, Any, str]:
        heard = yield "hello"
        try:
            yield heard
        except KeyError as error:
            yield error
        return "bye"

    talking: Any = talk()
    assert next(talking) == "hello"
    assert talking.send("you") == "you"
    error = KeyError("what")
    assert talking.throw(error) is error
    with pytest.raises(StopIteration) as stop:
        next(talking)
    assert stop.value.value == "bye"
    assert span_recorder.text() == "execute_tool talk"


def test_async_generator_takes_values_and_exceptions(span_recorder: SpanRecorder) -> None:
    """`asend` and `athrow` reach the async generator."""

    @manual.tool("talk")
    async def talk() -> AsyncIterator[Any]:
        heard = yield "hello"
        try:
            yield heard
        except KeyError as error:
            yield error

    async def converse() -> list[Any]:
        talking: Any = talk()
        said = [await anext(talking), await talking.asend("you"), await talking.athrow(KeyError("what"))]
        with pytest.raises(StopAsyncIteration):
            await anext(talking)
        return said

    hello, you, error = asyncio.run(converse())
    assert (hello, you, type(error)) == ("hello", "you", KeyError)
    assert span_recorder.text() == "execute_tool talk"


def test_streamed_answer_says_how_far_it_came(span_recorder: SpanRecorder) -> None:
    """A model call around a generator counts its pieces, and says whether they were all read."""

    @manual.llm("m", provider="local")
    def stream() -> Iterator[str]:
        yield "a"
        yield "b"

    @manual.llm("m", provider="local")
    async def stream_later() -> AsyncIterator[str]:
        yield "a"
        raise asyncio.CancelledError

    list(stream())
    abandoned: Any = stream()
    next(abandoned)
    abandoned.close()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(call(stream_later))
    found = [span.attributes or {} for span in span_recorder.spans]
    said = [(each["taskscope.llm.chunk_count"], each["taskscope.llm.stream_outcome"]) for each in found]
    assert said == [(2, "completed"), (1, "abandoned"), (1, "cancelled")]


class Room:
    """A context manager that may refuse."""

    def __init__(self, *, is_locked: bool) -> None:
        self.is_locked = is_locked

    def __enter__(self) -> str:
        with manual.tool("door"):
            if self.is_locked:
                raise OSError("locked")
        return "inside"

    def __exit__(self, kind: object, error: object, traceback: object) -> bool:
        return True


def test_only_the_entering_of_a_context_is_observed(span_recorder: SpanRecorder) -> None:
    """The span ends when the context is entered; what is done inside and the leaving are not its own."""
    enter = wrap_entering(Room, lambda _args, _kwargs: spans.tool("room"))
    error = ValueError("inside")
    with enter(is_locked=False) as where:
        assert where == "inside"
        with manual.tool("work"):
            pass
        raise error
    with pytest.raises(OSError, match="locked"), enter(is_locked=True):
        pass
    assert span_recorder.text().splitlines() == [
        "execute_tool room",
        "  execute_tool door",
        "execute_tool work",
        "execute_tool room ! OSError",
        "  execute_tool door ! OSError",
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_call_whose_span_cannot_be_made_goes_unobserved(span_recorder: SpanRecorder, function: Any) -> None:
    """When the operation cannot be built, the call is the plain call, whatever its kind."""
    drain_errors()
    decorated = wrap(function, lambda _args, _kwargs: {}["missing"])  # type: ignore[index]
    assert asyncio.run(call(decorated, 2, 3)) == asyncio.run(call(function, 2, 3))
    generator: Any = decorated(1)
    if inspect.isgenerator(generator):
        generator.close()
    elif inspect.isasyncgen(generator):
        asyncio.run(close_early(generator))
    elif inspect.iscoroutine(generator):
        generator.close()
    assert span_recorder.text() == "step inner\nstep inner" + ("\nstep inner" if function is add else "")
    assert ("instrumentation", "KeyError") in drain_errors()


async def close_early(generator: Any) -> None:
    """Take one item, then close."""
    await anext(generator)
    await generator.aclose()


def test_generator_that_is_never_begun_makes_no_span(span_recorder: SpanRecorder) -> None:
    """Calling a generator function starts nothing."""
    decorated: Any = manual.tool("count")(count)
    decorated(1).close()
    assert span_recorder.spans == []


def test_methods_of_all_kinds_can_be_decorated(span_recorder: SpanRecorder) -> None:
    """The decorator serves methods, static and class methods."""

    class Shop:
        @manual.tool("method")
        def method(self) -> object:
            return self

        @manual.tool("static")
        @staticmethod
        def static() -> int:
            return 1

        @manual.tool("class")
        @classmethod
        def of_class(cls) -> type:
            return cls

    shop = Shop()
    assert (shop.method(), shop.static(), Shop.static(), shop.of_class()) == (shop, 1, 1, Shop)
    assert len(span_recorder.spans) == 4


@pytest.mark.parametrize("wrong", [int, "text"])
def test_what_is_no_function_is_refused_when_it_is_decorated(wrong: Any) -> None:
    """A class or a value cannot be decorated, and the error says what can."""
    with pytest.raises(TypeError, match="decorate its methods"):
        manual.tool("x")(wrong)


@pytest.mark.parametrize("word", ["task", "agent", "plan", "step", "tool", "retrieval", "skill"])
def test_decorator_without_its_name_is_refused(word: str) -> None:
    """`@taskscope.tool` without a name says what to write."""
    with pytest.raises(TypeError, match=rf"write @taskscope\.{word}\('add'\)"):
        getattr(manual, word)(add)


def test_nothing_is_current_when_telemetry_is_off() -> None:
    """Without any provider the calls behave the same, and the task is still known to the code inside."""

    @manual.tool("add")
    def inside() -> str:
        task = manual.current_task()
        assert task is not None
        task.set("x", object())
        manual.record_usage(input_tokens=1)
        return task.id

    with manual.task("repair", task_id="t-9"):
        assert inside() == "t-9"
        assert not trace.get_current_span().is_recording()
    assert manual.current_task() is None
