"""OTTL statements out of our own redactor's rules and names: `transform/redact_rest`.

For each kind of record two groups of statements. The first one, for every record, puts all its texts
together and asks the sieves; it marks the few that may hold a secret. The second one, for those alone, takes
the secrets out: lists and maps are laid flat, names and rules applied to each text, and what has changed is
written back.

The Collector's own `redaction` processor is not used: it has no sieve (0.2 ms for a small span and 11 ms for
one of 5 KB, with all our rules), masks what stands around a secret with it, and does not tell the rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from taskscope.redaction import RULES, Rule
from taskscope.redaction.redactor import SECRET_NAME

from ._secret_names import build_harmless_pattern, build_secret_pattern
from ._sieve import Sieve, exact_sieves, find_sieves, lower_sieves

SUSPECT = "taskscope.redaction.suspect"
"""The mark between the two groups: `token`, or `place` where no token can be; no record leaves with it."""
KEY_MARKER = "[redacted:key]"
"""What stands for a token in the name of an attribute."""
_OWN = "\u0001"
"""Begins the keys of texts that are no attributes."""
_OUTER = "\u0002"
"""Begins the keys of attributes that are those of the resource."""
_END = "\u0003"
"""Ends the key of an attribute, before what stands in its list or map."""


class Kind(NamedTuple):
    """One kind of record, as OTTL calls it."""

    context: str
    texts: tuple[str, ...]
    """Its texts besides the attributes."""
    body: str = ""
    """A text that may be a list or a map instead."""
    outer: str = ""
    """Attributes that are looked at with it."""
    own: str = "attributes"
    """What its attributes are called; a metric has them as metadata."""

    @property
    def attributes(self) -> str:
        """Where its attributes stand."""
        return f"{self.context}.{self.own}"


_SCOPE = Kind("scope", ("name", "version"), outer="resource.attributes")
_SIGNALS = {
    "trace_statements": (
        _SCOPE,
        Kind("span", ("name", "status.message", "trace_state")),
        Kind("spanevent", ("name",)),
    ),
    "log_statements": (_SCOPE, Kind("log", ("severity_text", "event_name"), body="body")),
    "metric_statements": (_SCOPE, Kind("metric", (), own="metadata"), Kind("datapoint", ())),
}


def build() -> dict[str, Any]:
    """The processor, as configuration."""
    # One object for a kind that stands in several signals: YAML then says it once.
    groups = {kind: _groups(kind) for kinds in _SIGNALS.values() for kind in kinds}
    processor: dict[str, Any] = {"error_mode": "silent"}
    for signal, kinds in _SIGNALS.items():
        processor[signal] = [group for kind in kinds for group in groups[kind]]
    return {"processors": {"transform/redact_rest": processor}}


def _groups(kind: Kind) -> list[dict[str, Any]]:
    suspect = f"{kind.attributes}[{_quoted(SUSPECT)}]"
    statements = [*_take_in(kind, suspect), *_clean(f"{kind.context}.cache"), *_write_back(kind)]
    return [
        {"context": kind.context, "statements": _escaped(_sift(kind, suspect))},
        {
            "context": kind.context,
            "conditions": [f"{suspect} != nil"],
            "statements": _escaped(statements),
        },
    ]


def _sift(kind: Kind, suspect: str) -> list[str]:
    """Mark a record in whose texts some sieve finds something, and one whose texts make no JSON (a NaN)."""
    text, lower = f'{kind.context}.cache["text"]', f'{kind.context}.cache["lower"]'
    texts = [f"String({kind.attributes})", *(f"{kind.context}.{name}" for name in kind.texts)]
    texts += [f"String({kind.context}.{kind.body})"] if kind.body else []
    texts += [f"String({kind.outer})"] if kind.outer else []
    joined = f'Concat([{", ".join(texts)}], "\\n")' if len(texts) > 1 else texts[0]
    return [
        f"set({text}, {joined})",
        f"set({lower}, ToLowerCase({text}))",
        f'set({suspect}, "place") where {_asked(lower, lower_sieves())}',
        f'set({suspect}, "token") where {text} == nil or {_asked(text, exact_sieves())}',
    ]


def _take_in(kind: Kind, suspect: str) -> list[str]:
    """Values under a secret's name go whole, and all texts come flat into `work`, with their types."""
    cache, attributes = f"{kind.context}.cache", kind.attributes
    work, everything, outer = f'{cache}["work"]', f'{cache}["all"]', f'{cache}["outer"]'
    statements = [
        f'set({cache}["suspect"], {suspect})',
        f"delete_key({attributes}, {_quoted(SUSPECT)})",
        *_mask_names(attributes, cache),
        f"set({work}, {attributes})",
    ]
    if kind.outer:
        statements += [
            *_mask_names(kind.outer, cache),
            f"set({outer}, {kind.outer})",
            f'replace_all_patterns({outer}, "key", "^", {_quoted(_OUTER)})',
            f'merge_maps({work}, {outer}, "upsert")',
        ]
    texts = [name for name in (*kind.texts, kind.body) if name]
    return [
        *statements,
        f'replace_all_patterns({work}, "key", "$", {_quoted(_END)})',
        *(f"set({work}[{_quoted(_OWN + name + _END)}], {kind.context}.{name})" for name in texts),
        f"flatten({work})",
        # What is inside of lists and maps is judged by its own names alone.
        *_mask_names(work, cache, f"{_END}.*(?:{build_secret_pattern()})"),
        f'replace_all_patterns({work}, "key", {_quoted(_END)}, "")',
        # Each value as a text: JSON knows no NaN.
        f"set({everything}, {work})",
        f"stringify_all({everything})",
        f'set({cache}["lower"], ToLowerCase(String({everything})))',
    ]


def _mask_names(target: str, cache: str, pattern: str = "") -> list[str]:
    named = f'{cache}["named"]'
    return [
        f"set({named}, {target})",
        f"keep_matching_keys({named}, {_quoted(pattern or build_secret_pattern())})",
        f"delete_matching_keys({named}, {_quoted(build_harmless_pattern())})",
        f"stringify_all({named})",
        f'replace_all_patterns({named}, "value", "(?s)^.+$", "[redacted:{SECRET_NAME}]")',
        f'merge_maps({target}, {named}, "update")',
    ]


def _clean(cache: str) -> list[str]:
    """Apply the rules: `key=value` first, which would read the markers of others as keys."""
    places = [rule for rule in RULES if rule.any_case]
    pairs = [rule for rule in places if rule.name == "key_value"]
    tokens = [rule for rule in RULES if not rule.any_case]
    lower, is_pair = f'{cache}["lower"]', f'{cache}["is_pair"]'
    is_token = f'{cache}["suspect"] == "token"'
    sieves = dict.fromkeys(sieve for rule in pairs for sieve in find_sieves(rule))
    return [
        f"set({is_pair}, true) where {_asked(lower, sieves)}",
        *(f"{_replace(cache, rule)} where {is_pair} != nil" for rule in pairs),
        *(
            f"{_replace(cache, rule)} where {_asked(lower, find_sieves(rule))}"
            for rule in places
            if rule not in pairs
        ),
        *(f"{_replace(cache, rule)} where {is_token}" for rule in tokens),
        f"{_replace_keys(cache, tokens)} where {is_token}",
    ]


def _replace(cache: str, rule: Rule) -> str:
    groups = re.compile(rule.pattern).groupindex
    keep, tail = ("${keep}" if "keep" in groups else ""), ("${tail}" if "tail" in groups else "")
    marker = f"{keep}[redacted:{rule.name}]{tail}"
    pattern = f"(?i){rule.pattern}" if rule.any_case else rule.pattern
    return f'replace_all_patterns({cache}["work"], "value", {_quoted(pattern)}, {_quoted(marker)})'


def _replace_keys(cache: str, rules: Iterable[Rule]) -> str:
    pattern = "|".join(re.sub(r"\(\?P<(?:keep|tail)>", "(?:", rule.pattern) for rule in rules)
    return f'replace_all_patterns({cache}["work"], "key", {_quoted(pattern)}, {_quoted(KEY_MARKER)})'


def _write_back(kind: Kind) -> list[str]:
    cache = f"{kind.context}.cache"
    work, part = f'{cache}["work"]', f'{cache}["part"]'
    statements = [f"set({kind.context}.{name}, {work}[{_own(name)}])" for name in kind.texts]
    if kind.body:
        statements += _write_back_body(kind, cache)
    if kind.outer:
        statements += [*_pick(part, work, f"^{_OUTER}"), *_put_back(kind.outer, part, cache)]
    statements.append(f"delete_matching_keys({work}, {_quoted(f'^[{_OWN}{_OUTER}]')})")
    return [*statements, *_put_back(kind.attributes, work, cache)]


def _write_back_body(kind: Kind, cache: str) -> list[str]:
    """A body that is a list or a map becomes a flat map, where something in it has changed."""
    body, work, part = f"{kind.context}.{kind.body}", f'{cache}["work"]', f'{cache}["part"]'
    own, before = f"^{_OWN}{kind.body}[.]", f'{cache}["before"]'
    return [
        f"set({body}, {work}[{_own(kind.body)}]) where IsString({body})",
        *_pick(part, work, own),
        f"set({before}, {part})",
        f'keep_matching_keys({before}, "^$")',
        f"set({before}[{_own(kind.body)}], {body})",
        f"flatten({before})",
        f'replace_all_patterns({before}, "key", {_quoted(own)}, "")',
        *_set_changed(body, part, cache, f"(IsMap({body}) or IsList({body}))"),
    ]


def _pick(part: str, work: str, pattern: str) -> list[str]:
    """Set `part` to what has such keys, without what the pattern finds in them."""
    return [
        f"set({part}, {work})",
        f"keep_matching_keys({part}, {_quoted(pattern)})",
        f'replace_all_patterns({part}, "key", {_quoted(pattern)}, "")',
    ]


def _put_back(target: str, source: str, cache: str) -> list[str]:
    """Set what has changed; the map as a whole only where a key, or something in a list or a map, has."""
    before = f'{cache}["before"]'
    return [
        f'merge_maps({target}, {source}, "update")',
        f"set({before}, {target})",
        f"flatten({before})",
        *_set_changed(target, source, cache, "true"),
    ]


def _set_changed(target: str, source: str, cache: str, condition: str) -> list[str]:
    """Set a target to its flat, clean form where that says something else than `before`."""
    before, after = f'{cache}["before"]', f'{cache}["after"]'
    return [
        f"stringify_all({before})",
        f"set({after}, {source})",
        f"stringify_all({after})",
        f"set({target}, {source}) where {condition} and String({before}) != String({after})",
    ]


def _asked(text: str, sieves: Iterable[Sieve]) -> str:
    return " or ".join(_passes(text, sieve) for sieve in sieves)


def _passes(text: str, sieve: Sieve) -> str:
    stands = f"Index({text}, {_quoted(sieve.literal)}) >= 0"
    return f"({stands} and IsMatch({text}, {_quoted(sieve.pattern)}))" if sieve.pattern else stands


def _own(name: str) -> str:
    return _quoted(_OWN + name)


def _quoted(text: str) -> str:
    return json.dumps(text)


def _escaped(statements: Sequence[str]) -> list[str]:
    """The statements as a configuration says them, where a lone dollar sign begins a variable."""
    return [statement.replace("$", "$$") for statement in statements]
