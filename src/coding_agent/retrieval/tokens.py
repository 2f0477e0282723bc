"""Text to search tokens: the one splitting that BM25 and the hash embedder share.

Identifiers count whole and by their camelCase and snake_case parts, in lower case. Nothing here knows files.
"""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"\w+")

# In this order: an acronym before a capitalised word (HTTP|Server), a word with or without its capital
# (letters beyond ASCII belong to the word), what is left in capitals, digits. `_` belongs to none of them.
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[^\W\dA-Z_]+|[A-Z]+|\d+")

_LONGEST = 64
"""Characters kept of one token: what is longer is data (base64, hashes), not language."""


def split_tokens(text: str) -> list[str]:
    """Return the tokens of any text in order, repeats included; each identifier is followed by its parts."""
    found: list[str] = []
    for word in _WORD.findall(text):
        found += _tokens_of(word)
    return found


@lru_cache(maxsize=65_536)  # code repeats its words: this halves the time of indexing
def _tokens_of(word: str) -> tuple[str, ...]:
    word = word[:_LONGEST]
    parts = _PART.findall(word)
    is_whole = len(parts) < 1 or parts == [word]
    return (word.lower(),) if is_whole else (word.lower(), *(part.lower() for part in parts))
