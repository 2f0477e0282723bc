"""What the local provider of language models answers, what each call uses, and what that costs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from tests.providers import (
    Answer,
    Received,
    ScriptedProvider,
    call_tool,
    chat_completion,
    completion_without_usage,
    server_error,
)

PRICED: Final = "fleet-large"
"""The model that `PRICES` knows."""
UNPRICED: Final = "house-model"
"""A model on a server in one's own network that nobody has priced."""
EMBEDDER: Final = "fleet-embedder"

_EMBEDDING_USD: Final = 0.1
"""For a million tokens of the embedder."""
PRICES: Final = (
    'version: "fleet"\n'
    "prices:\n"
    f"  - {{model: {PRICED}, input: 100, output: 400, cache_read: 10}}\n"
    f"  - {{model: {EMBEDDER}, input: {_EMBEDDING_USD}, output: 0}}\n"
)
"""US dollars for a million tokens; so many that a few calls reach a cap."""

INPUT: Final = 12_000
CACHED: Final = 4_000
"""Of the input."""
OUTPUT: Final = 100
REASONING: Final = 20
"""Of the output."""
MICRO_USD: Final = (INPUT - CACHED) * 100 + CACHED * 10 + OUTPUT * 400
"""What a call with this usage costs by `PRICES`."""

_USAGE: Final = {
    "prompt_tokens": INPUT,
    "completion_tokens": OUTPUT,
    "total_tokens": INPUT + OUTPUT,
    "prompt_tokens_details": {"cached_tokens": CACHED},
    "completion_tokens_details": {"reasoning_tokens": REASONING},
}


def choose_skill() -> Answer:
    """Have the skill for a missing colon treat the first finding."""
    return chat_completion(
        calls=[call_tool("run_skill", {"skill": "missing_colon", "finding": 1})], usage=_USAGE
    )


def give_up() -> Answer:
    """Say that it cannot be known."""
    return chat_completion(calls=[call_tool("give_up", {"reason": "which number?"})], usage=_USAGE)


def say_nothing_of_use() -> Answer:
    """An answer without a call and without its usage."""
    return completion_without_usage()


def price_embedding(request: Mapping[str, object]) -> int:
    """What one request to the embedder costs, to which a word is a token."""
    texts = request["input"]
    words = sum(len(str(text).split()) for text in (texts if isinstance(texts, list) else [texts]))
    return round(words * _EMBEDDING_USD)


class SlowEmbedder(ScriptedProvider):
    """Takes three seconds for each request."""

    def answer(self, received: Received) -> Answer:
        """Answer late."""
        time.sleep(3.0)
        return super().answer(received)


class BrokenEmbedder(ScriptedProvider):
    """Has no vectors for anybody."""

    def answer(self, _received: Received) -> Answer:
        """Say that it is the server's fault."""
        return server_error()
