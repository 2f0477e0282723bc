"""What a call costs, or why that is not known."""

from __future__ import annotations

import decimal
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskscope.errors import SettingsError
from taskscope.prices import Price, Prices

OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com"
LOCAL = "http://127.0.0.1:8000/v1"
GENAI = f"genai-prices {version('genai-prices')}"


@dataclass(frozen=True)
class Usage:
    input_tokens: int | None = 1000
    output_tokens: int | None = 100
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None


def prices_file(folder: Path, text: str) -> Prices:
    path = folder / "prices.yaml"
    path.write_text(text, "utf-8")
    return Prices(path)


def test_public_price_is_known_with_its_version() -> None:
    """gpt-4o: 1,000 in at $2.50 and 100 out at $10 a million, told with the version of the data."""
    assert Prices().price("openai", "gpt-4o", OPENAI, Usage()) == Price(micro_usd=3500, price_version=GENAI)


def test_cached_input_has_its_own_price() -> None:
    """Claude Sonnet 4.5: 500 fresh at $3, 400 read at $0.30, 100 written at $3.75, 100 out at $15."""
    usage = Usage(cache_read_tokens=400, cache_write_tokens=100)
    price = Prices().price("anthropic", "claude-sonnet-4-5", ANTHROPIC, usage)
    assert (price.micro_usd, price.status) == (1500 + 120 + 375 + 1500, "known")


def test_embeddings_have_no_output() -> None:
    """Their output is no missing count: 1,000 tokens at $0.02 a million."""
    price = Prices().price(
        "openai", "text-embedding-3-small", OPENAI, Usage(output_tokens=None), operation="embeddings"
    )
    assert price.micro_usd == 20


def test_conventions_names_are_mapped() -> None:
    """Without an address the provider's name decides, by the library's own spelling."""
    price = Prices().price("x_ai", "grok-3", None, Usage())
    assert price == Prices().price("x_ai", "grok-3", "https://api.x.ai/v1", Usage())
    assert price.status == "known"


@pytest.mark.parametrize(
    "usage",
    [
        None,
        Usage(input_tokens=None),
        Usage(output_tokens=None),
        Usage(input_tokens=-1),
        Usage(cache_read_tokens=900, cache_write_tokens=101),
        Usage(input_tokens=2**63),
        Usage(input_tokens=True),
    ],
)
def test_missing_usage_is_unknown(usage: Usage | None) -> None:
    """No count, half a count and an impossible count have no price, never 0."""
    price = Prices().price("openai", "gpt-4o", OPENAI, usage)
    assert price == Price(unknown_reason="missing_usage")
    assert price.status == "unknown"


@pytest.mark.parametrize(
    "provider, model, base_url",
    [
        ("openai", "no-such-model", OPENAI),
        ("openai_compatible", "gpt-4o", "https://llm.example.com/v1"),
        ("no_such_provider", "gpt-4o", None),
        ("openai", "text-embedding-3-small", OPENAI),
    ],
)
def test_unknown_model_is_unknown(provider: str, model: str, base_url: str | None) -> None:
    """What the data does not hold, a known model behind a foreign address, and output without a rate."""
    assert Prices().price(provider, model, base_url, Usage()) == Price(unknown_reason="unknown_model")


@pytest.mark.parametrize(
    "provider, base_url",
    [
        ("local", None),
        ("openai", "http://localhost:11434/v1"),
        ("openai", "http://10.0.0.5/v1"),
        ("openai", LOCAL),
    ],
)
def test_local_server_does_not_cost_what_openai_asks(provider: str, base_url: str | None) -> None:
    """A local gpt-4o has no public price, whatever client speaks to it."""
    assert Prices().price(provider, "gpt-4o", base_url, Usage()) == Price(unknown_reason="local_model")


def test_without_the_package_there_is_no_price_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base install prices nothing but what the prices file names."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert Prices().price("openai", "gpt-4o", OPENAI, Usage()) == Price(unknown_reason="no_price_data")


def test_own_prices_go_first(tmp_path: Path) -> None:
    """A negotiated price replaces the public one, and says which file it came from."""
    prices = prices_file(
        tmp_path, "version: deal 7\nprices: [{provider: openai, model: gpt-4o, input: 1, output: 2}]"
    )
    price = prices.price("openai", "gpt-4o", OPENAI, Usage(cache_read_tokens=10))
    assert price == Price(micro_usd=1200, price_version="prices_file deal 7")
    assert prices.price("openai", "gpt-4o-mini", OPENAI, Usage()).price_version == GENAI


def test_file_without_a_version_is_known_by_its_hash(tmp_path: Path) -> None:
    """Two files with other prices cannot be mistaken for each other."""
    first = prices_file(tmp_path, "prices: [{provider: local, input: 1, output: 1}]")
    second = prices_file(tmp_path, "prices: [{provider: local, input: 1, output: 2}]")
    versions = {prices.price("local", "m", LOCAL, Usage()).price_version for prices in (first, second)}
    assert len(versions) == 2


def test_entry_matches_by_all_that_it_names(tmp_path: Path) -> None:
    """Address (also below it), provider, and model with wildcards; the first that matches counts."""
    prices = prices_file(
        tmp_path,
        """
prices:
  - {base_url: "http://Box:8000/v1/", model: "qwen*", input: 1, output: 0}
  - {base_url: "http://box:8000", input: 2, output: 0}
  - {provider: local, input: 3, output: 0}
""",
    )
    asked = [
        ("http://box:8000/v1", "qwen3"),
        ("http://me:pw@box:8000/v1/chat", "qwen3"),
        ("http://box:8000/v1", "llama"),
        ("http://box:80001/v1", "llama"),
        (None, "qwen3"),
    ]
    costs = [prices.price("local", model, base_url, Usage()).micro_usd for base_url, model in asked]
    assert costs == [1000, 1000, 2000, 3000, 3000]


def test_address_that_is_none_matches_itself_alone(tmp_path: Path) -> None:
    """A bracket that is not closed is no address; it neither raises nor matches another."""
    prices = prices_file(tmp_path, "prices: [{base_url: 'http://[', input: 1, output: 0}]")
    assert prices.price("p", "m", "http://[", Usage()).micro_usd == 1000
    assert prices.price("p", "m", "http://[::1", Usage()).unknown_reason == "unknown_model"


def test_cached_tokens_are_priced_by_the_file(tmp_path: Path) -> None:
    """500 fresh at 2, 400 read at 0.5, 100 written at 4, 100 out at 8."""
    prices = prices_file(
        tmp_path, "prices: [{provider: p, input: 2, output: 8, cache_read: 0.5, cache_write: 4}]"
    )
    price = prices.price("p", "m", None, Usage(cache_read_tokens=400, cache_write_tokens=100))
    assert price.micro_usd == 1000 + 200 + 400 + 800


@pytest.mark.parametrize("tokens, micro_usd", [(1, 0), (2, 1), (3, 2), (5, 2), (6, 3), (7, 4)])
def test_total_is_rounded_half_to_even(tokens: int, micro_usd: int, tmp_path: Path) -> None:
    """At half a micro-dollar a token 0.5 is 0, 1.5 is 2, 2.5 is 2; the sum is rounded, not its parts."""
    prices = prices_file(tmp_path, "prices: [{provider: p, input: 0.5, output: 0.5}]")
    usage = Usage(input_tokens=tokens - tokens // 2, output_tokens=tokens // 2)
    assert prices.price("p", "m", None, usage).micro_usd == micro_usd


COUNTS = st.none() | st.integers(-1, 2**64)
USAGES = st.none() | st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS)
PROVIDERS = st.sampled_from(["openai", "anthropic", "local", "x_ai", "litellm", ""]) | st.text(max_size=8)
MODELS = st.sampled_from(["gpt-4o", "claude-sonnet-4-5", "grok-3", ""]) | st.text(max_size=8)
ADDRESSES = st.none() | st.sampled_from([OPENAI, ANTHROPIC, LOCAL, "http://[", "//"]) | st.text(max_size=12)


@given(PROVIDERS, MODELS, ADDRESSES, USAGES)
def test_price_is_known_or_unknown_for_anything(
    provider: str, model: str, base_url: str | None, usage: Usage | None
) -> None:
    """Nothing raises: a cost of whole micro-dollars with a version, or a reason and neither."""
    price = Prices().price(provider, model, base_url, usage)
    is_known = price.micro_usd is not None
    assert is_known == (price.price_version is not None) == (price.unknown_reason is None)
    assert price.micro_usd is None or price.micro_usd >= 0


def test_hosts_decimal_context_does_not_count(tmp_path: Path) -> None:
    """A program that computes with three digits gets the same cost."""
    prices = prices_file(tmp_path, "prices: [{provider: p, input: 1.2345, output: 0}]")
    with decimal.localcontext(decimal.Context(prec=3)):
        own = prices.price("p", "m", None, Usage(input_tokens=1_234_567, output_tokens=0))
        public = prices.price("openai", "gpt-4o", OPENAI, Usage(input_tokens=1_234_567, output_tokens=1))
    assert (own.micro_usd, public.micro_usd) == (1_524_073, 3_086_428)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "needs a list 'prices'"),
        ("prices: {}", "needs a list 'prices'"),
        ("prices: []\nmore: 1", "needs a list 'prices'"),
        ("prices: [", "is no YAML"),
        ("prices: [1]", "prices[0]: 1 is no mapping"),
        ("prices: [{input: 1, output: 1}]", "none of provider, model, base_url says what it is for"),
        ("prices: [{model: m}]", "input is missing, output is missing"),
        ("prices: [{model: 4, input: 1, output: 1}]", "model is 4, expected a text"),
        ("prices: [{model: m, input: -1, output: 1}]", "input is -1, expected 0 to 1,000,000"),
        ("prices: [{model: m, input: cheap, output: 1}]", "input is 'cheap'"),
        ("prices: [{model: m, input: true, output: 1}]", "input is True"),
        (
            "prices: [{model: m, input: .nan, output: .inf}]",
            "input is nan, expected 0 to 1,000,000, output is inf",
        ),
        ("prices: [{model: m, input: 1e9, output: 1}]", "input is '1e9'"),
        ("prices: [{modell: m, model: m, input: 1, output: 1}]", "'modell' is not known"),
    ],
)
def test_wrong_file_is_refused_with_its_place(text: str, reason: str, tmp_path: Path) -> None:
    """What is wrong is said where it stands; a file is never used by half."""
    with pytest.raises(SettingsError) as caught:
        prices_file(tmp_path, text)
    assert reason in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """One run of the command shows every entry to mend."""
    with pytest.raises(SettingsError) as caught:
        prices_file(tmp_path, "prices: [{model: m}, {model: m, input: 1, output: 1}, 7]")
    assert list(caught.value.violations) == ["prices_file prices[0]", "prices_file prices[2]"]


@pytest.mark.parametrize("data", [None, b"\xff\xfe\xff"])
def test_unreadable_file_is_refused(data: bytes | None, tmp_path: Path) -> None:
    """A file that is missing or no text is named."""
    path = tmp_path / "prices.yaml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(SettingsError, match=r"prices\.yaml"):
        Prices(path)


def test_documented_example_is_a_prices_file(tmp_path: Path) -> None:
    """The YAML of docs/prices.md works as the page says."""
    page = (Path(__file__).parents[2] / "docs" / "prices.md").read_text("utf-8")
    prices = prices_file(tmp_path, page.partition("```yaml\n")[2].partition("```")[0])
    local = prices.price("local", "qwen3-coder", LOCAL, Usage())
    assert (local.micro_usd, local.price_version) == (210, "prices_file 2026-11")
    cached = prices.price("openai", "gpt-4o", OPENAI, Usage(cache_read_tokens=1000))
    assert cached.micro_usd == 500 + 800


def test_price_data_is_loaded_when_first_needed() -> None:
    """Importing, and a call without usage, do not pay for the price data; nor is YAML read without a file."""
    code = (
        "import sys; from taskscope.prices import Prices; Prices().price('openai', 'gpt-4o', None, None);"
        "print(sorted({'genai_prices', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
