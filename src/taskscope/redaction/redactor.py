"""The machine that applies the rules: find a keyword, match the rule there, replace.

`str.find` looks for keywords at memory speed and the pattern runs only where one stands, so that text without
secrets costs little. Nothing here knows a single rule.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .names import is_secret_name
from .rules import RULES, STEMS, TOKEN_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .rules import Rule

_SHORTEST = 8
"""Characters: no rule matches a shorter text, and no known value is shorter."""
_REMEMBERED_LENGTH = 128
_REMEMBERED = 4096
"""Clean short strings and attribute names are remembered, since most recur: at most about 1 MB."""
_SIFTED_LENGTH = 48
"""Characters up to which one pattern of all keywords is faster than a search for each."""
_WORTH_A_SIEVE = 64
"""Texts after which that pattern is compiled, which takes 1 ms."""
_DEEPEST = 32
_MARKER = re.compile(r"\[redacted:[a-z_]+\]")
KNOWN_VALUE = "known_value"
SECRET_NAME = "secret_name"  # noqa: S105  the name of a rule


class _Matcher:
    """A rule at its place in the table; its pattern is compiled when its keyword turns up (all: 15 ms)."""

    def __init__(self, order: int, rule: Rule) -> None:
        self.order = order
        self.name = rule.name
        self.reach = rule.reach
        self._rule = rule

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        flags = re.ASCII | (re.IGNORECASE if self._rule.any_case else re.NOFLAG)
        return re.compile(self._rule.pattern, flags)


_Table: TypeAlias = tuple[tuple[str, tuple[_Matcher, ...]], ...]


class _Hit(NamedTuple):
    start: int
    end: int
    order: int
    name: str


class Redactor:
    """Takes secrets out of texts and attributes; safe to share between threads.

    `known_values` are whole secrets (of environment variables, say); their base64, URL-encoded and
    JSON-escaped forms are found too.
    """

    def __init__(self, known_values: Iterable[str] = (), rules: Sequence[Rule] = RULES) -> None:
        self._known = _all_forms(known_values)
        self._exact = _by_keyword(rule for rule in enumerate(rules) if not rule[1].any_case)
        self._any_case = _by_stem(_by_keyword(rule for rule in enumerate(rules) if rule[1].any_case))
        self._clean: set[str] = set()
        self._names: dict[str, bool] = {}
        self._sieve: re.Pattern[str] | None = None
        self._unsifted = 0

    def text(self, value: str) -> tuple[str, tuple[str, ...]]:
        """Return the text with a marker `[redacted:RULE]` in place of each secret, and the rules that hit."""
        if len(value) < _SHORTEST or value in self._clean:
            return value, ()
        hits = self._hits(value)
        if not hits:
            if len(value) <= _REMEMBERED_LENGTH:
                self._remember(value)
            return value, ()
        return _replace(value, hits)

    def has_secret(self, value: str) -> bool:
        """Whether `text` would change it; short texts that are plainly clean cost a fifth of that."""
        if len(value) > _SIFTED_LENGTH or not value.isascii():
            return bool(self.text(value)[1])
        if self._sieve is None:
            self._unsifted += 1
            if self._unsifted < _WORTH_A_SIEVE:
                return bool(self.text(value)[1])
            self._sieve = _make_sieve(keyword for keyword, _ in (*self._exact, *self._any_case))
        if self._sieve.search(value.lower()) is not None:
            return bool(self.text(value)[1])
        return any(form in value for form in self._known)

    def is_plain_name(self, name: str) -> bool:
        """Whether a name holds no secret and is not that of one."""
        return not (self._is_secret_name(name) or self.has_secret(name))

    def attributes(self, mapping: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the attributes without secrets, and the rules that hit; sequences and mappings are entered.

        A value whose key is named like a secret goes as a whole, unless it is None or a boolean.
        """
        rules: dict[str, None] = {}
        return self._mapping(mapping, rules, 0), tuple(rules)

    def _mapping(self, mapping: Mapping[Any, Any], rules: dict[str, None], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in mapping.items():
            name = key
            if isinstance(key, str):
                name = self._noted(key, rules)
                if self._is_secret_name(key) and value is not None and not isinstance(value, bool):
                    rules[SECRET_NAME] = None
                    result[name] = f"[redacted:{SECRET_NAME}]"
                    continue
            result[name] = self._value(value, rules, depth)
        return result

    def _value(self, value: Any, rules: dict[str, None], depth: int) -> Any:
        if isinstance(value, str):
            return self._noted(value, rules)
        if isinstance(value, (bytes, bytearray)):
            return self._bytes(bytes(value), rules)
        if isinstance(value, (Mapping, list, tuple)):
            # The depth also ends a cycle.
            return self._nested(value, rules, depth + 1) if depth < _DEEPEST else "[nested too deep]"
        return value

    def _nested(self, value: Any, rules: dict[str, None], depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value, rules, depth)
        items = [self._value(item, rules, depth) for item in value]
        return tuple(items) if isinstance(value, tuple) else items

    def _bytes(self, value: bytes, rules: dict[str, None]) -> bytes:
        text = value.decode("utf-8", "surrogateescape")
        clean = self._noted(text, rules)
        return value if clean is text else clean.encode("utf-8", "surrogateescape")

    def _noted(self, value: str, rules: dict[str, None]) -> str:
        text, hit = self.text(value)
        rules.update(dict.fromkeys(hit))
        return text

    def _is_secret_name(self, name: str) -> bool:
        known = self._names.get(name)
        if known is None:
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            known = self._names[name] = is_secret_name(name)
        return known

    def _remember(self, value: str) -> None:
        if len(self._clean) >= _REMEMBERED:
            self._clean.clear()
        self._clean.add(value)

    def _hits(self, text: str) -> list[_Hit]:
        hits: list[_Hit] = []
        for form in self._known:
            if form in text:
                hits += _known_hits(text, form)
        if words := [word for word in text.split() if len(word) >= TOKEN_LENGTH]:
            long_words = "\n".join(words)
            for keyword, matchers in self._exact:
                if keyword in long_words:
                    _collect(text, text, keyword, matchers, hits)
        lower = _lowered(text)
        for stem, table in self._any_case:
            if stem in lower:
                for keyword, matchers in table:
                    _collect(text, lower, keyword, matchers, hits)
        return hits


def _by_keyword(rules: Iterable[tuple[int, Rule]]) -> _Table:
    table: dict[str, list[_Matcher]] = {}
    for order, rule in rules:
        matcher = _Matcher(order, rule)
        for keyword in rule.keywords:
            table.setdefault(keyword, []).append(matcher)
    return tuple((keyword, tuple(matchers)) for keyword, matchers in table.items())


def _by_stem(table: _Table) -> tuple[tuple[str, _Table], ...]:
    """Return the table cut up by the first stem that a keyword contains; a keyword without one is its own."""
    stems: dict[str, list[tuple[str, tuple[_Matcher, ...]]]] = {}
    for keyword, matchers in table:
        stem = next((stem for stem in STEMS if stem in keyword), keyword)
        stems.setdefault(stem, []).append((keyword, matchers))
    return tuple((stem, tuple(rows)) for stem, rows in stems.items())


def _make_sieve(keywords: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of the keywords in a text in lower case: a tree of their letters."""
    words = {keyword.lower() for keyword in keywords}
    tree: dict[str, Any] = {}
    for word in words:
        if not any(other != word and other in word for other in words):
            node = tree
            for letter in word:
                node = node.setdefault(letter, {})
    return re.compile(_branches(tree))


def _branches(tree: Mapping[str, Any]) -> str:
    """The tree as a pattern; no keyword goes on where another one ends."""
    branches = [re.escape(letter) + _branches(below) for letter, below in tree.items()]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})" if branches else ""


def _collect(
    text: str, searched: str, keyword: str, matchers: tuple[_Matcher, ...], hits: list[_Hit]
) -> None:
    """Add the hits of each rule; `searched` is the text, or the same in lower case, of the same length."""
    if (at := searched.find(keyword)) >= 0:
        for matcher in matchers:
            hits += _matches(text, searched, keyword, at, matcher)


def _matches(text: str, searched: str, keyword: str, at: int, matcher: _Matcher) -> Iterator[_Hit]:
    done = 0
    while at >= 0:
        for start in range(max(done, at - matcher.reach), at + 1):
            if found := matcher.pattern.match(text, start):
                yield _hit(found, matcher)
                done = found.end()
                break
        at = searched.find(keyword, max(done, at + 1))


def _hit(found: re.Match[str], matcher: _Matcher) -> _Hit:
    """Return where the secret itself stands: between the groups `keep` and `tail`."""
    groups = found.re.groupindex
    start = found.end("keep") if "keep" in groups else found.start()
    end = found.start("tail") if "tail" in groups else found.end()
    return _Hit(start, end, matcher.order, matcher.name)


def _known_hits(text: str, form: str) -> Iterator[_Hit]:
    at = text.find(form)
    while at >= 0:
        yield _Hit(at, at + len(form), -1, KNOWN_VALUE)
        at = text.find(form, at + len(form))


def _replace(text: str, hits: list[_Hit]) -> tuple[str, tuple[str, ...]]:
    """Cut out the hits; those that overlap become one, named by the rule that stands first in the table."""
    hits.sort()
    pieces: list[str] = []
    names: dict[str, None] = {}
    done = 0
    start, end, order, name = hits[0]
    for hit in [*hits[1:], None]:
        if hit is not None and hit.start < end:
            end = max(end, hit.end)
            if hit.order < order:
                order, name = hit.order, hit.name
            continue
        if not _is_marker(text[start:end]):
            pieces += (text[done:start], f"[redacted:{name}]")
            names[name] = None
            done = end
        if hit is not None:
            start, end, order, name = hit
    return "".join([*pieces, text[done:]]), tuple(names)


def _is_marker(secret: str) -> bool:
    """Whether a rule found what another pass has already taken out (`password=[redacted:...]`)."""
    return _MARKER.fullmatch(secret) is not None


def _lowered(text: str) -> str:
    """Return the text in lower case at its own length (`İ` would become two characters)."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(char.lower() if char.isascii() else char for char in text)


def _all_forms(values: Iterable[str]) -> tuple[str, ...]:
    forms: dict[str, None] = {}
    for value in values:
        if len(value.strip()) >= _SHORTEST:
            forms.update(dict.fromkeys(_forms(value.strip())))
    return tuple(forms)


def _forms(value: str) -> Iterator[str]:
    import json
    from urllib.parse import quote, quote_plus  # 5 ms that a process without known values need not pay

    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    yield quote(value)
    yield quote_plus(value)
    for offset in range(3):
        plain = _base64_core(value.encode("utf-8", "surrogatepass"), offset)
        if len(plain) >= _SHORTEST:
            yield plain
            yield plain.replace("+", "-").replace("/", "_")


def _base64_core(value: bytes, offset: int) -> str:
    """Return what base64 makes of the value whatever stands around it; it begins at `offset` modulo three."""
    encoded = binascii.b2a_base64(b"\0" * offset + value, newline=False).decode().rstrip("=")
    first = (0, 2, 3)[offset]
    last = len(encoded) - (1 if (offset + len(value)) % 3 else 0)
    return encoded[first:last]
