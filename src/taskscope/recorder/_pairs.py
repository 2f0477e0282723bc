"""Attributes as serialized `KeyValue` fields, where a short look is enough: the fast way past the cleaner.

Most keys and most short values come again, span after span: what was found clean once is kept as the bytes
that it takes. Whatever is not plainly clean is left to the cleaner.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from taskscope.store import wire

if TYPE_CHECKING:
    from .cleaning import Cleaner

_TAG: Final = b"\x4a"
"""Field 9 of a `Span`."""
_KEYS_LIMIT: Final = 1024
_VALUES_LIMIT: Final = 256
"""Of one key; a key with more different values gets none kept, and the counts begin again."""
_KEPT_LENGTH: Final = 128
_LONGEST: Final = 16 * 1024
"""Characters of a text that needs no cut, whatever its characters are."""
_SMALLEST: Final = -(1 << 63)
_GREATEST: Final = (1 << 63) - 1
_DOUBLE: Final = struct.Struct("<d")
_ONE_BYTE: Final = tuple(bytes((number,)) for number in range(128))
_SMALL: Final = 128
"""Numbers below it come again and again, and are kept."""


class _Key(NamedTuple):
    """A key that is clean, and what was said of it before."""

    head: bytes
    """The key's own field, and the tag of its value."""
    texts: dict[str, bytes]
    small: dict[int, bytes]
    """Pairs of numbers below 128."""
    booleans: tuple[bytes, bytes]


class KnownPairs:
    """Encodes attributes that need no cleaning; safe to share between threads."""

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner
        self._keys: dict[str, _Key] = {}

    def encode(self, values: Mapping[str, Any]) -> bytes | None:
        """The attributes of a span, None when one of them needs a longer look."""
        parts = []
        keys = self._keys
        for key, value in values.items():
            known = keys.get(key) or self._learn(key)
            if known is None:
                return None
            if type(value) is str:
                pair = known[1].get(value) or self._encode_text(known, value)
            else:
                pair = _encode_number(known, value)
            if pair is None:
                return None
            parts.append(pair)
        return b"".join(parts)

    def _learn(self, key: Any) -> _Key | None:
        if not self._cleaner.is_plain_key(key):
            return None
        if len(self._keys) >= _KEYS_LIMIT:
            self._keys = {}
        head = wire.text(b"\x0a", key) + b"\x12"
        booleans = _pair(head, b"\x10\x00"), _pair(head, b"\x10\x01")
        known = self._keys[key] = _Key(head, {}, {}, booleans)
        return known

    def _encode_text(self, known: _Key, value: str) -> bytes | None:
        if len(value) > _LONGEST or not self._cleaner.is_clean_text(value):
            return None
        try:
            raw = value.encode()
        except UnicodeEncodeError:  # a lone surrogate
            return None
        pair = _pair(known.head, b"\x0a" + wire.varint(len(raw)) + raw)
        if len(value) <= _KEPT_LENGTH:
            if len(known.texts) >= _VALUES_LIMIT:
                known.texts.clear()
            known.texts[value] = pair
        return pair


def _encode_number(known: _Key, value: Any) -> bytes | None:
    kind = type(value)
    if kind is int:
        pair = known.small.get(value)
        if pair is not None:
            return pair
        if 0 <= value < _SMALL:
            pair = known.small[value] = _pair(known.head, b"\x18" + wire.varint(value))
            return pair
        return _pair(known.head, b"\x18" + wire.varint(value)) if _SMALLEST <= value <= _GREATEST else None
    if kind is bool:
        return known.booleans[value]
    if kind is float and value - value == 0.0:  # neither NaN nor infinite
        return _pair(known.head, b"\x21" + _DOUBLE.pack(value))
    return None


def _pair(head: bytes, encoded: bytes) -> bytes:
    size = len(encoded)
    encoded = head + (_ONE_BYTE[size] if size < len(_ONE_BYTE) else wire.varint(size)) + encoded
    size = len(encoded)
    return _TAG + (_ONE_BYTE[size] if size < len(_ONE_BYTE) else wire.varint(size)) + encoded
