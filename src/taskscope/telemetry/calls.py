"""A span around each call of a function, coroutine, generator or async generator.

A generator's span is current only while the generator runs, never across a `yield`: what its consumer does in
between is not its child (opentelemetry-python #2606). A generator that is never begun makes no span.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

from taskscope.semconv.spans import ERROR_CANCELLED

from .context import attach, detach
from .guard import note_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from opentelemetry.context import Context

_F = TypeVar("_F", bound="Callable[..., Any]")


class Observed(Protocol):
    """One span around one call; an `Operation`."""

    @property
    def context(self) -> Context | None:
        """The context inside of the span."""

    def __enter__(self) -> object: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def start(self) -> None:
        """Start the span without making it current."""

    def end(self, failure: BaseException | None = None) -> None:
        """End it, with the exception that leaves it."""

    def fail(self, error_type: str, description: str = "") -> None:
        """Mark it as failed."""

    def count_item(self) -> None:
        """Count one thing that a generator yielded."""


class Begin(Protocol):
    """Builds the operation of one call, not started; with None, or if it fails, the call goes unobserved."""

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], /) -> Observed | None:
        """Return the operation for a call with these arguments."""


Finish: TypeAlias = "Callable[[Any, Any, tuple[Any, ...], Mapping[str, Any]], None]"
"""Reads the result of a call into its operation: (operation, result, args, kwargs); it may fail."""


def wrap(function: _F, begin: Begin, finish: Finish | None = None) -> _F:
    """Return the function, observed: same kind, same signature, same result, same exceptions.

    `finish` sees what a function or coroutine returned, or a generator's `return` value.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return cast("_F", type(function)(wrap(function.__func__, begin, finish)))
    if isinstance(function, type) or not callable(function):
        message = (
            f"a span can stand around a function or method, not around {function!r}; decorate its methods"
        )
        raise TypeError(message)
    if inspect.isasyncgenfunction(function):
        wrapper: Callable[..., Any] = _wrap_async_generator(function, begin)
    elif inspect.isgeneratorfunction(function):
        wrapper = _wrap_generator(function, begin, finish)
    elif inspect.iscoroutinefunction(function):
        wrapper = _wrap_coroutine(function, begin, finish)
    else:
        wrapper = _wrap_function(function, begin, finish)
    return cast("_F", functools.wraps(function)(wrapper))


def wrap_entering(function: _F, begin: Begin, finish: Finish | None = None) -> _F:
    """Return a function that returns a context manager, with a span around the entering of it only.

    What is done inside of the context, and when it is left, is not the function's own work.
    """

    @functools.wraps(function)
    def observed(*args: Any, **kwargs: Any) -> _Entering:
        return _Entering(function(*args, **kwargs), begin, finish, args, kwargs)

    return cast("_F", observed)


class _Entering:
    """A context manager whose entering is observed."""

    def __init__(
        self,
        inner: AbstractContextManager[Any],
        begin: Begin,
        finish: Finish | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        self._inner = inner
        self._enter = _wrap_function(inner.__enter__, lambda _args, _kwargs: begin(args, kwargs), finish)

    def __enter__(self) -> Any:
        return self._enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._inner.__exit__(kind, error, traceback)


def _begin(begin: Begin, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Observed | None:
    """Return the operation, or None where it could not be built."""
    try:
        return begin(args, kwargs)
    except Exception as error:  # noqa: BLE001  the border to the host
        note_error(error)
        return None


def _finish(
    finish: Finish | None,
    operation: Observed,
    result: object,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> None:
    if finish is not None:
        try:
            finish(operation, result, args, kwargs)
        except Exception as error:  # noqa: BLE001  the border to the host
            note_error(error)


def _wrap_function(function: Callable[..., Any], begin: Begin, finish: Finish | None) -> Callable[..., Any]:
    def observed(*args: Any, **kwargs: Any) -> Any:
        operation = _begin(begin, args, kwargs)
        if operation is None:
            return function(*args, **kwargs)
        with operation:
            result = function(*args, **kwargs)
            _finish(finish, operation, result, args, kwargs)
            return result

    return observed


def _wrap_coroutine(function: Callable[..., Any], begin: Begin, finish: Finish | None) -> Callable[..., Any]:
    async def observed(*args: Any, **kwargs: Any) -> Any:
        operation = _begin(begin, args, kwargs)
        if operation is None:
            return await function(*args, **kwargs)
        with operation:
            try:
                result = await function(*args, **kwargs)
            except GeneratorExit:
                operation.fail(ERROR_CANCELLED, "closed before its end")
                raise
            _finish(finish, operation, result, args, kwargs)
            return result

    return observed


def _wrap_generator(function: Callable[..., Any], begin: Begin, finish: Finish | None) -> Callable[..., Any]:
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        operation = _begin(begin, args, kwargs)
        generator = function(*args, **kwargs)
        if operation is None:
            return (yield from generator)
        operation.start()
        try:
            result = yield from _drive(operation, generator)
            _finish(finish, operation, result, args, kwargs)
        except BaseException as error:
            operation.end(error)
            raise
        operation.end()
        return result

    return observed


def _drive(operation: Observed, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Hand values, exceptions and close on to the generator, as `yield from` would, inside the span."""
    step: Callable[[Any], Any] = generator.send
    argument: Any = None
    while True:
        token = attach(operation.context)
        try:
            value = step(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            detach(token)
        operation.count_item()
        try:
            argument = yield value
            step = generator.send
        except GeneratorExit:
            token = attach(operation.context)
            try:
                generator.close()
            finally:
                detach(token)
            raise
        except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, for the generator to see
            step, argument = generator.throw, error


def _wrap_async_generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    async def observed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        operation = _begin(begin, args, kwargs)
        generator = function(*args, **kwargs)
        if operation is not None:
            operation.start()
        error: BaseException | None = None
        step, argument = generator.asend, None
        try:
            while True:
                value = await _step(operation, step, argument)
                try:
                    argument = yield value
                    step = generator.asend
                except GeneratorExit:
                    await _close(operation, generator)
                    raise
                except BaseException as thrown:  # noqa: BLE001 - for the generator to see
                    step, argument = generator.athrow, thrown
        except StopAsyncIteration:
            return
        except BaseException as failure:
            error = failure
            raise
        finally:
            if operation is not None:
                operation.end(error)

    return observed


async def _step(operation: Observed | None, step: Callable[[Any], Any], argument: Any) -> Any:
    """Run an async generator to its next `yield`, inside the span."""
    token = attach(operation.context) if operation else None
    try:
        item = await step(argument)
    finally:
        detach(token)
    if operation is not None:
        operation.count_item()
    return item


async def _close(operation: Observed | None, generator: AsyncGenerator[Any, Any]) -> None:
    """Let an async generator clean up, inside the span."""
    token = attach(operation.context) if operation else None
    try:
        await generator.aclose()
    finally:
        detach(token)
