"""OTTL statements out of the table of dialects: `transform/dialects`.

A statement fills one attribute where it is missing, as `taskscope.store.dialects.translate` does for our own
receiver; the golden tests hold both to the same result. Statements look at the kind of a value before they
use it: a conversion that fails would cost a log line for each span.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from taskscope.store.dialects import COUNT_LIMIT, DIALECTS, DIGITS, SPAN_NAME, Dialect, Fill, Form


def build() -> dict[str, Any]:
    """The processor, as configuration."""
    groups = [_group(dialect) for dialect in DIALECTS]
    return {"processors": {"transform/dialects": {"error_mode": "ignore", "trace_statements": groups}}}


def _group(dialect: Dialect) -> dict[str, Any]:
    group: dict[str, Any] = {"context": "span"}
    marks = [
        *(f"{_attribute(key)} != nil" for key in dialect.keys),
        *(f"scope.name == {_quoted(name)}" for name in dialect.scopes),
    ]
    if marks:
        group["conditions"] = marks  # any of them is enough
    group["statements"] = [_statement(fill).replace("$", "$$") for fill in dialect.fills]
    return group


def _statement(fill: Fill) -> str:
    target = _attribute(fill.target)
    conditions = [f"{target} == nil"]
    if fill.is_root_only:
        conditions.append("IsRootSpan()")
    conditions += [_one_of(key, values) for key, values in fill.when.items()]
    if fill.source is None:
        return f"set({target}, {_quoted(fill.value)}) where {' and '.join(conditions)}"
    source = SPAN_NAME if fill.source == SPAN_NAME else _attribute(fill.source)
    value, condition = _formed(fill.form, source)
    return f"set({target}, {value}) where {' and '.join([*conditions, condition])}"


def _formed(form: Form, source: str) -> tuple[str, str]:
    """What is set, and when the source has a value for it."""
    if form is Form.COUNT:
        return f"Int({source})", (
            f"((IsInt({source}) and {source} >= 0)"
            f" or (IsDouble({source}) and {source} >= 0.0 and {source} < {COUNT_LIMIT}.0)"
            f" or (IsString({source}) and IsMatch({source}, {_quoted(DIGITS)})))"
        )
    is_text = f'IsString({source}) and {source} != ""'
    return (f'Split({source}, ".")[0]' if form is Form.HEAD else source), is_text


def _one_of(key: str, values: Iterable[str]) -> str:
    choices = [f"{_attribute(key)} == {_quoted(value)}" for value in values]
    return choices[0] if len(choices) == 1 else f"({' or '.join(choices)})"


def _attribute(key: str) -> str:
    return f"span.attributes[{_quoted(key)}]"


def _quoted(text: str) -> str:
    """The text as OTTL writes it, which is as JSON does."""
    return json.dumps(text, ensure_ascii=False)
