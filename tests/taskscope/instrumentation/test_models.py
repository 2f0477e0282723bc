"""Calls of real model adapters against a real local server: what stands on their spans, and what does not."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from coding_agent.errors import ModelError
from coding_agent.models import ReplayModel, build_model
from coding_agent.retrieval.cache import EmbeddingCache
from coding_agent.retrieval.embedding import HashEmbedder
from taskscope.instrumentation.registry import instrument, uninstrument
from taskscope.prices import Prices
from taskscope.telemetry.guard import drain_errors
from tests.coding_agent.models.conversations import ASK, KEY, TOOL, settings_for
from tests.providers import ScriptedProvider, chat_completion, message, too_many_requests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskscope.testing import SpanRecorder


@pytest.fixture(autouse=True)
def observed(tmp_path: Path) -> Iterator[None]:
    """The agent is observed, with a price list of the host's own; the observer itself does not fail."""
    prices = tmp_path / "prices.yaml"
    prices.write_text("version: house\nprices:\n  - {model: 'scripted*', input: 1, output: 2}\n")
    drain_errors()
    instrument("coding_agent", price=Prices(prices).price)
    yield
    uninstrument()
    assert drain_errors() == {}


def only(recorder: SpanRecorder) -> dict[str, Any]:
    (node,) = recorder.tree()
    return node


@pytest.mark.parametrize("name, answer", [("openai", chat_completion), ("anthropic", message)])
def test_live_call_has_tokens_and_cost(span_recorder: SpanRecorder, name: str, answer: Any) -> None:
    """A live call is a CLIENT span with model, server, tokens and price, and without key or conversation."""
    with (
        ScriptedProvider([too_many_requests(), answer("ok")]) as provider,
        closing(build_model(f"{name}:scripted", settings_for(provider))) as model,
    ):
        reply = model.complete(ASK, [TOOL])
    node = only(span_recorder)
    assert reply.usage is not None
    tokens = (reply.usage.input_tokens or 0, reply.usage.output_tokens or 0)
    assert (node["name"], node["kind"]) == ("chat scripted", "CLIENT")
    said = node["attributes"]
    assert said["taskscope.llm.mode"] == "live"
    assert said["taskscope.llm.retry_count"] == 1
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == tokens
    assert (said["server.address"], said["gen_ai.response.model"]) == ("127.0.0.1", reply.model)
    assert said["taskscope.cost.micro_usd"] == tokens[0] + 2 * tokens[1]
    assert said["taskscope.cost.price_version"] == "prices_file house"
    assert not any(secret in str(node) for secret in (KEY, ASK[0].text, ASK[-1].text, TOOL.description))


def test_call_that_fails_says_why_and_how_often(span_recorder: SpanRecorder) -> None:
    """A refused call has the HTTP status as `error.type`, its retries, and a cost that is unknown, not 0."""
    with (
        ScriptedProvider([too_many_requests()] * 3) as provider,
        closing(build_model("openai:scripted", settings_for(provider))) as model,
        pytest.raises(ModelError),
    ):
        model.complete(ASK, [TOOL])
    said = only(span_recorder)["attributes"]
    assert (said["error.type"], said["taskscope.llm.retry_count"]) == ("429", 2)
    assert said["taskscope.cost.unknown_reason"] == "call_failed"
    assert "taskscope.cost.micro_usd" not in said
    (event,) = span_recorder.events
    assert event.name == "gen_ai.client.operation.exception"
    assert event.attributes["taskscope.error.hint"]
    assert KEY not in str(event.attributes)


def test_replayed_call_carries_no_cost(span_recorder: SpanRecorder, tmp_path: Path) -> None:
    """A replay has the recorded tokens, mode `replay`, and no cost at all."""
    path = tmp_path / "recording.jsonl"
    with (
        ScriptedProvider([chat_completion("ok")]) as provider,
        closing(build_model("openai:scripted", settings_for(provider, record_model_to=path))) as model,
    ):
        model.complete(ASK, [TOOL])
    span_recorder.clear()
    with closing(ReplayModel(path)) as replay:
        replay.complete(ASK, [TOOL])
    said = only(span_recorder)["attributes"]
    assert said["taskscope.llm.mode"] == "replay"
    assert said["gen_ai.usage.input_tokens"] > 0
    assert not [key for key in said if "cost" in key]


def test_own_embedder_counts_texts_and_cache_hits(span_recorder: SpanRecorder, tmp_path: Path) -> None:
    """The hash embedder is INTERNAL, provider `local`, without tokens or cost; its cache hits are counted."""
    embedder = HashEmbedder(cache=EmbeddingCache(tmp_path / "cache.db"))
    embedder.embed(["one", "two"])
    embedder.embed(["two", "three", "four"])
    first, second = span_recorder.tree()
    assert (first["name"], first["kind"]) == ("embeddings hash-1024", "INTERNAL")
    assert first["attributes"] == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "local",
        "gen_ai.request.model": "hash-1024",
        "gen_ai.embeddings.dimension.count": 1024,
        "taskscope.embeddings.inputs": 2,
        "taskscope.embeddings.cache_hits": 0,
    }
    assert second["attributes"]["taskscope.embeddings.cache_hits"] == 1
