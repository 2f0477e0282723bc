"""What the scripted provider can answer, in the shapes of OpenAI and Anthropic."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """A tool call as both shapes spell it."""

    id: str
    name: str
    arguments: Mapping[str, object] | str


def call_tool(name: str, arguments: Mapping[str, object] | str, *, id: str = "call_1") -> ScriptedCall:  # noqa: A002
    return ScriptedCall(id, name, arguments)


def chat_completion(
    text: str | None = None,
    calls: Sequence[ScriptedCall] = (),
    *,
    model: str = "scripted-1",
    usage: Mapping[str, object] | None = None,
) -> Answer:
    """OpenAI's `chat.completion`, with 120 tokens in and 30 out unless told otherwise."""
    tokens = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150} if usage is None else usage
    return _answer({**_completion(text, calls, model), "usage": tokens})


def completion_without_usage(text: str = "hello") -> Answer:
    return _answer(_completion(text, (), "scripted-1"))


def _completion(text: str | None, calls: Sequence[ScriptedCall], model: str) -> dict[str, object]:
    said: dict[str, object] = {"role": "assistant", "content": text}
    if calls:
        said["tool_calls"] = [_openai_call(call) for call in calls]
    choice = {"index": 0, "message": said, "finish_reason": "tool_calls" if calls else "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [choice],
    }


def _openai_call(call: ScriptedCall) -> dict[str, object]:
    text = call.arguments if isinstance(call.arguments, str) else json.dumps(dict(call.arguments))
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def message(
    text: str | None = None,
    calls: Sequence[ScriptedCall] = (),
    *,
    model: str = "scripted-1",
    usage: Mapping[str, object] | None = None,
) -> Answer:
    """Anthropic's `message`, with 120 tokens in and 30 out unless told otherwise."""
    blocks: list[dict[str, object]] = [] if text is None else [{"type": "text", "text": text}]
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in calls
    ]
    return _answer(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": blocks,
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 120, "output_tokens": 30} if usage is None else usage,
        }
    )


def too_many_requests() -> Answer:
    """A 429 that asks for a millisecond's pause, so that a test does not wait."""
    error = {"error": {"type": "rate_limit_error", "message": "slow down"}}
    return Answer(429, json.dumps(error), {"retry-after-ms": "1", "retry-after": "1"})


def server_error() -> Answer:
    error = {"error": {"type": "api_error", "message": "out of order"}}
    return Answer(500, json.dumps(error), {"retry-after-ms": "1"})


def refused(status: int, text: str) -> Answer:
    """An error that is final."""
    return Answer(
        status, json.dumps({"error": {"type": "error", "message": text}}), {"x-should-retry": "false"}
    )


def _answer(body: Mapping[str, object]) -> Answer:
    return Answer(200, json.dumps(body))
