"""Instrumentation on and off: known names only, once, and undone without a trace."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.errors import UsageError
from taskscope.instrumentation import registry
from taskscope.instrumentation._patch import Patch, Row, find_owner
from taskscope.telemetry import spans
from taskscope.telemetry.guard import drain_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskscope.testing import SpanRecorder


class Worker:
    """A class of a library, observed."""

    def work(self, amount: int, *, fast: bool = False) -> int:
        """Do some work."""
        return amount * 2

    @staticmethod
    def rest(hours: int) -> str:
        """Rest for a while."""
        return f"rested {hours}"


def count(items: list[int]) -> int:
    """Count items."""
    return len(items)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A package of two modules; the second has imported a function of the first by name."""
    package, user = ModuleType("shoplib"), ModuleType("shoplib.user")
    package.Worker = type("Worker", (), dict(vars(Worker)))  # type: ignore[attr-defined]
    package.count = count  # type: ignore[attr-defined]
    user.count = package.count  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shoplib", package)
    monkeypatch.setitem(sys.modules, "shoplib.user", user)
    yield package
    drain_errors()


def facts_of_work(_worker: object, amount: int, *, fast: bool = False) -> dict[str, Any]:
    return {"name": f"work-{amount}" if not fast else "fast"}


def read_result(span: spans.ToolSpan, result: int, *_call: object, **_options: object) -> None:
    span.record_output(result)


WORK = Row("shoplib", "Worker.work", spans.tool, facts_of_work, read_result)
COUNT = Row("shoplib", "count", spans.tool, lambda _items: {"name": "count"})


def test_patched_method_makes_a_span_of_its_call(span_recorder: SpanRecorder, library: Any) -> None:
    """A row's span is made from the arguments of the call and filled from its result."""
    patch = Patch(WORK)
    assert library.Worker().work(3) == 6
    assert library.Worker().work(4, fast=True) == 8
    patch.undo()
    assert library.Worker().work(5) == 10
    assert [
        (span.name, (span.attributes or {})["taskscope.tool.output_size"]) for span in span_recorder.spans
    ] == [
        ("execute_tool work-3", 6),
        ("execute_tool fast", 8),
    ]


def test_function_is_observed_where_it_was_imported_to(span_recorder: SpanRecorder, library: Any) -> None:
    """A function that another module imported by name is observed there too, and undone there."""
    user: Any = sys.modules["shoplib.user"]
    original = user.count
    patch = Patch(COUNT)
    assert user.count([1, 2]) == 2
    assert len(span_recorder.spans) == 1
    patch.undo()
    assert user.count is original is library.count


def test_static_method_stays_static(span_recorder: SpanRecorder, library: Any) -> None:
    """A static method is observed as one."""
    patch = Patch(Row("shoplib", "Worker.rest", spans.tool, lambda hours: {"name": f"rest-{hours}"}))
    assert library.Worker.rest(2) == library.Worker().rest(2) == "rested 2"
    patch.undo()
    assert [span.name for span in span_recorder.spans] == ["execute_tool rest-2"] * 2


def test_foreign_wrapper_survives_our_undoing(span_recorder: SpanRecorder, library: Any) -> None:
    """What somebody else put around our wrapper stays, and calls through without a span."""
    patch = Patch(WORK)
    ours = library.Worker.work
    library.Worker.work = lambda worker, amount: ours(worker, amount) + 1
    patch.undo()
    assert library.Worker().work(3) == 7
    assert span_recorder.spans == []


def test_facts_that_fail_leave_the_call_alone(span_recorder: SpanRecorder, library: Any) -> None:
    """When facts or result cannot be read, the call goes on, and the error is counted."""
    drain_errors()
    broken = Row("shoplib", "Worker.work", spans.tool, lambda *_call: {}["missing"], read_result)  # type: ignore[index]
    patch = Patch(broken)
    assert library.Worker().work(3) == 6
    patch.undo()
    patch = Patch(Row("shoplib", "Worker.work", spans.tool, facts_of_work, lambda *_call: {}[1]))  # type: ignore[index]
    assert library.Worker().work(3) == 6
    patch.undo()
    assert drain_errors() == {("instrumentation", "KeyError"): 2}
    assert [span.name for span in span_recorder.spans] == ["execute_tool work-3"]


@pytest.mark.parametrize("path", ["Worker.missing", "Absent.work", "absent"])
@pytest.mark.usefixtures("library")
def test_row_that_does_not_resolve_is_named(path: str) -> None:
    """A row that the library does not have is an error that names it."""
    with pytest.raises(LookupError, match=f"shoplib defines no '{path}'"):
        find_owner(Row("shoplib", path, spans.tool, facts_of_work))


def test_table_without_its_library_row_still_observes_the_rest(
    span_recorder: SpanRecorder, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that does not resolve is counted and left out; the other rows work, once however often asked."""
    drain_errors()
    tables = ModuleType("shoplib_table")
    tables.TABLE = (Row("shoplib", "gone", spans.tool, facts_of_work), WORK)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shoplib_table", tables)
    monkeypatch.setitem(registry.TABLES, "shoplib", "shoplib_table")
    registry.instrument("shoplib")
    registry.instrument("shoplib")
    library.Worker().work(1)
    registry.uninstrument("shoplib")
    library.Worker().work(1)
    assert len(span_recorder.spans) == 1
    assert drain_errors() == {("instrumentation", "LookupError"): 1}


@pytest.mark.parametrize("call", [registry.instrument, registry.uninstrument])
def test_unknown_name_is_refused(call: Any) -> None:
    """A name without instrumentation is refused, naming those that there are."""
    with pytest.raises(UsageError, match="no instrumentation for 'langchain'; there is 'coding_agent'"):
        call("coding_agent", "langchain")
