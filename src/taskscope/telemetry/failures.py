"""What a failure is called, and that it is told once: by the innermost span that it leaves."""

from __future__ import annotations

import sys
import traceback

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans

from ._values import clean_text, describe

_DESCRIPTION_LIMIT = (
    256  # characters of a span status; the whole message stands in the exception's log record
)
_STACK_LIMIT = 64  # frames at each end of a traceback, which recursion would make endless
_TYPE_LIMIT = 128
_MARK = "__taskscope_trace__"


def error_type_of(error: BaseException) -> str:
    """Return `error.type`: the error's own word (`error_type`), one of ours, else its qualified class."""
    own = _read_text(error, "error_type")[:_TYPE_LIMIT]
    if own and own != spans.ERROR_OTHER:
        return own
    if isinstance(error, KeyboardInterrupt) or _is_cancelled(error):
        return spans.ERROR_CANCELLED
    if isinstance(error, TimeoutError):
        return spans.ERROR_TIMEOUT
    return class_name(type(error))


def class_name(kind: type[BaseException]) -> str:
    """Return the qualified name of an exception's class, without `builtins`."""
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def describe_failure(error: BaseException) -> str:
    """Return class and first line of the message, for a span's status."""
    message = describe(error).partition("\n")[0]
    name = type(error).__name__
    return clean_text(f"{name}: {message}" if message else name)[:_DESCRIPTION_LIMIT]


def exception_attributes(error: BaseException) -> dict[str, object]:
    """Return `exception.*`, `error.type` and, where the error knows one, its hint."""
    facts: dict[str, object] = {
        attr.EXCEPTION_TYPE: class_name(type(error)),
        attr.EXCEPTION_MESSAGE: describe(error),
        attr.EXCEPTION_STACKTRACE: _format_traceback(error),
        attr.ERROR_TYPE: error_type_of(error),
    }
    hint = _read_text(error, "hint")
    return {**facts, attr.ERROR_HINT: hint} if hint else facts


def is_first_report(error: BaseException, trace_id: int) -> bool:
    """Whether this exception was not told in this trace yet; from now on it was.

    The mark is an entry in the exception's own `__dict__`: a table beside it would keep the exception, and
    all frames of its traceback, alive.
    """
    marks = BaseException.__getattribute__(error, "__dict__")
    if marks.get(_MARK) == trace_id:
        return False
    marks[_MARK] = trace_id
    return True


def _read_text(error: BaseException, name: str) -> str:
    """Return an attribute of the error that is text, else an empty string."""
    try:
        value = getattr(error, name, None)
    except Exception:  # noqa: BLE001 - a hostile property must not reach the host
        return ""
    return str.__str__(value) if isinstance(value, str) else ""


def _is_cancelled(error: BaseException) -> bool:
    """Whether it is asyncio's or a future's cancellation; neither library is loaded for the question."""
    for module in ("asyncio", "concurrent.futures"):
        kind = getattr(sys.modules.get(module), "CancelledError", None)
        if kind is not None and isinstance(error, kind):
            return True
    return False


def _format_traceback(error: BaseException) -> str:
    """Return the traceback as Python prints it, causes included, shortened where recursion made it long."""
    try:
        return "".join(traceback.format_exception(error, limit=-_STACK_LIMIT))
    except Exception:  # noqa: BLE001 - a hostile __str__ or __cause__ must not reach the host
        return f"<unprintable traceback of {class_name(type(error))}>"
