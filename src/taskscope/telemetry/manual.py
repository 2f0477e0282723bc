"""The manual API: spans in a host's own agent, as `with` blocks and as decorators.

    @taskscope.tool("search")
    async def search(text): ...

    with taskscope.task("answer") as task:
        ...
        task.finish("needs_review")

A decorator serves functions, coroutines, generators and async generators. Nothing here raises into the host's
calls, changes a result or needs telemetry to be set up. (A wrong decoration is refused when it is made.)
"""

from __future__ import annotations

from typing import cast

from . import spans
from ._values import clean_text, describe
from .context import carry, get_frame
from .guard import note_error
from .unobserved import Unobserved

__all__ = [
    "agent",
    "carry",
    "current_task",
    "llm",
    "plan",
    "record_usage",
    "retrieval",
    "skill",
    "step",
    "task",
    "tool",
]


def task(
    kind: str,
    *,
    task_id: str | None = None,
    attempt: int = 1,
    source: str = "api",
    request_id: str | None = None,
) -> spans.TaskSpan:
    """One task of an agent: `invoke_workflow {kind}`, the root of its trace or a child of the current span.

    Its id (made where none is given) and kind stand on all that happens inside. It ends as `succeeded`, or as
    the exception says that leaves it, unless `finish` says otherwise.
    """
    if callable(kind):
        raise TypeError(_tell_misuse("task", kind))
    try:
        return spans.task(
            clean_text(describe(kind)), task_id=task_id, attempt=attempt, source=source, request_id=request_id
        )
    except Exception as error:  # noqa: BLE001  the border to the host
        return cast("spans.TaskSpan", _do_without(error, id=task_id or "", kind=kind))


def agent(role: str, *, model: str | None = None) -> spans.AgentSpan:
    """An agent's work on a task: `invoke_agent {role}`; `model` only if it uses a single one."""
    if callable(role):
        raise TypeError(_tell_misuse("agent", role))
    try:
        return spans.agent(clean_text(describe(role)), model=model)
    except Exception as error:  # noqa: BLE001  the border to the host
        return cast("spans.AgentSpan", _do_without(error))


def plan(role: str, *, source: str = "llm", revision: int = 0, reason: str | None = None) -> spans.PlanSpan:
    """The making of a plan: `plan {role}`; by `llm` or `rules`; `finish(step_count=...)` fills it."""
    if callable(role):
        raise TypeError(_tell_misuse("plan", role))
    try:
        return spans.plan(clean_text(describe(role)), source=source, revision=revision, reason=reason)
    except Exception as error:  # noqa: BLE001  the border to the host
        return cast("spans.PlanSpan", _do_without(error))


def step(kind: str, *, index: int | None = None, attempt: int = 1) -> spans.StepSpan:
    """One step of a plan: `step {kind}`; its index is counted by the agent (or task) that it belongs to."""
    if callable(kind):
        raise TypeError(_tell_misuse("step", kind))
    try:
        return spans.step(clean_text(describe(kind)), index=index, attempt=attempt)
    except Exception as error:  # noqa: BLE001  the border to the host
        return cast("spans.StepSpan", _do_without(error))


def tool(name: str, *, tool_type: str = "function", call_id: str | None = None) -> spans.ToolSpan:
    """One use of a tool: `execute_tool {name}`; `tool_type` is function, extension or datastore."""
    if callable(name):
        raise TypeError(_tell_misuse("tool", name))
    try:
        return spans.tool(clean_text(describe(name)), tool_type=tool_type, call_id=call_id)
    except Exception as error:  # noqa: BLE001  the border to the host
        return cast("spans.ToolSpan", _do_without(error))


def llm(model: str, *, provider: str, mode: str = "live", base_url: str | None = None) -> spans.ModelSpan:
    """One call of a language model: `chat {model}`; `record_usage` inside says what it used.

    `provider` as the GenAI conventions spell it (`openai`, `anthropic`, ...; `local` for a model in this
    process); mode `replay` for a recorded answer, which costs nothing and counts in no metric.
    """
    if callable(model):
        raise TypeError(_tell_misuse("llm", model))
    try:
        return spans.chat(clean_text(describe(model)), provider=provider, mode=mode, base_url=base_url)
    except Exception as error:  # noqa: BLE001  the border to the host
        return cast("spans.ModelSpan", _do_without(error))


def retrieval(source: str, *, top_k: int | None = None) -> spans.RetrievalSpan:
    """A search for passages: `retrieval {source}`; `finish(results=...)` says how many it found."""
    if callable(source):
        raise TypeError(_tell_misuse("retrieval", source))
    try:
        return spans.retrieval(clean_text(describe(source)), top_k=top_k)
    except Exception as error:  # noqa: BLE001  the border to the host
        return cast("spans.RetrievalSpan", _do_without(error))


def skill(name: str, *, tool: str = "skill") -> spans.SkillSpan:
    """One use of a skill: `execute_tool {tool} {name}`; `finish("not_applicable")` if nothing was to do."""
    if callable(name):
        raise TypeError(_tell_misuse("skill", name))
    try:
        return spans.skill(clean_text(describe(name)), tool=tool)
    except Exception as error:  # noqa: BLE001  the border to the host
        return cast("spans.SkillSpan", _do_without(error))


def current_task() -> spans.TaskSpan | None:
    """Return the task that this code runs in, with its `id`, `kind` and `finish`; None outside of any."""
    try:
        frame = get_frame()
    except Exception as error:  # noqa: BLE001  the border to the host
        note_error(error)
        return None
    found = frame.task if frame else None
    return found if isinstance(found, spans.TaskSpan) else None


def record_usage(
    *,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cache_read_tokens: int | None = None,
    cache_write_tokens: int | None = None,
    reasoning_tokens: int | None = None,
) -> None:
    """Record on the current model call the tokens that its provider reported; outside of one it does nothing.

    Input includes cached tokens, output includes reasoning. What the provider did not report stays unknown.
    """
    try:
        frame = get_frame()
        call = frame.llm if frame else None
        if isinstance(call, spans.ModelSpan):
            call.record_usage(
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cache_read_tokens=cache_read_tokens,
                cache_write_tokens=cache_write_tokens,
                reasoning_tokens=reasoning_tokens,
            )
    except Exception as error:  # noqa: BLE001  the border to the host
        note_error(error)


def _tell_misuse(word: str, function: object) -> str:
    """What is wrong where a function stands in place of a name: a decorator without its parentheses."""
    return (
        f"@taskscope.{word} was put on {function!r} without a name;"
        f" write @taskscope.{word}({getattr(function, '__name__', 'name')!r})"
    )


def _do_without(error: Exception, **facts: object) -> Unobserved:
    """What stands for an operation that could not be made."""
    note_error(error)
    return Unobserved(**facts)
