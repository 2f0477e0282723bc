"""What stands between a span and the record: make it encodable, take secrets out, cut what is too long.

In this order, because a cut secret escapes its pattern. Clean attributes pass with one look at each value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskscope.semconv import attributes as attr
from taskscope.store import wire

if TYPE_CHECKING:
    from taskscope.redaction import Redactor
    from taskscope.store.records import AttributeValue

VALUE_LIMIT_BYTES = 64 * 1024
_READ_LIMIT = 4 * VALUE_LIMIT_BYTES
"""Characters of a value that are looked through for secrets; four times what is kept of it."""
_BORDER = 16 * 1024
"""Characters at the end of a text that was cut before the look through: half a secret may stand there."""
_REMEMBERED = 4096
_REMEMBERED_LENGTH = 128
_SMALLEST, _GREATEST = -(1 << 63), (1 << 63) - 1
_DEPTH_LIMIT = 16
_ITEMS_LIMIT = 10_000
"""Of all sequences and mappings of one record together."""


_Shorten = Callable[[str], str]
"""Makes a very long text one that can be looked through; see `Cleaner._shorten`."""


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
        text, _ = _to_text(value, self._shorten)
        text = self._redactor.text(text)[0]
        if _is_long(text):
            return _cut(text)
        if text is value and len(text) <= _REMEMBERED_LENGTH:
            self._remember_text(text)
        return text

    def is_plain_key(self, key: object) -> bool:
        """Whether a key can stand as it is, and says nothing against its value."""
        return type(key) is str and key.isascii() and self._redactor.is_plain_name(key)

    def is_clean_text(self, value: str) -> bool:
        """Whether a text holds no secret; remembered where it is short."""
        return value in self._clean_texts or not self._redactor.has_secret(value)

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
        sanitized, changed = _sanitize(values, self._shorten)
        cleaned, rules = self._redactor.attributes(sanitized)
        if rules:
            cleaned[attr.REDACTION_RULES] = list(rules)
        if changed:
            cleaned[attr.SANITIZE_KEYS] = changed
        sizes = {key: _original_size(values.get(key)) for key in cleaned}
        long = {key: sizes[key] for key, value in cleaned.items() if sizes[key] or _is_long(value)}
        if long:
            _cut_values(cleaned, long)
        if not (rules or changed or long):
            self._remember(values)
        return cleaned

    def _shorten(self, text: str) -> str:
        """The part of a very long text that is looked through, redacted, without half a secret at its end."""
        return self._redactor.text(text[:_READ_LIMIT])[0][:-_BORDER]

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


def _sanitize(values: Mapping[str, Any], shorten: _Shorten) -> tuple[dict[str, Any], list[str]]:
    """Values that OTLP can carry, and the keys of those that were not."""
    result: dict[str, Any] = {}
    changed: list[str] = []
    left = [_ITEMS_LIMIT]
    for key, value in values.items():
        name, is_name_changed = (key, False) if type(key) is str and key.isascii() else _to_text(key, shorten)
        result[name], is_changed = _to_value(value, shorten, 0, left)
        if is_changed or is_name_changed:
            changed.append(name)
    return result, changed


def _to_value(  # noqa: PLR0911  one line for each kind
    value: Any, shorten: _Shorten, depth: int, left: list[int]
) -> tuple[Any, bool]:
    """A value that OTLP can carry, and whether it differs from what was given.

    `left` holds how many items may still come: a list that holds itself ten times would grow without end.
    """
    kind = type(value)
    if kind is str:
        if len(value) > _READ_LIMIT:
            return _to_text(value, shorten)
        return (value, False) if value.isascii() else _to_text(value, shorten)
    if kind is bool or value is None:
        return value, False
    if kind is int:
        return (value, False) if _SMALLEST <= value <= _GREATEST else (_to_text(value, shorten)[0], True)
    if kind is float:
        return (value, False) if math.isfinite(value) else (str(value), True)
    if kind is bytes:
        if len(value) <= _READ_LIMIT:
            return value, False
        return shorten(value[: _READ_LIMIT + 1].decode(errors="replace")).encode(), False
    if depth >= _DEPTH_LIMIT:
        return "[nested too deep]", True
    try:
        return _to_nested(value, shorten, depth + 1, left)
    except Exception:  # noqa: BLE001  a foreign object may do anything
        return _unreadable(value), True


def _to_nested(value: Any, shorten: _Shorten, depth: int, left: list[int]) -> tuple[Any, bool]:
    if isinstance(value, Mapping):
        result = {}
        keys = _take(value, left)
        changed = len(keys) < len(value)
        for key in keys:
            name, is_name_changed = _to_text(key, shorten)
            result[name], is_changed = _to_value(value[key], shorten, depth, left)
            changed = changed or is_changed or is_name_changed
        return result, changed
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        taken = _take(value, left)
        items = [_to_value(item, shorten, depth, left) for item in taken]
        return [item for item, _ in items], len(taken) < len(value) or any(changed for _, changed in items)
    # An enum, a numpy number: its plain value is what was meant.
    if isinstance(value, int):
        return _to_value(int.__int__(value), shorten, depth, left)
    if isinstance(value, float):
        return _to_value(float.__float__(value), shorten, depth, left)
    return _to_text(value, shorten)


def _take(value: Any, left: list[int]) -> list[Any]:
    """As many items, or keys, as may still come."""
    taken = list(value)[: left[0]]
    left[0] -= len(taken)
    return taken


def _to_text(value: Any, shorten: _Shorten) -> tuple[str, bool]:
    """A plain text that UTF-8 can carry, and whether it differs from what was given."""
    try:
        text = value if type(value) is str else str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001  a foreign object may do anything
        return _unreadable(value), True
    is_changed = not isinstance(value, str)
    if len(text) > _READ_LIMIT:
        text, is_changed = shorten(text), True
    try:
        text.encode()
    except UnicodeEncodeError:
        # A lone surrogate; in upstream's encoder it costs the whole batch.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), True
    return text, is_changed


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


def _original_size(value: Any) -> int:
    """Bytes of a value of which only a part was looked through; 0 for all others."""
    if isinstance(value, str) and len(value) > _READ_LIMIT:
        return len(value.encode(errors="replace"))
    return len(value) if isinstance(value, bytes) and len(value) > _READ_LIMIT else 0


def _cut_values(values: dict[str, Any], sizes: Mapping[str, int]) -> None:
    """Cut values in place and mark them; the hash is that of the redacted part that was looked through."""
    from hashlib import sha256  # with OpenSSL behind it, and few values are this long

    original_sizes, hashes = [], []
    for key, size in sizes.items():
        value = values[key]
        if isinstance(value, str | bytes):
            raw = value.encode() if isinstance(value, str) else value
            text = value if isinstance(value, str) else value.decode(errors="replace")
        else:
            raw, text = wire.any_value(value), repr(value)
        original_sizes.append(size or len(raw))
        hashes.append(sha256(raw).hexdigest())
        values[key] = _cut(text)
    values[attr.CONTENT_TRUNCATED] = list(sizes)
    values[attr.CONTENT_ORIGINAL_SIZES] = original_sizes
    values[attr.CONTENT_HASHES] = hashes


def _cut(text: str) -> str:
    """The first 64 KiB."""
    return text.encode()[:VALUE_LIMIT_BYTES].decode(errors="ignore")
