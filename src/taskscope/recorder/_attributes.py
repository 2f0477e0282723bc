"""What a span keeps of attributes: as they were given, frozen against later changes, within the limits.

Nothing is turned into text here: the record's cleaner does that at its edge, and foreign processors are
served what the SDK would have made of it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from types import NoneType
from typing import Any

from taskscope.semconv import attributes as contract

_SCALARS = frozenset({bool, int, float, str, bytes, NoneType})
_UNBOUNDED = sys.maxsize
_DEPTH_LIMIT = 16
_NODES_LIMIT = 10_000
"""Nested values of one attribute; more would take longer than any span is worth, and a cycle has no end."""
_TOO_DEEP = "[nested too deep]"


@cache
def contract_keys() -> frozenset[str]:
    """The keys of the contract, which outlive all others on a span that has too many."""
    return frozenset(value for name, value in vars(contract).items() if name.isupper() and type(value) is str)


class Bounds:
    """How much one kind of carrier (span, event or link) keeps of its attributes."""

    __slots__ = ("count", "length", "plain")

    def __init__(self, count: int | None, length: int | None) -> None:
        """None is no limit, as in `SpanLimits`."""
        self.count = _UNBOUNDED if count is None else count
        self.length = length
        self.plain = _SCALARS if length is None else _SCALARS - {str}
        """Types of values that are kept without a second look."""

    def are_plain(self, given: dict[str, Any], kept: dict[str, Any]) -> bool:
        """Whether all of `given` can join what is kept as they are."""
        if len(given) + len(kept) > self.count:
            return False
        plain = self.plain
        for key, value in given.items():
            if type(value) not in plain or type(key) is not str or not key:
                return False
        return True

    def select(self, given: Mapping[Any, Any] | None) -> tuple[dict[str, Any], int]:
        """What is kept of `given` by a carrier that has none yet, and how many were dropped."""
        if not given:
            return {}, 0
        kept: dict[str, Any] = {}
        return kept, self.add(kept, given)

    def add(self, kept: dict[str, Any], given: Mapping[Any, Any] | Sequence[tuple[Any, Any]]) -> int:
        """Add to `kept` in place; return how many were dropped of either.

        Beyond the limit the oldest goes, as upstream, but no key of the contract as long as there is another.
        """
        given = dict(given)
        if self.count == 0:
            return len(given)
        valid: dict[str, Any] = {}
        for key, value in given.items():
            name = key if type(key) is str else _to_key(key)
            if name:
                valid[name] = value if type(value) in self.plain else _freeze(value, self.length)
        dropped = len(given) - len(valid)
        for name, value in valid.items():
            if name not in kept and len(kept) >= self.count:
                dropped += 1
                if not _make_room(kept, name):
                    continue
            kept[name] = value
        return dropped


def _to_key(key: object) -> str | None:
    """A key that is no text, as upstream reads it: its own words if it has any, else it is no key."""
    if isinstance(key, str):
        return key
    kind = type(key)
    try:
        has_words = kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__
        return str(key) if key and has_words else None
    except Exception:  # noqa: BLE001  a foreign object may do anything
        return None


def _make_room(kept: dict[str, Any], name: str) -> bool:
    """Take the one out that is needed least; False if that is the new one."""
    keys = contract_keys()
    victim = next((key for key in kept if key not in keys), None)
    if victim is None:
        if name not in keys:
            return False
        victim = next(iter(kept))
    del kept[victim]
    return True


def _freeze(value: Any, length: int | None) -> Any:
    """A copy that the host cannot change any more; what is neither text, number nor container as it is."""
    try:
        return _freeze_nested(value, length, _DEPTH_LIMIT, [_NODES_LIMIT])
    except Exception:  # noqa: BLE001  a foreign container may do anything
        return f"[unreadable {type(value).__qualname__}]"


def _freeze_nested(value: Any, length: int | None, depth: int, nodes_left: list[int]) -> Any:
    if isinstance(value, str):
        return value if length is None else value[:length]
    if isinstance(value, bytes) or not isinstance(value, Mapping | Sequence):
        return value.copy() if isinstance(value, set) else value
    is_mapping = isinstance(value, Mapping)
    if not is_mapping and length is None and _SCALARS.issuperset(map(type, value)):
        return tuple(value)
    nodes_left[0] -= len(value)
    if depth == 0 or nodes_left[0] < 0:
        return _TOO_DEEP
    if is_mapping:
        return {key: _freeze_nested(one, length, depth - 1, nodes_left) for key, one in dict(value).items()}
    return tuple(_freeze_nested(one, length, depth - 1, nodes_left) for one in value)
