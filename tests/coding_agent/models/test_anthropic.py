"""The Anthropic adapter, by its real client against a real HTTP server."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from coding_agent.errors import ModelError
from coding_agent.models import build_model
from coding_agent.models.anthropic import parse_usage
from coding_agent.records import Message, Reply, ToolCall, Usage
from tests.coding_agent.models.conversations import ASK, FOLLOW_UP, KEY, TOOL, settings_for
from tests.providers import Answer, ScriptedProvider, call_tool, message, too_many_requests

if TYPE_CHECKING:
    from collections.abc import Sequence


def ask(answers: Sequence[Answer]) -> Reply:
    with (
        ScriptedProvider(answers) as provider,
        closing(build_model("anthropic:scripted", settings_for(provider))) as model,
    ):
        return model.complete(ASK, [TOOL])


def test_reply_holds_what_the_server_sent() -> None:
    """Text, calls, tokens, ids and the stop reason come from the response, and nothing else."""
    assert ask([message("Fine.", [call_tool("edit_file", {"path": "a.py"})])]) == Reply(
        text="Fine.",
        tool_calls=(ToolCall(id="call_1", name="edit_file", arguments={"path": "a.py"}),),
        usage=Usage(input_tokens=120, output_tokens=30),
        model="scripted-1",
        provider="local",
        response_id="msg_1",
        finish_reasons=("tool_use",),
    )


def test_request_is_the_conversation() -> None:
    """System texts stand apart, tool results of one turn are one user message."""
    second = Message(role="tool", text="Nor here.", tool_call_id="call_2")
    with (
        ScriptedProvider([message("ok")]) as provider,
        closing(build_model("anthropic:scripted", settings_for(provider))) as model,
    ):
        model.complete([*FOLLOW_UP, second], [TOOL])
    received = provider.received[0]
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.body == {
        "model": "scripted",
        "max_tokens": 8192,
        "system": "You plan.",
        "messages": [
            {"role": "user", "content": "Mend it, please: naïve 'quotes'"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "call_1", "name": "edit_file", "input": {"path": "a.py"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "There is no such file."},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": "Nor here."},
                ],
            },
        ],
        "tools": [
            {"name": "edit_file", "description": "Edit a file.", "input_schema": dict(TOOL.parameters)}
        ],
    }


def test_input_tokens_include_cached_ones() -> None:
    """The API counts cache reads and writes apart; they are input all the same."""
    reported = {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
    }
    assert parse_usage(reported) == Usage(
        input_tokens=130, output_tokens=5, cache_read_tokens=100, cache_write_tokens=20
    )


def test_missing_input_is_not_made_up_from_the_cache() -> None:
    """Without fresh input the sum is unknown."""
    assert parse_usage({"cache_read_input_tokens": 100}) == Usage(cache_read_tokens=100)


def test_missing_usage_stays_missing() -> None:
    """A server that counts no tokens leaves the usage unknown."""
    assert ask([message("hello", usage={})]).usage is None


def test_retries_are_counted() -> None:
    """A call that the client repeated once says so."""
    assert ask([too_many_requests(), message("ok")]).retry_count == 1


def test_answer_without_content_is_an_error() -> None:
    """A 200 that holds no answer is a ModelError, not an empty reply."""
    with pytest.raises(ModelError, match="without content"):
        ask([Answer(200, '{"type": "message"}')])


def test_base_url_may_end_in_v1() -> None:
    """The client adds /v1 itself, so that one given by habit does not lead to /v1/v1."""
    with ScriptedProvider([message("ok")]) as provider:
        settings = settings_for(provider, anthropic_base_url=f"{provider.url}/v1/")
        with closing(build_model("anthropic:scripted", settings)) as model:
            assert model.complete(ASK).text == "ok"
            assert model.base_url == provider.url


def test_client_neither_traces_itself_nor_sends_baggage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever observes the agent makes the one span of the call, and the baggage stays at home."""
    spans = InMemorySpanExporter()
    host = TracerProvider()
    host.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", host)
    token = context.attach(baggage.set_baggage("customer", "private"))
    try:
        with (
            ScriptedProvider([message("ok")]) as provider,
            closing(build_model("anthropic:scripted", settings_for(provider))) as model,
        ):
            model.complete(ASK)
    finally:
        context.detach(token)
        host.shutdown()
    assert spans.get_finished_spans() == ()
    assert not {"baggage", "traceparent"} & set(provider.received[0].headers)
