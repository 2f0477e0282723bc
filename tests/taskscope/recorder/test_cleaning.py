from __future__ import annotations

import enum
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskscope.recorder.cleaning import VALUE_LIMIT_BYTES, Cleaner
from taskscope.redaction import Redactor
from taskscope.semconv import attributes as attr
from taskscope.store import wire

_SECRET = "correct-horse-battery-staple"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("do not look at me")

    __repr__ = __str__


class Color(enum.IntEnum):
    RED = 3


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no")


def _clean(values: dict[str, Any]) -> dict[str, Any]:
    return dict(Cleaner(Redactor([_SECRET])).attributes(values))


@pytest.mark.parametrize(
    "value, expected",
    [
        (2**64, str(2**64)),
        (-(2**200), str(-(2**200))),
        (10**9999, "[unreadable int]"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("a\ud800b", "a\ufffdb"),
        (Hostile(), "[unreadable Hostile]"),
        ([Hostile(), 1], ["[unreadable Hostile]", 1]),
        ({"k": {2**64}}, {"k": [str(2**64)]}),
    ],
    ids=range(9),
)
def test_what_otlp_cannot_carry_is_told_in_words(value: object, expected: object) -> None:
    """The key is named in `taskscope.sanitize.keys`, other attributes stay."""
    assert _clean({"a": value, "b": 1}) == {"a": expected, "b": 1, attr.SANITIZE_KEYS: ["a"]}


def test_enums_and_subclasses_mean_their_plain_value() -> None:
    """Whatever their own methods do; nothing was changed, so nothing is marked."""
    cleaned = _clean({"a": Color.RED, "b": Shouting("text"), "c": True, "d": None})
    assert cleaned == {"a": 3, "b": "text", "c": True, "d": None}
    assert type(cleaned["a"]) is int


def test_a_value_nested_in_itself_ends() -> None:
    """A list that holds itself becomes a short one."""
    loop: list[Any] = []
    loop.append(loop)
    cleaned = _clean({"a": loop})
    assert cleaned[attr.SANITIZE_KEYS] == ["a"]
    assert len(wire.attributes(b"\x0a", cleaned)) < 1000


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=9,
        ),
        max_size=5,
    )
)
def test_whatever_comes_can_be_encoded_afterwards(values: dict[str, Any]) -> None:
    """Any attributes, with any text as key; cleaning what is clean changes nothing."""
    cleaner = Cleaner(Redactor())
    cleaned = cleaner.attributes(values)
    assert wire.attributes(b"\x0a", cleaned) is not None
    again = cleaner.attributes(cleaned)
    assert {**again, attr.SANITIZE_KEYS: 0} == {**cleaned, attr.SANITIZE_KEYS: 0}


def test_a_long_value_is_cut_and_says_so() -> None:
    """64 KiB are kept; size and hash of the whole stand beside it."""
    text = "é" * VALUE_LIMIT_BYTES
    cleaned = _clean({"a": text, "b": "short", "c": ["x" * 40_000] * 2})
    assert len(cleaned["a"].encode()) == VALUE_LIMIT_BYTES
    assert text.startswith(cleaned["a"])
    assert cleaned[attr.CONTENT_TRUNCATED] == ["a", "c"]
    assert cleaned[attr.CONTENT_ORIGINAL_SIZES][0] == 2 * VALUE_LIMIT_BYTES
    assert cleaned[attr.CONTENT_HASHES][0] == hashlib.sha256(text.encode()).hexdigest()
    assert len(cleaned["c"].encode()) == VALUE_LIMIT_BYTES


@pytest.mark.parametrize("shift", range(-len(_SECRET), 2, 5))
def test_a_secret_at_the_cut_does_not_escape(shift: int) -> None:
    """At the 64 KiB that are kept and at the 256 KiB that are looked through, in values and in names."""
    for border in (VALUE_LIMIT_BYTES, 4 * VALUE_LIMIT_BYTES):
        text = "." * (border + shift) + _SECRET + "." * 99
        cleaner = Cleaner(Redactor([_SECRET]))
        for cleaned in (str(cleaner.attributes({"a": text})["a"]), cleaner.text(text)):
            assert _SECRET[:8] not in cleaned


def test_many_secrets_do_not_pull_half_a_one_into_what_is_kept() -> None:
    """Redaction shortens the text; what then moves up from the border is left out."""
    secret = _SECRET * 10
    text = secret * 2_000
    cleaned = Cleaner(Redactor([secret])).attributes({"a": text, "b": [text], "c": text.encode()})
    assert "correct" not in repr(cleaned)
    assert cleaned[attr.CONTENT_TRUNCATED] == ["a", "c"]
    assert cleaned[attr.CONTENT_ORIGINAL_SIZES] == [len(text)] * 2
    assert cleaned[attr.SANITIZE_KEYS] == ["a", "b"]


def test_a_key_that_was_clean_does_not_let_a_secret_pass() -> None:
    """The short way for known keys and values looks at each new value, and never learns a secret's name."""
    cleaner = Cleaner(Redactor([_SECRET]))
    for _ in range(3):
        assert cleaner.attributes({"a": "fine", "password": True}) == {"a": "fine", "password": True}
        assert cleaner.attributes({"a": _SECRET}) == {
            "a": "[redacted:known_value]",
            attr.REDACTION_RULES: ["known_value"],
        }
        assert cleaner.attributes({"password": 12345678})["password"] == "[redacted:secret_name]"
        assert cleaner.attributes({"password": "fine"})["password"] == "[redacted:secret_name]"


def test_a_list_that_holds_itself_many_times_costs_no_more_than_a_long_one() -> None:
    """The items of a record are counted together, however they are nested, and the key is marked."""
    endless: list[object] = ["x"]
    endless.extend([endless] * 10)
    cleaned = Cleaner(Redactor()).attributes({"endless": endless, "plain": 1})
    assert cleaned["plain"] == 1
    assert cleaned[attr.SANITIZE_KEYS] == ["endless"]
    assert repr(cleaned["endless"]).count("x") <= 10_000
