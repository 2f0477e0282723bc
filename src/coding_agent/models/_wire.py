"""What the adapters share about JSON on the wire: careful reading, and the pair that makes a provider.

Bodies come from servers of all kinds, so nothing here trusts a shape. No HTTP and no provider's name here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from coding_agent.errors import ModelError

if TYPE_CHECKING:
    from coding_agent.records import Message, Reply, ToolDefinition

Body: TypeAlias = Mapping[str, object]
"""A request or a response as the provider's own JSON object."""

MALFORMED = "malformed_arguments"
"""Name under which a tool call's arguments arrive that are no JSON object; its value is their text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How one API is spoken: the same two functions serve live calls, recordings and replay."""

    api: str
    """The API's name in a recording's header."""
    build: Callable[[str, Sequence[Message], Sequence[ToolDefinition]], dict[str, object]]
    """Model, messages, tools to a request body."""
    parse: Callable[[Body, str], Reply]
    """A response body and the provider's name to a reply; raises ModelError for a body without an answer."""


def read_object(value: object) -> Body:
    """Return a JSON object, or an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def read_objects(value: object) -> list[Body]:
    """Return the objects of a JSON array, in order, without what is no object."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def read_text(value: object) -> str | None:
    """Return a string that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def read_count(value: object) -> int | None:
    """Return a whole number from 0 on, else None: a count that was not reported stays unknown."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count and isinstance(value, int) else None


def parse_arguments(value: object) -> Mapping[str, object]:
    """Return a tool call's arguments, given as JSON text or as an object."""
    if isinstance(value, Mapping):
        return dict(value)
    try:
        parsed = json.loads(value) if isinstance(value, str) else None
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {MALFORMED: str(value)}


def parse_body(text: str, provider: str) -> Body:
    """Return a response body; ModelError when it is no JSON object."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        msg = f"{provider} answered with something that is no JSON object: {text[:80]!r}"
        raise ModelError(
            msg,
            hint="check the base URL: it has to end where the API begins, often in /v1",
        )
    return body
