"""An application that uses all of the public face, and writes down all that it gets back.

What it writes down is the same whatever happens to telemetry; that is what is proven with it. Nothing in it
depends on time, on an id, or on what telemetry keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

import taskscope
from coding_agent.memory import FileMemory
from coding_agent.records import MemoryEntry


def _add(one: Any, other: Any) -> Any:
    return one + other


class PlantedError(Exception):
    """The application's own."""


class Application:
    """Runs each of its parts on its own, so that one that is disturbed is seen alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.diary: list[str] = []

    def run(self) -> None:
        """Live through everything once."""
        for part in _PARTS:
            self._note(part.__name__, lambda part=part: part(self))  # type: ignore[misc]

    def _note(self, name: str, part: Callable[[], object]) -> None:
        try:
            said = repr(part())
        except BaseException as error:  # noqa: BLE001  what reaches an application is what is looked at
            said = f"{type(error).__name__}{error.args!r}, because of {error.__cause__!r}"
        self.diary.append(f"{name}: {said}")

    def do_tasks(self) -> object:
        """Context managers of every kind, in each other."""
        with taskscope.task("answer", task_id="t-1") as task, taskscope.agent("coder", model="m"):
            with taskscope.plan("coder") as plan:
                plan.finish(step_count=2)
            with taskscope.step("edit") as step, taskscope.tool("search"):
                step.set("app.note", "ok")
            with taskscope.retrieval("docs", top_k=3) as found:
                found.finish(results=2)
            with taskscope.skill("colon") as skill:
                skill.finish("not_applicable")
            task.finish("needs_review")
        return task.id

    def call_model(self) -> object:
        """A model's call with its usage."""
        with taskscope.task("ask"), taskscope.llm("gpt-x", provider="openai", mode="replay"):
            taskscope.record_usage(input_tokens=10, output_tokens=2)
            taskscope.current_task()
            return "called"

    def fail_inside(self) -> object:
        """The application's own exception passes through all of them."""
        with taskscope.task("fail"), taskscope.step("break"), taskscope.tool("hammer"):
            raise PlantedError("mine", 7) from KeyError("cause")

    def call_decorated(self) -> object:
        """A function, its result and its exception."""
        add = taskscope.tool("add")(_add)
        return add(2, 3), add("a", "b")

    def call_decorated_badly(self) -> object:
        """An exception of a decorated function."""
        return taskscope.tool("add")(_add)(2, "b")

    def drive_generator(self) -> object:
        """Values out, values in, and what it returns."""

        @taskscope.step("count")
        def count(limit: int) -> Generator[int, str | None, str]:
            for number in range(limit):
                if (yield number) == "stop":
                    return "stopped"
            return "done"

        generator: Any = count(3)
        seen = [next(generator), generator.send(None)]
        try:
            generator.send("stop")
        except StopIteration as stop:
            seen.append(stop.value)
        return seen, list(count(2))

    def drive_coroutines(self) -> object:
        """Coroutines and async generators, to their end, and broken off."""

        @taskscope.tool("fetch")
        async def fetch(number: int) -> int:
            await asyncio.sleep(0)
            if number == 3:  # noqa: PLR2004
                raise PlantedError(number)
            return number * 2

        @taskscope.step("stream")
        async def stream(limit: int) -> AsyncIterator[int]:
            for number in range(limit):
                yield await fetch(number)

        async def consume() -> list[object]:
            first = [item async for item in stream(2)]
            kept: list[object] = []
            try:
                async for item in stream(9):
                    kept.append(item)  # noqa: PERF401  it ends by an exception
            except PlantedError as error:
                kept.append(error.args)
            return [first, kept, await asyncio.gather(fetch(1), fetch(2))]

        return asyncio.run(consume())

    def use_api(self) -> object:
        """The OTel API, all that it offers."""
        tracer = trace.get_tracer("application", "1")
        with tracer.start_as_current_span("outer", kind=SpanKind.CLIENT, attributes={"a": 1}) as outer:
            outer.add_event("happened", {"b": [1, 2]})
            outer.record_exception(PlantedError("seen"))
            outer.set_status(Status(StatusCode.ERROR, "so it is"))
            outer.update_name("renamed")
            inner = tracer.start_span("inner", links=[Link(outer.get_span_context(), {"c": "d"})])
            inner.set_attributes({"e": 2.5, "f": True, "g": "correct é", "h": object()})  # type: ignore[dict-item]
            inner.end()
        return inner.is_recording(), outer.is_recording()

    def fail_in_api(self) -> object:
        """An exception through a span of the API."""
        with trace.get_tracer("application").start_as_current_span("outer"):
            raise PlantedError("through the api")

    def use_memory(self) -> object:
        """A method that is observed through a table of instrumentation."""
        memory = FileMemory(self._folder)
        entry = MemoryEntry(
            id="e-1", store="archive", text="a colon was missing", task_id="t-1", created_at=1.0
        )
        with taskscope.task("remember"):
            memory.upsert(entry)
            return [found.id for found in memory.search("colon")]

    def carry(self) -> object:
        """What runs elsewhere runs with its context."""
        with taskscope.task("carry", task_id="t-2"):
            carried = taskscope.carry(lambda: "carried")
        return carried()

    def flush(self) -> object:
        """Ask for what was recorded to be stored; whether it was is telemetry's own matter."""
        return isinstance(taskscope.flush(2), bool)


_PARTS: tuple[Callable[[Application], object], ...] = (
    Application.do_tasks, Application.call_model, Application.fail_inside, Application.call_decorated,
    Application.call_decorated_badly, Application.drive_generator, Application.drive_coroutines,
    Application.flush, Application.use_api, Application.fail_in_api, Application.use_memory,
    Application.carry, Application.flush,
)  # fmt: skip
