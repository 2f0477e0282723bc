"""Models behind the OpenAI chat completions API: OpenAI itself, and every server that speaks it.

The wire format stands beside the adapter, so that replay parses by the same code without the client.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from coding_agent.errors import ModelError
from coding_agent.records import Reply, ToolCall, Usage

from ._endpoint import missing_extra
from ._wire import Wire, parse_arguments, read_count, read_object, read_objects, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coding_agent.records import Message, ToolDefinition

    from ._live import Line, Sent
    from ._wire import Body

DEFAULT_BASE_URL = "https://api.openai.com/v1"


class OpenAIModel:
    """One model behind a base URL; retries happen inside the client."""

    mode = "live"

    def __init__(self, line: Line) -> None:
        try:
            import openai
        except ImportError as error:
            raise missing_extra("openai", line.model) from error
        self._line = line
        self._errors = openai.OpenAIError
        self._client = openai.OpenAI(api_key=line.api_key, base_url=line.base_url)

    @property
    def name(self) -> str:
        """The model asked for."""
        return self._line.model

    @property
    def provider(self) -> str:
        """Who stands behind the base URL, as the GenAI conventions spell it."""
        return self._line.provider

    @property
    def base_url(self) -> str:
        """Where the calls go, without credentials."""
        return self._line.public_url

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolDefinition] = ()) -> Reply:
        """Return the answer; `usage` is None when the server sent none."""
        return self._line.ask(WIRE, self._send, messages, tools, errors=self._errors)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, request: Body, timeout: float) -> Sent:
        create = self._client.chat.completions.with_raw_response.create
        raw = create(**request, timeout=timeout)  # type: ignore[call-overload]  # a body, not typed arguments
        return raw.text, raw.retries_taken


def build_request(
    model: str, messages: Sequence[Message], tools: Sequence[ToolDefinition]
) -> dict[str, object]:
    """Return the body of `POST /chat/completions`."""
    request: dict[str, object] = {
        "model": model,
        "messages": [_build_message(message) for message in messages],
    }
    if tools:
        request["tools"] = [_build_tool(tool) for tool in tools]
    return request


def _build_message(message: Message) -> dict[str, object]:
    built: dict[str, object] = {"role": message.role, "content": message.text}
    if message.tool_call_id is not None:
        built["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        built["tool_calls"] = [_build_call(call) for call in message.tool_calls]
    return built


def _build_call(call: ToolCall) -> dict[str, object]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _build_tool(tool: ToolDefinition) -> dict[str, object]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def parse_response(body: Body, provider: str) -> Reply:
    """Return the first choice as a reply."""
    choices = read_objects(body.get("choices"))
    if not choices:
        msg = f"{provider} sent a response without choices"
        raise ModelError(msg, hint="see the server's own log")
    message = read_object(choices[0].get("message"))
    reasons = [read_text(choice.get("finish_reason")) for choice in choices]
    return Reply(
        text=read_text(message.get("content")) or "",
        tool_calls=tuple(_parse_call(call) for call in read_objects(message.get("tool_calls"))),
        usage=parse_usage(body.get("usage")),
        model=read_text(body.get("model")),
        provider=provider,
        response_id=read_text(body.get("id")),
        finish_reasons=tuple(reason for reason in reasons if reason),
    )


def _parse_call(call: Mapping[str, object]) -> ToolCall:
    function = read_object(call.get("function"))
    return ToolCall(
        id=read_text(call.get("id")) or "",
        name=read_text(function.get("name")) or "",
        arguments=parse_arguments(function.get("arguments")),
    )


def parse_usage(value: object) -> Usage | None:
    """Return what was reported; cached tokens are counted in `prompt_tokens` already."""
    usage = read_object(value)
    prompt = read_object(usage.get("prompt_tokens_details"))
    parsed = Usage(
        input_tokens=read_count(usage.get("prompt_tokens")),
        output_tokens=read_count(usage.get("completion_tokens")),
        cache_read_tokens=read_count(prompt.get("cached_tokens")),
        cache_write_tokens=read_count(prompt.get("cache_write_tokens")),
        reasoning_tokens=read_count(
            read_object(usage.get("completion_tokens_details")).get("reasoning_tokens")
        ),
    )
    return None if parsed == Usage() else parsed


WIRE = Wire(api="openai.chat_completions", build=build_request, parse=parse_response)
