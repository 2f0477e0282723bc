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

from . import spans
from ._values import clean_text, describe
from .context import carry, get_frame

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
    return spans.task(
        _name("task", kind), task_id=task_id, attempt=attempt, source=source, request_id=request_id
    )


def agent(role: str, *, model: str | None = None) -> spans.AgentSpan:
    """An agent's work on a task: `invoke_agent {role}`; `model` only if it uses a single one."""
    return spans.agent(_name("agent", role), model=model)


def plan(role: str, *, source: str = "llm", revision: int = 0, reason: str | None = None) -> spans.PlanSpan:
    """The making of a plan: `plan {role}`; by `llm` or `rules`; `finish(step_count=...)` fills it."""
    return spans.plan(_name("plan", role), source=source, revision=revision, reason=reason)


def step(kind: str, *, index: int | None = None, attempt: int = 1) -> spans.StepSpan:
    """One step of a plan: `step {kind}`; its index is counted by the agent (or task) that it belongs to."""
    return spans.step(_name("step", kind), index=index, attempt=attempt)


def tool(name: str, *, tool_type: str = "function", call_id: str | None = None) -> spans.ToolSpan:
    """One use of a tool: `execute_tool {name}`; `tool_type` is function, extension or datastore."""
    return spans.tool(_name("tool", name), tool_type=tool_type, call_id=call_id)


def llm(model: str, *, provider: str, mode: str = "live", base_url: str | None = None) -> spans.ModelSpan:
    """One call of a language model: `chat {model}`; `record_usage` inside says what it used.

    `provider` as the GenAI conventions spell it (`openai`, `anthropic`, ...; `local` for a model in this
    process); mode `replay` for a recorded answer, which costs nothing and counts in no metric.
    """
    return spans.chat(_name("llm", model), provider=provider, mode=mode, base_url=base_url)


def retrieval(source: str, *, top_k: int | None = None) -> spans.RetrievalSpan:
    """A search for passages: `retrieval {source}`; `finish(results=...)` says how many it found."""
    return spans.retrieval(_name("retrieval", source), top_k=top_k)


def skill(name: str, *, tool: str = "skill") -> spans.SkillSpan:
    """One use of a skill: `execute_tool {tool} {name}`; `finish("not_applicable")` if nothing was to do."""
    return spans.skill(_name("skill", name), tool=tool)


def current_task() -> spans.TaskSpan | None:
    """Return the task that this code runs in, with its `id`, `kind` and `finish`; None outside of any."""
    frame = get_frame()
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


def _name(word: str, name: object) -> str:
    """Return the {...} of the span's name; a function there is a decorator without its parentheses."""
    if callable(name):
        message = (
            f"@taskscope.{word} was put on {name!r} without a name;"
            f" write @taskscope.{word}({getattr(name, '__name__', 'name')!r})"
        )
        raise TypeError(message)
    return clean_text(describe(name))
