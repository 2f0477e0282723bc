"""Which names of attributes, settings and headers stand for a secret, told by whole words of the name."""

from __future__ import annotations

import re
from itertools import pairwise

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
SECRET_WORDS = frozenset(
    {"password", "passwords", "passwd", "passphrase", "passcode", "pwd", "secret", "secrets", "token", "jwt"}
    | {"credential", "credentials", "authorization", "cookie", "cookies", "apikey"}
)
KEY_OWNERS = frozenset(
    {"api", "access", "account", "private", "secret", "auth", "signing", "encryption", "master", "session"}
    | {"service", "storage", "deploy", "shared"}
)
# `gen_ai.token.type`, `secret.name`, `password_policy` tell about a secret and are none.
HARMLESS_ENDS = frozenset(
    {"type", "name", "count", "counts", "length", "size", "id", "ids", "policy", "status", "present", "age"}
    | {"kind", "limit", "usage", "index", "url", "path", "file", "ttl", "modality"}
)
# Tokens that are counted: OpenInference's `llm.token_count.prompt`, Vercel's `inputTokenDetails.cacheRead`.
_COUNTED = re.compile(r"(?<![A-Za-z])token[._-](?=count)|Token(?=Details)")


def is_secret_name(name: str) -> bool:
    """Return whether an attribute of this name holds a secret, judged by whole words of the name.

    `gen_ai.usage.input_tokens` and `taskscope.secretary` hold none; `db.password`, `X-Api-Key` and
    `awsSecretKey` do.
    """
    words = [word.lower() for word in _WORDS.findall(_COUNTED.sub("", name))]
    if not words or words[-1] in HARMLESS_ENDS:
        return False
    if any(word in SECRET_WORDS for word in words):
        return True
    return any(word == "key" and owner in KEY_OWNERS for owner, word in pairwise(words))
