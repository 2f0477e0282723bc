"""What travels with the context: identity, into threads and processes, no further than its span."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace

from taskscope.telemetry import context, manual, spans
from taskscope.telemetry.guard import drain_errors

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span

    from taskscope.testing import SpanRecorder

TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_log_lines_know_where_they_are() -> None:
    """Task, request, agent and skill are known inside of their spans, recorded or not, and nowhere else."""
    with context.request("r-1"), manual.task("repair", task_id="t-1"):
        assert context.log_fields() == {"task_id": "t-1", "task_kind": "repair", "request_id": "r-1"}
        with manual.agent("coder"), manual.skill("missing_colon"):
            assert context.log_fields() == {
                "task_id": "t-1",
                "task_kind": "repair",
                "request_id": "r-1",
                "agent_id": "coder",
                "skill_id": "missing_colon",
            }
        assert context.log_fields() == {"task_id": "t-1", "task_kind": "repair", "request_id": "r-1"}
    assert context.log_fields() == {}


def test_task_within_a_task_is_a_task_of_its_own(span_recorder: SpanRecorder) -> None:
    """An inner task has its own id, and the agent around it is not its agent."""
    with manual.task("outer"), manual.agent("coder"), manual.task("inner") as inner, manual.tool("files"):
        assert context.log_fields() == {"task_id": inner.id, "task_kind": "inner"}
    _, _, _, tool = (span.attributes or {} for span in span_recorder.spans)
    assert tool["taskscope.task.id"] == "t-2"
    assert "gen_ai.agent.name" not in tool


def test_foreign_span_can_be_stamped(span_recorder: SpanRecorder) -> None:
    """`stamp` gives what a foreign span of the task has to carry, from the context that it starts in."""
    assert context.stamp() == {}
    with manual.task("repair", task_id="t-1"):
        inside = otel_context.get_current()
    expected = {"taskscope.task.id": "t-1", "taskscope.task.kind": "repair"}
    assert context.stamp(inside) == expected


def test_foreign_span_between_ours_keeps_the_tree(span_recorder: SpanRecorder) -> None:
    """A foreign span is child and parent as it should be, and what is below it knows the task."""
    tracer = span_recorder.tracer_provider.get_tracer("foreign")
    with manual.task("repair"), tracer.start_as_current_span("GET"), manual.tool("files"):
        pass
    assert span_recorder.text() == "invoke_workflow repair\n  GET\n    execute_tool files"
    tool: Span = span_recorder.spans[-1]  # type: ignore[assignment]
    assert (tool.attributes or {})["taskscope.task.id"] == "t-1"


def test_carried_function_belongs_to_where_it_was_carried_from(span_recorder: SpanRecorder) -> None:
    """`carry` takes the context into a pool's threads, at the same time in several of them."""

    def work(number: int) -> int:
        with manual.tool(f"tool-{number}"):
            return number * 2

    with ThreadPoolExecutor(3) as pool, manual.task("repair"):
        assert list(pool.map(manual.carry(work), range(4))) == [0, 2, 4, 6]
        assert list(pool.map(lambda _: context.get_frame(), range(3))) == [None] * 3
    assert span_recorder.text().count("\n  execute_tool") == 4


def test_copied_context_carries_too(span_recorder: SpanRecorder) -> None:
    """A thread that runs in a copy of the context needs no help."""
    with ThreadPoolExecutor(1) as pool, manual.task("repair"):
        pool.submit(contextvars.copy_context().run, manual.tool("files")(lambda: None)).result()
    assert span_recorder.text() == "invoke_workflow repair\n  execute_tool files"


def test_task_continues_the_callers_trace(span_recorder: SpanRecorder) -> None:
    """A task opened in an extracted context is the child of the caller's span, in whichever case it came."""
    caller = context.extract({"TRACEPARENT": TRACE_PARENT, "PATH": "/bin"})
    with spans.task("repair", context=caller):
        assert context.inject()["traceparent"].split("-")[1] == TRACE_PARENT.split("-")[1]
    (span,) = span_recorder.spans
    assert span.parent is not None
    assert trace.format_span_id(span.parent.span_id) == "b7ad6b7169203331"


def test_broken_trace_parent_is_a_root(span_recorder: SpanRecorder) -> None:
    """What is no trace context begins a new trace; outside of any span there is nothing to inject."""
    with spans.task("repair", context=context.extract({"traceparent": "nonsense"})):
        pass
    assert span_recorder.spans[0].parent is None
    assert context.inject() == {}


def test_detaching_in_another_context_is_silent() -> None:
    """A token of another context, or of no contextvar at all, is left alone; the latter is counted."""
    drain_errors()
    token = contextvars.copy_context().run(context.attach, otel_context.get_current())
    context.detach(token)
    assert drain_errors() == {}
    context.detach(object())  # type: ignore[arg-type]
    assert drain_errors() == {("instrumentation", "AttributeError"): 1}


def test_current_task_can_be_finished_from_within(span_recorder: SpanRecorder) -> None:
    """Code deep inside of a decorated task says how it ended."""

    @manual.task("answer")
    def answer() -> None:
        task = manual.current_task()
        assert task is not None
        task.finish("needs_llm")

    answer()
    assert manual.current_task() is None
    assert (span_recorder.spans[0].attributes or {})["taskscope.task.outcome"] == "needs_llm"


def test_usage_goes_to_the_innermost_call(span_recorder: SpanRecorder) -> None:
    """`record_usage` finds the model call that the code runs in, also through a tool, and outside none."""
    manual.record_usage(input_tokens=99)
    with manual.llm("big", provider="openai"):
        with manual.llm("small", provider="openai"), manual.tool("files"):
            manual.record_usage(input_tokens=1, output_tokens=2)
        manual.record_usage(input_tokens=10)
    big, small, _ = (span.attributes or {} for span in span_recorder.spans)
    assert (big["gen_ai.usage.input_tokens"], "gen_ai.usage.output_tokens" in big) == (10, False)
    assert (small["gen_ai.usage.input_tokens"], small["gen_ai.usage.output_tokens"]) == (1, 2)


def test_steps_number_themselves(span_recorder: SpanRecorder) -> None:
    """Steps without an index count within their agent, else within their task, else are 0."""
    with manual.step("read"), manual.step("read"):
        pass
    with manual.task("repair"):
        with manual.step("read"), manual.agent("coder"), manual.step("edit"):
            pass
        with manual.step("test"):
            pass
    found = [span.attributes or {} for span in span_recorder.spans if span.name.startswith("step")]
    assert [attributes["taskscope.step.index"] for attributes in found] == [0, 0, 0, 0, 1]
