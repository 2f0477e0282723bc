"""Attributes as serialized `KeyValue` fields, where a short look is enough: the fast way past the cleaner.

Most keys and most short values come again, span after span: what was found clean once is kept as the bytes
that it takes. Whatever is not plainly clean is left to the cleaner.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

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
_SMALL: Final = tuple(b"\x18" + _ONE_BYTE[number] for number in range(128))
_BOOLEANS: Final = {False: b"\x10\x00", True: b"\x10\x01"}


class KnownPairs:
    """Encodes attributes that need no cleaning; safe to share between threads."""

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner
        self._keys: dict[str, tuple[bytes, dict[str, bytes]]] = {}

    def encode(self, values: Mapping[str, Any]) -> bytes | None:
        """The attributes of a span, None when one of them needs a longer look."""
        parts = []
        keys = self._keys
        for key, value in values.items():
            known = keys.get(key)
            if known is None:
                known = self._learn(key)
                if known is None:
                    return None
            if type(value) is str:
                pair = known[1].get(value)
                if pair is None:
                    pair = self._encode_text(known, value)
            else:
                pair = _encode_number(known[0], value)
            if pair is None:
                return None
            parts.append(pair)
        return b"".join(parts)

    def _learn(self, key: Any) -> tuple[bytes, dict[str, bytes]] | None:
        if not self._cleaner.is_plain_key(key):
            return None
        if len(self._keys) >= _KEYS_LIMIT:
            self._keys = {}
        known = self._keys[key] = (wire.text(b"\x0a", key) + b"\x12", {})
        return known

    def _encode_text(self, known: tuple[bytes, dict[str, bytes]], value: str) -> bytes | None:
        if len(value) > _LONGEST or not self._cleaner.is_clean_text(value):
            return None
        try:
            raw = value.encode()
        except UnicodeEncodeError:  # a lone surrogate
            return None
        pair = _pair(known[0], b"\x0a" + wire.varint(len(raw)) + raw)
        if len(value) <= _KEPT_LENGTH:
            if len(known[1]) >= _VALUES_LIMIT:
                known[1].clear()
            known[1][value] = pair
        return pair


def _encode_number(head: bytes, value: Any) -> bytes | None:
    kind = type(value)
    if kind is int:
        if 0 <= value < len(_SMALL):
            return _pair(head, _SMALL[value])
        return _pair(head, b"\x18" + wire.varint(value)) if _SMALLEST <= value <= _GREATEST else None
    if kind is bool:
        return _pair(head, _BOOLEANS[value])
    if kind is float and value - value == 0.0:  # neither NaN nor infinite
        return _pair(head, b"\x21" + _DOUBLE.pack(value))
    return None


def _pair(head: bytes, encoded: bytes) -> bytes:
    size = len(encoded)
    encoded = head + (_ONE_BYTE[size] if size < len(_ONE_BYTE) else wire.varint(size)) + encoded
    size = len(encoded)
    return _TAG + (_ONE_BYTE[size] if size < len(_ONE_BYTE) else wire.varint(size)) + encoded
