"""What stands between a span and the record: make it encodable, take secrets out, cut what is too long.

In this order, because a cut secret escapes its pattern. Clean attributes pass with one look at each value.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskscope.semconv import attributes as attr
from taskscope.store import wire

if TYPE_CHECKING:
    from taskscope.redaction import Redactor
    from taskscope.store.records import AttributeValue

VALUE_LIMIT_BYTES = 64 * 1024
_READ_LIMIT = 4 * VALUE_LIMIT_BYTES
"""Characters of a value that are looked through for secrets; four times what is kept of it."""
_BORDER = 4096
"""Characters at the end of a text that was cut before the look through: half a secret may stand there."""
_REMEMBERED = 4096
_REMEMBERED_LENGTH = 128
_SMALLEST, _GREATEST = -(1 << 63), (1 << 63) - 1
_DEPTH_LIMIT = 16
_LENGTH_LIMIT = 10_000


class Cleaner:
    """Cleans names, texts and attributes; safe to share between threads."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        # Most keys and short values come again: what was looked through once and found clean is passed.
        self._clean_keys: set[str] = set()
        self._clean_texts: set[str] = set()

    def text(self, value: object) -> str:
        """A text that can be stored: encodable, without secrets, at most 64 KiB."""
        if type(value) is str and value in self._clean_texts:
            return value
        text, _ = _to_text(value)
        was_cut = len(text) > _READ_LIMIT
        text = self._redactor.text(text[:_READ_LIMIT])[0]
        if was_cut or _is_long(text):
            return _cut(text, was_cut=was_cut)
        if text is value and len(text) <= _REMEMBERED_LENGTH:
            self._remember_text(text)
        return text

    def attributes(self, values: Mapping[str, Any]) -> dict[str, AttributeValue]:
        """Attributes that can be stored, with our marks where something was changed."""
        keys = self._clean_keys
        result: dict[str, AttributeValue] = {}
        unknown = {}
        for key, value in values.items():
            if key in keys and self._is_clean(value):
                result[key] = value
            else:
                unknown[key] = value
        if not unknown:
            return result
        looked = self._look_through(unknown)
        # In the order in which they came; a key that was changed goes to the end, with our marks.
        merged = {
            key: result[key] if key in result else looked.pop(key)
            for key in values
            if key in result or key in looked
        }
        return merged | looked

    def _is_clean(self, value: Any) -> bool:
        """Whether a value can pass as it is; False where that takes a longer look."""
        kind = type(value)
        if kind is str:
            if value in self._clean_texts:
                return True
            if len(value) > _REMEMBERED_LENGTH or not value.isascii() or self._redactor.text(value)[1]:
                return False
            self._remember_text(value)
            return True
        return _SMALLEST <= value <= _GREATEST if kind is int else kind is bool

    def _look_through(self, values: Mapping[str, Any]) -> dict[str, AttributeValue]:
        sanitized, changed = _sanitize(values)
        cleaned, rules = self._redactor.attributes(sanitized)
        if rules:
            cleaned[attr.REDACTION_RULES] = list(rules)
        if changed:
            cleaned[attr.SANITIZE_KEYS] = changed
        long = [key for key, value in cleaned.items() if _is_long(value)]
        if long:
            _cut_values(cleaned, long, {key for key in long if _is_over_read(values.get(key))})
        if not (rules or changed or long):
            self._remember(values)
        return cleaned

    def _remember(self, values: Mapping[str, Any]) -> None:
        """Note keys that may pass with a clean value; a secret's name shows only at a text or a number."""
        if len(self._clean_keys) > _REMEMBERED:
            self._clean_keys = set()
        for key, value in values.items():
            if type(value) in {str, int} and len(key) <= _REMEMBERED_LENGTH:
                self._clean_keys.add(key)

    def _remember_text(self, text: str) -> None:
        if len(self._clean_texts) > _REMEMBERED:
            self._clean_texts = set()
        self._clean_texts.add(text)


# --- encodable


def _sanitize(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Values that OTLP can carry, and the keys of those that were not."""
    result: dict[str, Any] = {}
    changed: list[str] = []
    for key, value in values.items():
        name, is_name_changed = (key, False) if type(key) is str and key.isascii() else _to_text(key)
        result[name], is_changed = _to_value(value, 0)
        if is_changed or is_name_changed:
            changed.append(name)
    return result, changed


def _to_value(value: Any, depth: int) -> tuple[Any, bool]:  # noqa: PLR0911  one line for each kind
    """A value that OTLP can carry, and whether it differs from what was given."""
    kind = type(value)
    if kind is str:
        if len(value) > _READ_LIMIT:
            value = value[:_READ_LIMIT]
        return (value, False) if value.isascii() else _to_text(value)
    if kind is bool or value is None:
        return value, False
    if kind is int:
        return (value, False) if _SMALLEST <= value <= _GREATEST else (_to_text(value)[0], True)
    if kind is float:
        return (value, False) if math.isfinite(value) else (str(value), True)
    if kind is bytes:
        return value[:_READ_LIMIT], False
    if depth >= _DEPTH_LIMIT:
        return "[nested too deep]", True
    try:
        return _to_nested(value, depth + 1)
    except Exception:  # noqa: BLE001  a foreign object may do anything
        return _unreadable(value), True


def _to_nested(value: Any, depth: int) -> tuple[Any, bool]:
    if isinstance(value, Mapping):
        result, changed = {}, len(value) > _LENGTH_LIMIT
        for key in list(value)[:_LENGTH_LIMIT]:
            name, is_name_changed = _to_text(key)
            result[name], is_changed = _to_value(value[key], depth)
            changed = changed or is_changed or is_name_changed
        return result, changed
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        items = [_to_value(item, depth) for item in list(value)[:_LENGTH_LIMIT]]
        return [item for item, _ in items], len(value) > _LENGTH_LIMIT or any(changed for _, changed in items)
    # An enum, a numpy number: its plain value is what was meant.
    if isinstance(value, int):
        return _to_value(int.__int__(value), depth)
    if isinstance(value, float):
        return _to_value(float.__float__(value), depth)
    return _to_text(value)


def _to_text(value: Any) -> tuple[str, bool]:
    """A plain text that UTF-8 can carry, and whether it differs from what was given."""
    try:
        text = value if type(value) is str else str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001  a foreign object may do anything
        return _unreadable(value), True
    text = text[: _READ_LIMIT + 1]
    try:
        text.encode()
    except UnicodeEncodeError:
        # A lone surrogate; in upstream's encoder it costs the whole batch.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), True
    return text, not isinstance(value, str)


def _unreadable(value: object) -> str:
    return f"[unreadable {type(value).__qualname__}]"


# --- short enough


def _is_long(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        # No character takes more than four bytes.
        return len(value) > VALUE_LIMIT_BYTES // 4 and len(value.encode()) > VALUE_LIMIT_BYTES
    if kind is bytes:
        return len(value) > VALUE_LIMIT_BYTES
    if kind is list or kind is dict or kind is tuple:
        return len(wire.any_value(value)) > VALUE_LIMIT_BYTES
    return False


def _is_over_read(value: Any) -> bool:
    return isinstance(value, str | bytes) and len(value) > _READ_LIMIT


def _cut_values(values: dict[str, Any], keys: list[str], over_read: set[str]) -> None:
    sizes, hashes = [], []
    for key in keys:
        value = values[key]
        raw = (
            value.encode()
            if isinstance(value, str)
            else value
            if isinstance(value, bytes)
            else wire.any_value(value)
        )
        sizes.append(len(raw))
        hashes.append(hashlib.sha256(raw).hexdigest())
        text = value if isinstance(value, str) else repr(value)
        values[key] = _cut(text, was_cut=key in over_read)
    values[attr.CONTENT_TRUNCATED] = keys
    values[attr.CONTENT_ORIGINAL_SIZES] = sizes
    values[attr.CONTENT_HASHES] = hashes


def _cut(text: str, *, was_cut: bool) -> str:
    """The first 64 KiB; without the border when the text was already cut before it was looked through."""
    if was_cut:
        text = text[:-_BORDER]
    return text.encode()[:VALUE_LIMIT_BYTES].decode(errors="ignore")
