"""Which span is current: set by one object that serves as a block and as a decorator.

Upstream does the same with a generator, which costs a frame of its own at each end.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.context import _RUNTIME_CONTEXT, Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace.propagation import _SPAN_KEY

from .span import Span

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.trace import Link, SpanKind

_F = TypeVar("_F", bound=Callable[..., Any])

_new: Callable[[type[Any]], Any] = object.__new__
_set_item: Callable[[Any, str, object], None] = dict.__setitem__

# The variable itself where upstream's default runtime context is in use: three calls less for each span.
_runtime: Any = (
    _RUNTIME_CONTEXT._current_context if type(_RUNTIME_CONTEXT) is ContextVarsRuntimeContext else None
)
get_current: Callable[[], Context] = _runtime.get if _runtime is not None else context_api.get_current
_attach: Callable[[Context], Any] = _runtime.set if _runtime is not None else context_api.attach
_detach: Callable[[Any], None] = _runtime.reset if _runtime is not None else _RUNTIME_CONTEXT.detach


class CurrentSpan:
    """A span that is current while this is entered; what `Tracer.start_as_current_span` returns."""

    __slots__ = (
        "_attributes", "_context", "_end_on_exit", "_kind", "_links", "_name", "_record_exception",
        "_set_status_on_exception", "_span", "_start_time", "_token", "_tracer",
    )  # fmt: skip

    _attributes: Mapping[str, Any] | None
    _context: Context | None
    _end_on_exit: bool
    _kind: SpanKind
    _links: Sequence[Link] | None
    _name: str
    _record_exception: bool
    _set_status_on_exception: bool
    _span: trace_api.Span
    _start_time: int | None
    _token: Any
    _tracer: trace_api.Tracer

    def __enter__(self) -> trace_api.Span:
        self._span = span = self._tracer.start_span(
            self._name, self._context, self._kind, self._attributes, self._links, self._start_time,
            self._record_exception, self._set_status_on_exception,
        )  # fmt: skip
        context = Context(get_current())
        _set_item(context, _SPAN_KEY, span)
        self._token = _attach(context)
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            _detach(self._token)
        except Exception:  # noqa: BLE001  it was left in another context than it was entered in
            context_api.detach(self._token)  # says so in the log, as upstream
        span = self._span
        # What is no Exception, a generator's end say, is no error (upstream #4484).
        if error is not None and isinstance(error, Exception) and isinstance(span, Span):
            try:
                span.fail(error, is_event=self._record_exception, is_status=self._set_status_on_exception)
            except Exception as failure:  # noqa: BLE001  the border to the host
                span._tracer.report("recorder", failure)
        if self._end_on_exit:
            span.end()

    def __call__(self, function: _F) -> _F:
        """The function with a new span around each call."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                with self._fresh():
                    return await function(*args, **kwargs)

            return cast("_F", call_async)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)

        return cast("_F", call)

    def _fresh(self) -> CurrentSpan:
        fresh: CurrentSpan = _new(CurrentSpan)
        for name in self.__slots__:
            if name not in {"_span", "_token"}:
                setattr(fresh, name, getattr(self, name))
        return fresh
