"""The OpenAI adapter, by its real client against a real HTTP server."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from coding_agent.errors import BudgetExceededError, ModelError, TimeExceededError
from coding_agent.models import build_model
from coding_agent.models.openai import WIRE, parse_usage
from coding_agent.records import Reply, ToolCall, Usage
from tests.coding_agent.models.conversations import ASK, FOLLOW_UP, KEY, TOOL, settings_for
from tests.providers import (
    Answer,
    ScriptedProvider,
    call_tool,
    chat_completion,
    completion_without_usage,
    refused,
    server_error,
    too_many_requests,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def ask(answers: Sequence[Answer]) -> Reply:
    with (
        ScriptedProvider(answers) as provider,
        closing(build_model("openai:scripted", settings_for(provider))) as model,
    ):
        return model.complete(ASK, [TOOL])


def test_reply_holds_what_the_server_sent() -> None:
    """Text, calls, tokens, ids and reasons come from the response, and nothing else."""
    calls = [call_tool("edit_file", {"path": "a.py"}), call_tool("give_up", {"reason": "x"}, id="call_2")]
    reply = ask([chat_completion("Fine.", calls)])
    assert reply == Reply(
        text="Fine.",
        tool_calls=(
            ToolCall(id="call_1", name="edit_file", arguments={"path": "a.py"}),
            ToolCall(id="call_2", name="give_up", arguments={"reason": "x"}),
        ),
        usage=Usage(input_tokens=120, output_tokens=30),
        model="scripted-1",
        provider="local",
        response_id="chatcmpl-1",
        finish_reasons=("tool_calls",),
    )


def test_request_is_the_conversation() -> None:
    """The server gets model, every turn, tool results and tools, with the key in the header alone."""
    with (
        ScriptedProvider([chat_completion("ok")]) as provider,
        closing(build_model("openai:scripted", settings_for(provider))) as model,
    ):
        model.complete(FOLLOW_UP, [TOOL])
    received = provider.received[0]
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.body == {
        "model": "scripted",
        "messages": [
            {"role": "system", "content": "You plan."},
            {"role": "user", "content": "Mend it, please: naïve 'quotes'"},
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "edit_file", "arguments": '{"path": "a.py"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "There is no such file."},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "edit_file",
                    "description": "Edit a file.",
                    "parameters": dict(TOOL.parameters),
                },
            }
        ],
    }


def test_missing_usage_stays_missing() -> None:
    """A server that counts no tokens leaves the usage unknown."""
    assert ask([completion_without_usage()]).usage is None


@pytest.mark.parametrize("reported", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": -1}, "many", [1]])
def test_usage_without_a_count_is_unknown(reported: object) -> None:
    """What holds no count is no usage, whatever its shape."""
    assert parse_usage(reported) is None


def test_cached_tokens_are_part_of_the_input() -> None:
    """OpenAI's prompt tokens include cached ones, so that nothing is added."""
    reported = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 7},
    }
    assert parse_usage(reported) == Usage(
        input_tokens=100, output_tokens=20, cache_read_tokens=60, cache_write_tokens=5, reasoning_tokens=7
    )


@pytest.mark.parametrize("trouble", [too_many_requests(), server_error()])
def test_retries_are_counted(trouble: Answer) -> None:
    """A call that the client repeated once says so."""
    assert ask([trouble, chat_completion("ok")]).retry_count == 1


def test_call_that_fails_after_retries_says_how_many() -> None:
    """Two retries and then no more: the error names the status and the count, and never the key."""
    with pytest.raises(ModelError) as caught:
        ask([too_many_requests()] * 3)
    assert caught.value.error_type == "429"
    assert caught.value.retry_count == 2
    assert KEY not in str(caught.value)


def test_refusal_does_not_show_the_key() -> None:
    """A provider that repeats the key in its refusal does not get it into our message."""
    with pytest.raises(ModelError, match=r"Incorrect API key: \[key\]") as caught:
        ask([refused(401, f"Incorrect API key: {KEY}")])
    assert caught.value.hint == "the key was refused: check it"


def test_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that cannot be made names the address and asks whether the server runs."""
    # The client tries again after half a second and after one, where no server says when.
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    with ScriptedProvider() as provider:
        settings = settings_for(provider)
    with (
        closing(build_model("openai:scripted", settings)) as model,
        pytest.raises(ModelError, match=r"at http://127\.0\.0\.1:\d+/v1") as caught,
    ):
        model.complete(ASK)
    assert "is the server running" in caught.value.hint


@pytest.mark.parametrize(
    "body", ["<html>no</html>", "[]", json.dumps({"choices": []}), json.dumps({"error": "strange"})]
)
def test_answer_of_another_shape_is_an_error(body: str) -> None:
    """A 200 that holds no answer is a ModelError, not an empty reply."""
    with pytest.raises(ModelError):
        ask([Answer(200, body)])


@pytest.mark.parametrize("arguments", ["{", "[1]", "null", ""])
def test_arguments_that_are_no_object_are_handed_on_as_text(arguments: str) -> None:
    """A planner can refuse a malformed call by what was said, so it is not lost."""
    reply = ask([chat_completion(None, [call_tool("edit_file", arguments)])])
    assert reply.tool_calls[0].arguments == {"malformed_arguments": arguments}


class ClosedGate:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []

    def __call__(self, *, provider: str, model: str, base_url: str | None) -> None:
        self.asked.append((provider, model, base_url))
        raise BudgetExceededError("the day's budget is used up")


def test_gate_is_asked_before_the_call() -> None:
    """At the cap nothing is sent."""
    gate = ClosedGate()
    with (
        ScriptedProvider([chat_completion("ok")]) as provider,
        closing(build_model("openai:scripted", settings_for(provider), gate)) as model,
        pytest.raises(BudgetExceededError),
    ):
        model.complete(ASK)
    assert provider.received == []
    assert gate.asked == [("local", "scripted", provider.openai_url)]


class ScriptedLimits:
    """Limits that hold for a number of checks."""

    def __init__(self, checks: int, left: float | None) -> None:
        self._checks = checks
        self._left = left

    def seconds_left(self) -> float | None:
        return self._left

    def check(self) -> None:
        self._checks -= 1
        if self._checks < 0:
            raise TimeExceededError("the task's time is used up")


def test_call_waits_no_longer_than_the_task_has_left() -> None:
    """A call that runs into the task's end is the task's end, not the provider's failure."""
    with (
        ScriptedProvider([refused(400, "never mind")]) as provider,
        closing(
            build_model("openai:scripted", settings_for(provider), limits=ScriptedLimits(1, 5.0))
        ) as model,
        pytest.raises(TimeExceededError),
    ):
        model.complete(ASK)
    assert provider.received[0].headers["x-stainless-read-timeout"] == "5.0"


def test_no_call_is_made_after_the_end() -> None:
    """Limits that are over keep the call from being made."""
    with (
        ScriptedProvider([chat_completion("ok")]) as provider,
        closing(
            build_model("openai:scripted", settings_for(provider), limits=ScriptedLimits(0, 0.0))
        ) as model,
        pytest.raises(TimeExceededError),
    ):
        model.complete(ASK)
    assert provider.received == []


def test_wire_parses_an_answer_without_a_message() -> None:
    """A choice without a message is an empty reply, which a planner refuses."""
    reply = WIRE.parse({"choices": [{"finish_reason": "content_filter"}]}, "openai")
    assert reply == Reply(text="", provider="openai", finish_reasons=("content_filter",))
