r"""What a text must hold before a rule can find something in it, cheap enough to ask of every record.

A Collector has no way to look for keywords first, and Go takes a pattern that begins with no letter a step
for each character: all rules on a span with a prompt of 5 KB take 11 ms. So the text of a record is put
together once, as JSON, and asked for literals, which Go looks for at memory speed, and for a pattern only
where its literal stands. A sieve may let too much pass, never too little. JSON writes a line's end as `\n`,
`"` as `\"` and `&` as `\u0026`, so that a pattern on it has to be wider than its rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from taskscope.redaction import RULES, Rule
from taskscope.redaction.rules import LEFT


class Sieve(NamedTuple):
    """What lets a text pass."""

    literal: str
    """Stands in it."""
    pattern: str = ""
    """Is found in it as well, unless empty."""


_KEY_END = r"(?:[^a-z0-9]|%2[027]|u0026quot;|u001b|\[[0-9;]*m)*?(?:=|:|%3[ad])"
"""From a keyword of `key=value` to its sign: quotes, spaces and color codes, none of which holds a letter."""
_KEY_REST = {"secret": "[a-z_-]*", "credential": "s?"}
_NAME_END = r'[^"\\]*\\*":'
"""From a word to the end of the key in which it stands, which may be one of a map in a value."""
_FOLLOWED = {
    "url_password": r'[^ "]*(?:@|%40)',
    "url_token": r'[^ "]*(?:@|%40)',
    "bearer": r"(?:[ \t+\\]|%20)",
    "discord_webhook": r'[^ "]*webhooks',
    "azure_key": "(?:=|%3d)",
    "telegram_token": "[a-z0-9_-]{32}",
    "netrc": r"[ \t\\]",
}
"""What follows the keyword of a rule, where the keyword alone is a common word."""
_COMMON_LENGTH = 3
"""Keywords of tokens up to this length turn up in any text, so that the whole token is asked for."""
_FREQUENT = 'etaoinsrl._"dchupmgfybw,:v-k0123456789xjqz'
"""The characters of telemetry, the most frequent first; capitals and all others are rarer still."""


_ANY = r'[^"\\]*'


def _other_than(word: str, rest: str = "") -> str:
    """Any part of a key but this word, without lookahead, or but what begins with it when `rest` is empty."""
    pattern = rf'(?:{rest and word[-1] + rest + "|"}[^{word[-1]}"\\]{_ANY})?'
    for letter in reversed(word[1:-1]):
        pattern = rf'(?:{letter}{pattern}|[^{letter}"\\]{_ANY})?'
    return word[0] + pattern


_NO_MODALITY, _NO_COUNT = _other_than("modality", r'[^"\\]+'), _other_than("count")
_NO_SECRET = rf'(?:{_NO_MODALITY}|{_NO_COUNT}|[^mc"\\]{_ANY})?'
"""What follows a sign behind `token`, but `gen_ai.token.modality` and `llm.token_count.prompt`."""

_WORDS = (
    Sieve("pass", f"(?:pass(?:word|wd|phrase|code)(?:{_NAME_END}|{_KEY_END})|_pass{_KEY_END})"),
    Sieve("pwd", f"pwd(?:{_NAME_END}|{_KEY_END})"),
    Sieve("secret", f"secret(?:{_NAME_END}|[a-z_-]*{_KEY_END})"),
    # `gen_ai.usage.input_tokens` is in every span of a model call, and `tokens` is no such word.
    Sieve("token", rf'token(?:\\*":|[^s"\\]{_NO_SECRET}\\*":|{_KEY_END})'),
    Sieve("credential", f"credentials?(?:{_NAME_END}|{_KEY_END})"),
    Sieve("key", f"key(?:{_NAME_END}|{_KEY_END})"),
    Sieve("jwt", f"jwt{_NAME_END}"),
    Sieve("zation", "authorization"),
    Sieve("kie", "cookie"),
)
"""Of `key_value` and of the names of secrets together, for the first look."""
_IN_WORDS = frozenset({"key_value", "azure_key", "authorization", "cookie"})
"""Rules whose keywords hold one of these words."""


def exact_sieves() -> tuple[Sieve, ...]:
    """One of them lets the JSON of any text pass that holds a token."""
    return _once(sieve for rule in RULES if not rule.any_case for sieve in find_sieves(rule))


def lower_sieves() -> tuple[Sieve, ...]:
    """One of them lets the JSON, in lower case, of any record pass with a place or a name of a secret."""
    loose = (rule for rule in RULES if rule.any_case and rule.name not in _IN_WORDS)
    return _once((*_WORDS, *(sieve for rule in loose for sieve in find_sieves(rule))))


def find_sieves(rule: Rule) -> tuple[Sieve, ...]:
    """One of them lets the JSON of any text pass in which the rule finds something.

    Those of rules for `any_case` are for the text in lower case.
    """
    if rule.any_case:
        length = 2 if rule.name == "option" else 3
        return tuple(_place_sieve(rule, keywords) for keywords in _grouped(rule.keywords, length))
    # Where a token begins, JSON may have put another character.
    pattern = rule.pattern.removeprefix(LEFT)
    groups = _grouped(rule.keywords, 2)
    begins = [_rarest(_beginning(keywords)) for keywords in groups]
    return tuple(
        Sieve(begin, "" if len(keywords) == 1 and len(begin) > _COMMON_LENGTH else pattern)
        for keywords, begin in zip(groups, begins, strict=True)
    )


def _grouped(keywords: Iterable[str], length: int) -> list[list[str]]:
    """The keywords, those together that begin alike."""
    groups: dict[str, list[str]] = {}
    for keyword in keywords:
        groups.setdefault(keyword[:length], []).append(keyword)
    return list(groups.values())


def _place_sieve(rule: Rule, keywords: list[str]) -> Sieve:
    begin = _rarest(_beginning(keywords))
    if rule.name == "key_value":
        words = [_literal(word) + _KEY_REST.get(word, "") for word in keywords]
        return Sieve(begin, _one_of(words) + _KEY_END)
    followed = _FOLLOWED.get(rule.name, "")
    if len(keywords) == 1 and not followed and len(begin) > _COMMON_LENGTH:
        return Sieve(begin)
    return Sieve(begin, _one_of([_literal(word) for word in keywords]) + followed)


def _one_of(patterns: list[str]) -> str:
    return patterns[0] if len(patterns) == 1 else f"(?:{'|'.join(patterns)})"


def _rarest(literal: str) -> str:
    """The literal from its rarest character on, at least three of them: Go looks for the first one first."""
    starts = range(max(len(literal) - 2, 1))
    return literal[max(starts, key=lambda at: _rarity(literal[at])) :]


def _rarity(letter: str) -> int:
    at = _FREQUENT.find(letter)
    return at if at >= 0 else len(_FREQUENT)


def _beginning(words: list[str]) -> str:
    """What all of the words begin with."""
    first, last = min(words), max(words)
    length = next((at for at, letter in enumerate(first) if not last.startswith(letter, at)), len(first))
    return first[:length]


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\-", "-").replace(r"\ ", " ")


def _once(sieves: Iterable[Sieve]) -> tuple[Sieve, ...]:
    return tuple(dict.fromkeys(sieves))
