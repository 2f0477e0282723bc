"""Text to search tokens: the one splitting that BM25 and the hash embedder share.

Identifiers count whole and by their camelCase and snake_case parts, in lower case. Nothing here knows files.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")

# In this order: an acronym before a capitalised word (HTTP|Server), a word with or without its capital
# (letters beyond ASCII belong to the word), what is left in capitals, digits. `_` belongs to none of them.
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[^\W\dA-Z_]+|[A-Z]+|\d+")

_LONGEST = 64
"""Characters kept of one token: what is longer is data (base64, hashes), not language."""


def split_tokens(text: str) -> list[str]:
    """Return the tokens of any text in order, repeats included; each identifier is followed by its parts."""
    found: list[str] = []
    for match in _WORD.finditer(text):
        word = match.group()[:_LONGEST]
        found.append(word.lower())
        parts = _PART.findall(word)
        if len(parts) > 1 or (parts and parts[0] != word):
            found.extend(part.lower() for part in parts)
    return found
