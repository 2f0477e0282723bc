"""What the host gets where an operation could not be made: it takes every call and does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_F = TypeVar("_F", bound="Callable[..., Any]")


def _do_nothing(*_args: object, **_kwargs: object) -> None:
    """Take whatever is told."""


class Unobserved:
    """Stands for an operation of any kind; a block inside of it, or a function under it, runs as if bare."""

    id = kind = ""
    error_type = context = outer = None
    has_ended = True

    def __init__(self, **facts: object) -> None:
        """`facts`: what the host has given itself, and may ask for."""
        self.__dict__.update(facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Let everything pass."""

    def __call__(self, function: _F) -> _F:
        """The function as it is."""
        return function

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _do_nothing
