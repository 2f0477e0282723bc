"""Texts to vectors: hashed identifiers in this process, or a provider's embeddings over its API.

Hashed identifiers are not a neural model and know no meaning; their name says so. Vectors are unit length and
rounded to float32, as they are kept, so that a vector from the cache and a fresh one are the same.
"""

from __future__ import annotations

import math
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, overload

from coding_agent.errors import ModelError, ToolMissingError
from coding_agent.records import Usage

from .rankings import Vector
from .tokens import split_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coding_agent.protocols import ModelGate

    from .cache import EmbeddingCache

_GRAM = 4
_GRAM_WEIGHT = 0.3
"""What a 4-gram counts beside a whole token; chosen on issue texts and the files that their fixes changed."""

_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
"""OpenAI's documentation, November 2026."""
_LONGEST_INPUT = 8_000
"""Characters of one text; the models take about 8,000 tokens, hardly ever less than a character each."""
_REQUEST_TEXTS = 128
"""Texts in one request; the API takes 2,048, compatible servers less."""


@dataclass(frozen=True, slots=True)
class Embeddings(Sequence[Vector]):
    """One vector a text, and what getting them took."""

    vectors: tuple[Vector, ...]
    cache_hits: int = 0
    """Texts whose vector was on disk already."""
    live_calls: int = 0
    """Requests that went to a provider."""
    usage: Usage | None = None
    """As the provider reported it; None when nothing was asked or nothing reported."""

    def __len__(self) -> int:
        return len(self.vectors)

    @overload
    def __getitem__(self, index: int) -> Vector: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Vector]: ...
    def __getitem__(self, index: int | slice) -> Vector | Sequence[Vector]:
        return self.vectors[index]


class HashEmbedder:
    """Hashed identifiers: tokens and their 4-grams, signed crc32 into a fixed number of dimensions.

    Weights are 1 + log(count), then unit length; a text without a token has the empty vector.
    """

    provider = "local"

    def __init__(self, dimensions: int = 1024, *, cache: EmbeddingCache | None = None) -> None:
        self.dimensions = dimensions
        self.name = f"hash-{dimensions}"
        self._cache = cache

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Return one sparse vector a text."""
        vectors, hits = with_cache(self._cache, self.name, texts, self._embed_all)
        return Embeddings(vectors, cache_hits=hits)

    def _embed_all(self, texts: Sequence[str]) -> list[Vector]:
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> Vector:
        tokens = Counter(split_tokens(text))
        grams: list[int] = []
        for token, count in tokens.items():
            grams += _gram_hashes(token) * count
        values = [0.0] * self.dimensions
        self._add(values, ((_hash(token), count) for token, count in tokens.items()), 1.0)
        self._add(values, Counter(grams).items(), _GRAM_WEIGHT)
        return _unit_sparse(values)

    def _add(self, values: list[float], features: Iterable[tuple[int, int]], weight: float) -> None:
        """Add hashed features with their counts: the low bits say where, the highest bit the sign."""
        for hashed, count in features:
            value = weight * (1.0 + math.log(count)) if count > 1 else weight
            values[hashed % self.dimensions] += value if hashed >> 31 else -value


class OpenAIEmbedder:
    """Embeddings of OpenAI or of any server that speaks its API.

    The gate is asked before each request. A text longer than the models take is cut. ModelError when the
    provider cannot answer; ToolMissingError without the `openai` extra.
    """

    provider = "openai"

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None,
        base_url: str | None = None,
        gate: ModelGate | None = None,
        cache: EmbeddingCache | None = None,
        is_allowed: bool = True,
    ) -> None:
        self.name = model
        self.base_url = base_url
        self.dimensions = _DIMENSIONS.get(model, 0)
        """0 until a model that is not in the table has answered once."""
        self._api_key = api_key
        self._gate = gate
        self._cache = cache
        self._is_allowed = is_allowed
        self._client: Any = None

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Return one dense vector a text; only what the cache does not know is asked for."""
        replies: list[Any] = []
        cut = [text[:_LONGEST_INPUT] or " " for text in texts]  # the API refuses an empty text
        model = f"{self.base_url or self.provider}/{self.name}"
        vectors, hits = with_cache(self._cache, model, cut, lambda rest: self._ask(rest, replies))
        self.dimensions = len(vectors[0]) if vectors else self.dimensions
        return Embeddings(vectors, cache_hits=hits, live_calls=len(replies), usage=_sum_usage(replies))

    def _ask(self, texts: Sequence[str], replies: list[Any]) -> list[Vector]:
        vectors: list[Vector] = []
        for at in range(0, len(texts), _REQUEST_TEXTS):
            batch = list(texts[at : at + _REQUEST_TEXTS])
            reply = self._request(batch)
            replies.append(reply)
            data = sorted(reply.data, key=lambda item: item.index)
            if len(data) != len(batch):
                msg = f"embedding by {self.name!r}: {len(batch)} texts sent, {len(data)} vectors came back"
                raise ModelError(msg, hint="the server does not follow OpenAI's embeddings API")
            vectors += [unit_dense(item.embedding) for item in data]
        return vectors

    def _request(self, batch: list[str]) -> Any:
        client = self._connect()
        if self._gate:
            self._gate(provider=self.provider, model=self.name, base_url=self.base_url)
        import openai

        try:
            # Without a format the client asks for base64, which compatible servers need not know.
            return client.embeddings.create(model=self.name, input=batch, encoding_format="float")
        except openai.OpenAIError as error:
            # Its text may quote the key: the kind and the HTTP status are enough to act on.
            status = getattr(error, "status_code", None)
            what = f"{type(error).__name__}{f' (HTTP {status})' if status else ''}"
            where = self.base_url or "api.openai.com"
            msg = f"embedding {len(batch)} texts by {self.name!r} at {where} failed: {what}"
            raise ModelError(msg, hint="check the key, the model's name and the base URL") from error

    def _connect(self) -> Any:
        """Return the client, made once."""
        if not self._is_allowed:
            msg = f"embedder 'openai:{self.name}' is a live model, and live models are switched off"
            raise ModelError(msg, hint="use the embedder 'hash', or allow live models")
        if not self._api_key and not self.base_url:
            msg = f"embedder 'openai:{self.name}' needs a key"
            raise ModelError(msg, hint="set OPENAI_API_KEY, or a base URL of a server that needs none")
        if self._client is None:
            try:
                import openai
            except ModuleNotFoundError as error:
                msg = f"embedder 'openai:{self.name}' needs the package 'openai', which is not installed"
                raise ToolMissingError(msg, hint="pip install 'taskscope[openai]'") from error
            self._client = openai.OpenAI(api_key=self._api_key or "not-needed", base_url=self.base_url)
        return self._client


def _sum_usage(replies: Sequence[Any]) -> Usage | None:
    """Return the input tokens of all requests; None when there was none, or one did not tell."""
    tokens = [getattr(getattr(reply, "usage", None), "prompt_tokens", None) for reply in replies]
    known = [count for count in tokens if count is not None]
    return Usage(input_tokens=sum(known)) if known and len(known) == len(tokens) else None


@lru_cache(maxsize=65_536)
def _gram_hashes(token: str) -> tuple[int, ...]:
    """Return the hashed 4-grams of a token that is longer than one, marked so that they equal no token."""
    if len(token) <= _GRAM:
        return ()
    return tuple(_hash(f"#{token[at : at + _GRAM]}") for at in range(len(token) - _GRAM + 1))


@lru_cache(maxsize=65_536)
def _hash(feature: str) -> int:
    return zlib.crc32(feature.encode("utf-8", "surrogatepass"))


def _unit_sparse(values: Sequence[float]) -> dict[int, float]:
    used = {slot: value for slot, value in enumerate(values) if value}
    return dict(zip(used, unit_dense(list(used.values())), strict=True))


def unit_dense(values: Sequence[float]) -> array[float]:
    """Return the vector at unit length as float32; a zero vector stays zero."""
    length = math.sqrt(sum(value * value for value in values))
    return array("f", (value / length for value in values) if length else values)


def with_cache(
    cache: EmbeddingCache | None,
    model: str,
    texts: Sequence[str],
    embed: Callable[[Sequence[str]], Sequence[Vector]],
) -> tuple[tuple[Vector, ...], int]:
    """Return a vector a text and how many came from the cache; `embed` is asked once for each other text."""
    known = cache.get(model, texts) if cache else {}
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    fresh = dict(zip(missing, embed(missing), strict=True)) if missing else {}
    if cache and fresh:
        cache.put(model, fresh)
    hits = sum(text in known for text in texts)
    found = {**known, **fresh}
    return tuple(found[text] for text in texts), hits
