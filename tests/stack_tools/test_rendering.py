"""Variables in configurations of programs that expand none."""

from __future__ import annotations

import pytest

from stack.errors import StackError
from stack.rendering import render


@pytest.mark.parametrize(
    "template,expected",
    [
        ("a: ${TASKSCOPE_A}", "a: one"),
        ("a: ${TASKSCOPE_A:-two}", "a: one"),
        ("b: ${TASKSCOPE_B:-two}:${TASKSCOPE_A}", "b: two:one"),
        ("c: ${TASKSCOPE_EMPTY:-two}", "c: two"),
        ("d: ${TASKSCOPE_B:-}", "d: "),
        ("e: $1 {{ $value }} ${lower}", "e: $1 {{ $value }} ${lower}"),
    ],
)
def test_variables_become_values_or_defaults(template: str, expected: str) -> None:
    """A set variable is its value, an empty or unset one its default; what is no variable stays."""
    assert render(template, {"TASKSCOPE_A": "one", "TASKSCOPE_EMPTY": ""}) == expected


def test_a_variable_without_a_value_is_named() -> None:
    """A configuration is never written with a hole."""
    with pytest.raises(StackError, match="TASKSCOPE_B"):
        render("b: ${TASKSCOPE_B}", {})
