"""Which keys stand for a secret, as two patterns that RE2 reads: `taskscope.redaction.names` in other words.

A key stands for a secret when the first pattern finds something and the second one nothing. Words are told
as there: by signs, and by capitals (`awsSecretKey`, `APIKey`), which without lookaround takes each word three
times.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskscope.redaction.names import HARMLESS_ENDS, KEY_OWNERS, SECRET_WORDS

_NO_LETTER = "(?:^|[^A-Za-z])"
_NO_CAPITAL = "(?:^|[^A-Z])"
_LOWER_ENDS = "(?:[^a-z]|$)"
_UPPER_ENDS = "(?:[^A-Za-z]|[A-Z][a-z]|$)"  # in `APIKey` the last capital is the next word's
_SIGNS = "[^A-Za-z0-9]"
_LIST_NUMBER = r"\x03?\.[0-9]+"


def build_secret_pattern() -> str:
    """Finds a word that means a secret, or one that makes a key secret with `key` behind it."""
    small, title, _ = _forms(SECRET_WORDS - {"token"})
    _, _, large = _forms(SECRET_WORDS)
    small_owner, title_owner, large_owner = _forms(KEY_OWNERS)
    owner = f"(?:{_NO_LETTER}{small_owner}|{title_owner})"
    key = f"(?:(?:{_SIGNS}+key|{_SIGNS}*Key){_LOWER_ENDS}|{_SIGNS}*KEY{_UPPER_ENDS})"
    large_key = f"(?:(?:{_SIGNS}+key|{_SIGNS}*Key){_LOWER_ENDS}|{_SIGNS}+KEY{_UPPER_ENDS})"
    return "|".join(
        (
            f"(?:{_NO_LETTER}{small}|{title}){_LOWER_ENDS}",
            # Not those that are counted: `llm.token_count.prompt`, `inputTokenDetails.cacheRead`.
            f"{_NO_LETTER}token(?:[^a-z._-]|[._-]{_not('count')}|$)",
            f"Token(?:[^a-zD]|D{_not('etails')}|$)",
            f"{_NO_CAPITAL}{large}{_UPPER_ENDS}",
            owner + key,
            f"{_NO_CAPITAL}{large_owner}{large_key}",
        )
    )


def build_harmless_pattern() -> str:
    """Finds a last word that tells about a secret and is none: `gen_ai.token.type`, `secret.name`.

    Numbers of a list, laid flat, may follow it.
    """
    small, title, large = _forms(HARMLESS_ENDS)
    return f"(?:{_NO_LETTER}{small}|{title}|{_NO_CAPITAL}{large}){_SIGNS}*(?:{_LIST_NUMBER})*$"


def _not(word: str) -> str:
    """What goes on in any way but with this word, without lookahead."""
    pattern = f"$|[^{word[-1]}]"
    for letter in reversed(word[:-1]):
        pattern = f"$|[^{letter}]|{letter}(?:{pattern})"
    return f"(?:{pattern})"


def _forms(words: Iterable[str]) -> tuple[str, str, str]:
    """The words in small letters, with a capital first, and in capitals."""
    ordered = sorted(words)
    forms = (ordered, [word.capitalize() for word in ordered], [word.upper() for word in ordered])
    small, title, large = (f"(?:{'|'.join(form)})" for form in forms)
    return small, title, large
