"""What a model call cost: tokens to integer micro-dollars, or unknown with the reason; never 0 for unknown.

A file of one's own prices goes first, then the data of genai-prices. No telemetry and no budget here.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from taskscope.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MICRO_USD = 1_000_000
_TOKENS_LIMIT = 2**63 - 1
"""What an attribute of a span can hold; a count above it is no count."""
_RATE_LIMIT = Decimal(1_000_000)
"""US dollars per million tokens: a dollar a token is a slip of the pen."""
_CONTEXT = Context(prec=60)
"""Exact for every count and rate within the limits, whatever the host program did to its own context."""

_GENAI_PROVIDERS = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
}
"""The conventions' provider names to those of genai-prices, where they differ."""

_MATCHED = ("provider", "model", "base_url")
_RATES = ("input", "output", "cache_read", "cache_write")


class TokenUsage(Protocol):
    """Tokens of one call as the provider reported them; input includes cached ones, None is unknown."""

    @property
    def input_tokens(self) -> int | None:
        """All input, cached tokens included."""

    @property
    def output_tokens(self) -> int | None:
        """All output, reasoning included."""

    @property
    def cache_read_tokens(self) -> int | None:
        """The part of the input that was read from a cache."""

    @property
    def cache_write_tokens(self) -> int | None:
        """The part of the input that was written to a cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a call cost, as the `taskscope.cost.*` attributes say it."""

    micro_usd: int | None = None
    unknown_reason: str | None = None
    """unknown_model, missing_usage, local_model or no_price_data; None when the price is known."""
    price_version: str | None = None
    """Which prices were used: `genai-prices 0.2.3`, or `prices_file` with its version or hash."""

    @property
    def status(self) -> str:
        """`known` or `unknown`."""
        return "unknown" if self.micro_usd is None else "known"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    """Counts that can be priced: none missing, cached ones within the input."""

    fresh: int
    output: int
    cache_read: int
    cache_write: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One entry of a prices file: what it is for, and US dollars per million tokens."""

    provider: str | None
    model: str | None
    base_url: str | None
    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal

    def matches(self, provider: str, model: str, base_url: str | None) -> bool:
        return (
            (self.provider is None or self.provider == provider)
            and (self.model is None or fnmatchcase(model, self.model))
            and (self.base_url is None or _is_below(base_url, self.base_url))
        )

    def cost(self, tokens: _Tokens) -> int:
        """Return micro-dollars: dollars a million tokens are micro-dollars a token."""
        return _round(
            tokens.fresh * self.input
            + tokens.cache_read * self.cache_read
            + tokens.cache_write * self.cache_write
            + tokens.output * self.output
        )


class Prices:
    """Prices calls; the file is read once, here, and SettingsError names all that is wrong in it."""

    def __init__(self, prices_file: Path | None = None) -> None:
        self._version, self._entries = _load_file(prices_file) if prices_file else ("", ())

    def price(
        self,
        provider: str,
        models: str | Sequence[str],
        base_url: str | None,
        usage: TokenUsage | None,
        *,
        operation: str = "chat",
    ) -> Price:
        """Return what the call cost; raises nothing for any usage, model or address.

        `models` are the names that it is known by: the one that answered, then the one asked for; the first
        with a price counts.
        The total is rounded once, half to even, to whole micro-dollars. An `embeddings` call has no
        output tokens to report; any other without them is `missing_usage`, so is a count that cannot be.
        """
        tokens = _read_tokens(usage, needs_output=operation != "embeddings")
        if tokens is None:
            return Price(unknown_reason="missing_usage")
        with localcontext(_CONTEXT):
            return self._price(provider, (models,) if isinstance(models, str) else models, base_url, tokens)

    def _price(self, provider: str, models: Sequence[str], base_url: str | None, tokens: _Tokens) -> Price:
        for model in models:
            for entry in self._entries:
                if entry.matches(provider, model, base_url):
                    return Price(micro_usd=entry.cost(tokens), price_version=f"prices_file {self._version}")
        if provider == "local" or _is_local(base_url):
            return Price(unknown_reason="local_model")
        price = Price(unknown_reason="unknown_model")
        for model in models:
            price = _look_up(provider, model, base_url, tokens)
            if price.micro_usd is not None:
                break
        return price


def _read_tokens(usage: TokenUsage | None, *, needs_output: bool) -> _Tokens | None:
    if usage is None:
        return None
    output = usage.output_tokens if needs_output or usage.output_tokens is not None else 0
    cache_read, cache_write = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    counts = (usage.input_tokens, output, cache_read, cache_write)
    if not all(_is_count(count) for count in counts):
        return None
    fresh = (usage.input_tokens or 0) - cache_read - cache_write
    if fresh < 0:
        return None
    return _Tokens(fresh=fresh, output=output or 0, cache_read=cache_read, cache_write=cache_write)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _TOKENS_LIMIT


def _round(micro_usd: Decimal) -> int:
    return int(micro_usd.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


# --- genai-prices ---


def _look_up(provider: str, model: str, base_url: str | None, tokens: _Tokens) -> Price:
    """Return the price by the data of genai-prices, by address where there is one.

    A provider's name alone would price a local `gpt-4o` behind the client of OpenAI.
    """
    try:
        import genai_prices
    except ImportError:
        return Price(unknown_reason="no_price_data")
    usage = genai_prices.Usage(
        input_tokens=tokens.fresh + tokens.cache_read + tokens.cache_write,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
    )
    try:
        if base_url is not None:
            found = genai_prices.calc_price(usage, model, provider_api_url=base_url)
        else:
            known_as = _GENAI_PROVIDERS.get(provider, provider)
            found = genai_prices.calc_price(usage, model, provider_id=known_as)
    except (LookupError, ValueError):
        return Price(unknown_reason="unknown_model")
    has_rates = found.model_price.input_mtok is not None or not usage.input_tokens
    if not has_rates or (tokens.output and found.model_price.output_mtok is None):
        return Price(unknown_reason="unknown_model")  # without a rate the library counts these tokens as free
    version = f"genai-prices {genai_prices.__version__}"
    return Price(micro_usd=_round(found.total_price * _MICRO_USD), price_version=version)


# --- addresses ---


def _is_local(base_url: str | None) -> bool:
    host = _host(base_url)
    if host is None:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))
    return address.is_private or address.is_loopback or address.is_link_local


def _host(base_url: str | None) -> str | None:
    try:
        return urlsplit(base_url or "").hostname
    except ValueError:  # a bracket that is not closed
        return None


def _is_below(base_url: str | None, start: str) -> bool:
    """Whether an address is the other one or below it; the case of the host and a last slash do not count."""
    if base_url is None:
        return False
    mine, theirs = _normalize(base_url), _normalize(start)
    return mine == theirs or mine.startswith(f"{theirs}/")


def _normalize(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path.rstrip('/')}"


# --- the file ---


def _load_file(path: Path) -> tuple[str, tuple[_Entry, ...]]:
    """Return the file's version (else the start of its hash) and entries; the format is in docs/prices.md."""
    import yaml

    try:
        data = path.read_bytes()
        document = yaml.safe_load(data)
    except OSError as error:
        msg = f"cannot read {str(path)!r}: {error.strerror}"
        raise _wrong(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        msg = f"{str(path)!r} is no YAML: {reason}"
        raise _wrong(msg) from error
    items = document.get("prices") if isinstance(document, dict) else None
    if not isinstance(items, list) or set(document) - {"version", "prices"}:
        msg = f"{str(path)!r} needs a list 'prices' and may have a 'version', no more"
        raise _wrong(msg)
    violations: dict[str, str] = {}
    entries = [_read_entry(item, f"prices[{index}]", violations) for index, item in enumerate(items)]
    if violations:
        raise SettingsError({f"prices_file {place}": reason for place, reason in violations.items()})
    version = str(document.get("version") or hashlib.sha256(data).hexdigest()[:12])
    return version, tuple(entry for entry in entries if entry is not None)


def _read_entry(item: object, place: str, violations: dict[str, str]) -> _Entry | None:
    if not isinstance(item, dict):
        violations[place] = f"{item!r} is no mapping"
        return None
    wrong = _check_names(item)
    rates = {name: _read_rate(item.get(name)) for name in _RATES if name in item}
    wrong += [
        f"{name} is {item[name]!r}, expected 0 to {_RATE_LIMIT:,}" for name in rates if rates[name] is None
    ]
    if wrong:
        violations[place] = ", ".join(wrong)
        return None
    known = {name: rate for name, rate in rates.items() if rate is not None}
    return _Entry(
        **{name: item.get(name) for name in _MATCHED},
        input=known["input"],
        output=known["output"],
        cache_read=known.get("cache_read", known["input"]),
        cache_write=known.get("cache_write", known["input"]),
    )


def _check_names(item: Mapping[object, object]) -> list[str]:
    wrong = [f"{name!r} is not known" for name in item if name not in {*_MATCHED, *_RATES}]
    wrong += [f"{name} is missing" for name in ("input", "output") if name not in item]
    if not any(item.get(name) for name in _MATCHED):
        wrong.append(f"none of {', '.join(_MATCHED)} says what it is for")
    texts = [name for name in _MATCHED if not isinstance(item.get(name, ""), str)]
    return wrong + [f"{name} is {item[name]!r}, expected a text" for name in texts]


def _read_rate(value: object) -> Decimal | None:
    """Return dollars for a million tokens; the text of a float is what the person wrote."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        return None
    return rate if rate.is_finite() and 0 <= rate <= _RATE_LIMIT else None


def _wrong(reason: str) -> SettingsError:
    return SettingsError({"prices_file": reason})
