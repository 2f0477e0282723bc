"""Events: log records with an event name and no body, with the context of the span that they happened in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskscope.semconv import events as names

from ._values import clean_attributes
from .context import stamp
from .failures import exception_attributes
from .guard import INSTRUMENTATION
from .providers import get_providers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context


def emit_event(
    name: str,
    attributes: Mapping[str, object] | None = None,
    *,
    severity: int | None = None,
    context: Context | None = None,
) -> None:
    """Record one event, stamped with the task; `severity` is an OTel number, by default the event's own.

    Never raises; without a logger provider it does nothing.
    """
    with INSTRUMENTATION:
        _emit(name, attributes or {}, severity or names.SEVERITIES.get(name, names.INFO), context)


def emit_exception(
    error: BaseException,
    attributes: Mapping[str, object] | None = None,
    *,
    is_client: bool = False,
    context: Context | None = None,
) -> None:
    """Record an exception as its one log record: type, message, stack trace, hint."""
    name = names.CLIENT_EXCEPTION if is_client else names.EXCEPTION
    with INSTRUMENTATION:
        facts = {**exception_attributes(error), **(attributes or {})}
        _emit(name, facts, names.SEVERITIES[name], context)


def _emit(name: str, attributes: Mapping[str, object], severity: int, context: Context | None) -> None:
    """Hand the record to the logs API, which is loaded with the first event only."""
    from opentelemetry._logs import SeverityNumber

    providers = get_providers()
    logger = providers.logger()
    if not logger.enabled(context=context, severity_number=SeverityNumber(severity), event_name=name):
        return
    logger.emit(
        timestamp=providers.clock(),
        context=context,
        severity_number=SeverityNumber(severity),
        severity_text=names.SEVERITY_TEXTS.get(severity),
        attributes={**stamp(context), **clean_attributes(attributes)},
        event_name=name,
    )
