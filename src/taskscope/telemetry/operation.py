"""The life cycle that all our spans share: start, fill, end; the host's result and exception pass unchanged.

At its start a span gets what samplers and the record of open spans need. At its end it gets its outcome, and
a failure is told as status, `error.type` and, by the innermost span, as one log record. Nothing here raises.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans as names

from . import providers
from ._values import clean_attributes, clean_text
from .calls import wrap
from .context import Frame, attach, detach, get_frame, get_living_context, put_frame
from .events import emit_exception
from .failures import describe_failure, error_type_of, is_first_report
from .guard import guarded, note_error
from .providers import get_providers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context

_F = TypeVar("_F", bound="Callable[..., Any]")


class Operation:
    """One span, as a context manager for a block and as a decorator for each call of a function.

    The object may be entered again after it was left; as a decorator it makes a fresh one for each call.
    """

    is_client: ClassVar[bool] = False
    """A GenAI client's exception event has the name that the conventions give it."""
    phase: ClassVar[str | None] = None
    """Where in the agent's loop such a span stands, if it is the first to say so."""
    names_agent: ClassVar[bool] = False
    """Whether the agent that it belongs to stands on the span, for the labels of its metrics."""

    def __init__(
        self,
        name: str,
        attributes: Mapping[str, object],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        context: Context | None = None,
        started_ns: int | None = None,
    ) -> None:
        """`started_ns`: of a span that is made after what it tells of; else it starts when it starts."""
        self._started_ns = started_ns
        self._name = name
        self._start_attributes = attributes
        self._kind = kind
        self._given_context = context
        self._reset()

    def _reset(self) -> None:
        self.has_ended = False
        self.error_type: str | None = None
        """Why it failed; None as long as it did not."""
        self.outer: Context | None = None
        self.context: Context | None = None
        """The context inside of the span; None before its start and after its end.

        It leads back to this object: kept longer, each span would wait for the garbage collector.
        """
        self._span: trace.Span = trace.INVALID_SPAN
        self._is_recording = False
        self._items = 0
        self._is_abandoned = False
        self._token: Token[Context] | None = None
        self._depth = 0

    # As a context manager and as a decorator.

    def __enter__(self) -> Self:
        if self._depth == 0 and not providers.is_off:
            try:
                self.start()
                self._token = attach(self.context)
            except Exception as failure:  # noqa: BLE001  the border to the host
                note_error(failure)
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            try:
                detach(self._token)
                self._token = None
            except Exception as failure:  # noqa: BLE001  the border to the host
                note_error(failure)
            try:
                self.end(error)
            except Exception as failure:  # noqa: BLE001  the border to the host
                note_error(failure)

    def __call__(self, function: _F) -> _F:
        """Put a span of this kind around each call of the function."""
        try:
            return wrap(function, lambda _args, _kwargs: self._fresh())
        except TypeError:  # put on what no span can stand around: said when it is made
            raise
        except Exception as failure:  # noqa: BLE001  the border to the host
            note_error(failure)
            return function

    def _fresh(self) -> Self:
        """Return an operation like this one that was not started."""
        fresh = object.__new__(type(self))
        fresh.__dict__.update(self.__dict__)
        fresh._reset()
        return fresh

    # The life cycle.

    def start(self) -> None:
        """Start the span; `context` is then the context inside of it."""
        try:
            if self.has_ended:
                self._reset()
            if providers.is_off:
                return
            self.outer = get_living_context(self._given_context)
            frame = Frame(get_frame(self.outer), self)
            self._identify(frame)
            self.context = put_frame(frame, self.outer)
            self._start_span(frame, self.context)
        except Exception as failure:  # noqa: BLE001  the border to the host
            note_error(failure)

    def _start_span(self, frame: Frame, context: Context) -> None:
        chosen = get_providers()
        self._span = chosen.tracer.start_span(
            clean_text(self._name),
            self._parent_context(),
            self._kind,
            clean_attributes({**self._stamps(frame), **self._start_attributes}),
            start_time=self._started_ns or chosen.span_clock(),
            record_exception=False,
            set_status_on_exception=False,
        )
        self._is_recording = self._span.is_recording()
        self.context = trace.set_span_in_context(self._span, context)
        if self._is_recording:
            self._on_start()

    def end(self, failure: BaseException | None = None) -> None:
        """End the span, with the exception that leaves it if there is one; a second end does nothing."""
        if self.has_ended or self.context is None:
            return
        try:
            for step in (partial(self._settle, failure), self._on_end, self._end_span):
                try:
                    step()
                except Exception as error:  # noqa: BLE001  the border to the host
                    note_error(error)
        finally:
            self.has_ended = True
            self.context = None

    def _end_span(self) -> None:
        self._span.end(get_providers().span_clock())

    @guarded
    def count_item(self) -> None:
        """Count one thing that a generator inside of the span yielded."""
        self._items += 1

    @guarded
    def set(self, key: str, value: object) -> None:
        """Set an attribute: a scalar or an array; anything else is recorded as its text, None not at all."""
        self.update({key: value})

    @guarded
    def update(self, attributes: Mapping[str, object]) -> None:
        """Set several attributes; after the end it does nothing."""
        if self._is_recording and not self.has_ended:
            self._span.set_attributes(clean_attributes(attributes))

    @guarded
    def fail(self, error_type: str, description: str = "") -> None:
        """Mark as failed without an exception: status ERROR and `error.type`."""
        self.error_type = error_type
        if self._is_recording and not self.has_ended:
            self._span.set_status(Status(StatusCode.ERROR, clean_text(description) or None))
            self._span.set_attribute(attr.ERROR_TYPE, clean_text(error_type))

    # What the kinds of spans add.

    def _identify(self, frame: Frame) -> None:
        """Say what this span brings into the context."""
        frame.phase = frame.phase or self.phase

    def _parent_context(self) -> Context | None:
        return self.outer

    def _on_start(self) -> None:
        """Tell of the start, where an event does."""

    def _complete(self) -> None:
        """Say how it ended where nobody said so and nothing failed."""

    def _abandon(self) -> None:
        """Say how it ended when its consumer closed the generator that it stands around."""

    def _break(self, error: BaseException) -> None:
        """Say how it ended when an exception left it."""

    def _on_end(self) -> None:
        """Tell of the end, where an event does."""

    # Private steps.

    def _stamps(self, frame: Frame) -> dict[str, object]:
        stamps: dict[str, object] = {}
        if frame.task_id is not None:
            stamps[attr.TASK_ID] = frame.task_id
            stamps[attr.TASK_KIND] = frame.task_kind
        if self.names_agent and frame.agent is not None:
            stamps[attr.GEN_AI_AGENT_NAME] = frame.agent
        return stamps

    def _settle(self, failure: BaseException | None) -> None:
        if failure is None:
            self._complete()
        elif isinstance(failure, GeneratorExit):
            self._is_abandoned = True
            self._abandon()
        else:
            self._fail_with(failure)

    def _fail_with(self, error: BaseException) -> None:
        self.fail(error_type_of(error), describe_failure(error))
        self._break(error)
        if self._is_recording and is_first_report(error, self._span.get_span_context().trace_id):
            emit_exception(error, self._whereabouts(), is_client=self.is_client, context=self.context)

    def _whereabouts(self) -> dict[str, object]:
        frame = get_frame(self.context) if self.context else None
        if frame is None:
            return {}
        return {attr.TASK_PHASE: frame.phase, attr.STEP_INDEX: frame.step_index}


def outcome_of(error_type: str | None) -> str:
    """Return how a task or step ended that an error left: `stopped` by a limit or a person, else `failed`."""
    stops = {names.ERROR_CANCELLED, names.ERROR_TIMEOUT, names.ERROR_BUDGET_EXCEEDED}
    return "stopped" if error_type in stops else "failed"
