"""What travels with the OTel context: the task, its agent and skill, and the span that is being made.

Identity is set once, by the span that brings it in, and is stamped on all below it: on our own spans by
`operation.py`, on foreign ones by whoever calls `stamp` when they start.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from opentelemetry import context as otel_context

from taskscope.semconv import attributes as attr

from .guard import note_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextvars import Token

    from opentelemetry.context import Context

_P = ParamSpec("_P")
_R = TypeVar("_R")

_FRAME = otel_context.create_key("taskscope-frame")


class Owner(Protocol):
    """The operation that brought a frame in."""

    has_ended: bool
    outer: Context | None
    """The context that it was opened in."""


class Frame:
    """What is known at one place of the code; a new one for each of our spans, never changed."""

    __slots__ = (
        "agent",
        "llm",
        "owner",
        "phase",
        "request_id",
        "skill",
        "step_index",
        "steps",
        "task",
        "task_id",
        "task_kind",
    )

    def __init__(self, outer: Frame | None = None, owner: Owner | None = None) -> None:
        self.owner = owner
        self.task_id: str | None = None
        self.task_kind: str | None = None
        self.task: object | None = None
        """The task's own span, in the process that opened it."""
        self.request_id: str | None = None
        self.agent: str | None = None
        self.skill: str | None = None
        self.phase: str | None = None
        """Where in the agent's loop this is, one of `TASK_PHASES`."""
        self.step_index: int | None = None
        self.steps: Iterator[int] | None = None
        """Counts the steps of the agent or task."""
        self.llm: object | None = None
        """The innermost call of a model."""
        if outer is not None:
            self._inherit(outer)

    def _inherit(self, outer: Frame) -> None:
        self.task_id = outer.task_id
        self.task_kind = outer.task_kind
        self.task = outer.task
        self.request_id = outer.request_id
        self.agent = outer.agent
        self.skill = outer.skill
        self.phase = outer.phase
        self.step_index = outer.step_index
        self.steps = outer.steps
        self.llm = outer.llm


def get_frame(context: Context | None = None) -> Frame | None:
    """Return what is known in a context, the current one by default."""
    frame = otel_context.get_value(_FRAME, context)
    return frame if isinstance(frame, Frame) else None


def put_frame(frame: Frame, context: Context) -> Context:
    """Return the context with this frame."""
    return otel_context.set_value(_FRAME, frame, context)


def get_living_context(context: Context | None = None) -> Context:
    """Return the context (the current one by default), or the first one around it whose span has not ended.

    A span that was held open across a `yield` may be current where it does not belong any more.
    """
    living = otel_context.get_current() if context is None else context
    while (
        (frame := get_frame(living))
        and frame.owner
        and frame.owner.has_ended
        and frame.owner.outer is not None
    ):
        living = frame.owner.outer
    return living


def stamp(context: Context | None = None) -> dict[str, str]:
    """Return the attributes that every span and log record of a task carries, for a record made elsewhere."""
    frame = get_frame(context)
    if frame is None or frame.task_id is None:
        return {}
    return {attr.TASK_ID: frame.task_id, attr.TASK_KIND: frame.task_kind or ""}


def log_fields() -> dict[str, str]:
    """Return task_id, task_kind, request_id, agent_id and skill_id, as far as known here, for a log line."""
    frame = get_frame()
    if frame is None:
        return {}
    known = {
        "task_id": frame.task_id,
        "task_kind": frame.task_kind,
        "request_id": frame.request_id,
        "agent_id": frame.agent,
        "skill_id": frame.skill,
    }
    return {name: value for name, value in known.items() if value}


@contextmanager
def request(request_id: str) -> Iterator[None]:
    """Let a request's id travel with all that is done for it; it stands in log lines."""
    context = otel_context.get_current()
    frame = Frame(get_frame(context))
    frame.request_id = request_id
    token = attach(put_frame(frame, context))
    try:
        yield
    finally:
        detach(token)


def carry(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return the function bound to the context of this moment, for a thread or a pool that would lose it."""
    context = otel_context.get_current()

    @functools.wraps(function)
    def carried(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        token = attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            detach(token)

    return carried


def extract(carrier: Mapping[str, str]) -> Context:
    """Return the current context with the caller's span as parent; keys `traceparent`, `tracestate`."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    lowered = {
        key.lower(): value for key, value in carrier.items() if key.lower() in {"traceparent", "tracestate"}
    }
    return TraceContextTextMapPropagator().extract(lowered, otel_context.get_current())


def as_sampled(context: Context) -> Context:
    """Return the context with its span as a sampled one: a caller who samples shall cost us no task."""
    from opentelemetry import trace

    parent = trace.get_current_span(context).get_span_context()
    if not parent.is_valid or parent.trace_flags.sampled:
        return context
    sampled = trace.SpanContext(
        parent.trace_id,
        parent.span_id,
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
        trace_state=parent.trace_state,
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(sampled), context)


def inject() -> dict[str, str]:
    """Return `traceparent` (and `tracestate`) of the current span, empty without one."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier


def attach(context: Context | None) -> Token[Context] | None:
    """Make the context current; None if there is none or that failed, which `detach` takes."""
    try:
        return None if context is None else otel_context.attach(context)
    except Exception as error:  # noqa: BLE001  the border to the host
        note_error(error)
        return None


def detach(token: Token[Context] | None) -> None:
    """Restore what was current before; where that cannot be (another task closes a generator), leave it.

    OTel's own `detach` would log an error with a traceback for each generator that is abandoned.
    """
    if token is None:
        return
    try:
        token.var.reset(token)
    except ValueError:
        return
    except Exception as error:  # noqa: BLE001 - a foreign context implementation must not reach the host
        note_error(error)
