"""Conversion of what a host hands over into values that every OTel backend takes: scalars and arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeAlias

from taskscope.semconv.spans import CLOSED_SETS, OTHER

Scalar: TypeAlias = str | bool | int | float
AttributeValue: TypeAlias = Scalar | list[str] | list[bool] | list[int] | list[float]

_INT_LIMIT = 2**63
_TEXT_LIMIT = (
    4096  # characters of an object's str(); a host's own strings are cut by the recorder, which counts
)


def clean_attributes(values: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Return the attributes that can be recorded; what is None or an empty key is left out."""
    cleaned: dict[str, AttributeValue] = {}
    for key, value in values.items():
        if value is None or not key:
            continue
        if key in CLOSED_SETS:
            cleaned[key] = close_value(key, value)
        elif type(value) is str and value.isascii():  # most are: a call for each would double the cost
            cleaned[key] = value
        else:
            cleaned[key] = clean_value(value)
    return cleaned


def close_value(key: str, value: object) -> AttributeValue:
    """Return a value of a closed set, or `other` for one that is not in it."""
    allowed = CLOSED_SETS[key]
    cleaned = value if type(value) is str else clean_value(value)
    return cleaned if cleaned in allowed else OTHER


def clean_value(value: object) -> AttributeValue:
    """Return a scalar or an array of one type of scalar; anything else as its text."""
    kind = type(value)
    if kind is str:
        return clean_text(value)  # type: ignore[arg-type]
    if kind is bool or kind is float:
        return value  # type: ignore[return-value]
    if kind is int:
        return _clean_int(value)  # type: ignore[arg-type]
    if isinstance(value, Enum):
        return clean_value(value.value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _clean_array(value)
    return clean_text(describe(value))


def clean_text(text: str) -> str:
    """Return the text without lone surrogates, which cost the exporter its whole batch."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def describe(value: object) -> str:
    """Return `str()` of anything, cut; a value that cannot say what it is is named by its class."""
    if isinstance(value, str):
        return str.__str__(value)
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - a hostile __str__ must not reach the host
        return f"<unprintable {type(value).__qualname__}>"
    return str.__str__(text)[:_TEXT_LIMIT]


def _clean_int(value: int) -> int | str:
    """Return the integer, as text when it does not fit into the 64 bits of OTLP."""
    return value if -_INT_LIMIT <= value < _INT_LIMIT else hex(value)


def _clean_array(values: Iterable[object]) -> AttributeValue:
    """Return an array of one scalar type, of texts where the types are mixed."""
    items = [item if type(item) in {str, bool, int, float} else describe(item) for item in values]
    kinds = {type(item) for item in items}
    if len(kinds) > 1 or kinds == {str}:
        return [clean_text(describe(item)) for item in items]
    if kinds == {int} and any(not -_INT_LIMIT <= item < _INT_LIMIT for item in items):  # type: ignore[operator]
        return [hex(item) for item in items]  # type: ignore[arg-type]
    return items  # type: ignore[return-value]
