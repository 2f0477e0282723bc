"""Models behind the Anthropic messages API.

The wire format stands beside the adapter, so that replay parses by the same code without the client.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from coding_agent.errors import ModelError
from coding_agent.records import Reply, ToolCall, Usage

from ._endpoint import missing_extra
from ._wire import Wire, parse_arguments, read_count, read_object, read_objects, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coding_agent.records import Message, ToolDefinition

    from ._live import Line, Sent
    from ._wire import Body

DEFAULT_BASE_URL = "https://api.anthropic.com"

MAX_OUTPUT_TOKENS = 8192
"""The API insists on a limit; a plan with a few edits is well below this one."""


class AnthropicModel:
    """One model behind a base URL; retries happen inside the client."""

    mode = "live"

    def __init__(self, line: Line) -> None:
        try:
            import anthropic
        except ImportError as error:
            raise missing_extra("anthropic", line.model) from error
        self._line = line
        self._errors = anthropic.AnthropicError
        # The client traces itself and sends the application's baggage to the provider unless told not to.
        self._client = anthropic.Anthropic(api_key=line.api_key, base_url=line.base_url, open_telemetry=False)

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
        create = self._client.messages.with_raw_response.create
        raw = create(**request, timeout=timeout)  # type: ignore[call-overload]  # a body, not typed arguments
        return raw.text(), raw.retries_taken


def build_request(
    model: str, messages: Sequence[Message], tools: Sequence[ToolDefinition]
) -> dict[str, object]:
    """Return the body of `POST /v1/messages`: system texts apart, tool results as one user turn."""
    request: dict[str, object] = {"model": model, "max_tokens": MAX_OUTPUT_TOKENS}
    system = "\n\n".join(message.text for message in messages if message.role == "system")
    if system:
        request["system"] = system
    turns = [message for message in messages if message.role != "system"]
    request["messages"] = [
        built
        for role, group in groupby(turns, key=lambda turn: turn.role)
        for built in _build_turns(role, list(group))
    ]
    if tools:
        request["tools"] = [_build_tool(tool) for tool in tools]
    return request


def _build_turns(role: str, messages: Sequence[Message]) -> list[dict[str, object]]:
    if role == "tool":
        return [{"role": "user", "content": [_build_result(message) for message in messages]}]
    return [{"role": role, "content": _build_content(message)} for message in messages]


def _build_result(message: Message) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text}


def _build_content(message: Message) -> str | list[dict[str, object]]:
    if not message.tool_calls:
        return message.text
    text: list[dict[str, object]] = [{"type": "text", "text": message.text}] if message.text else []
    return text + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in message.tool_calls
    ]


def _build_tool(tool: ToolDefinition) -> dict[str, object]:
    return {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}


def parse_response(body: Body, provider: str) -> Reply:
    """Return the text and tool blocks as a reply; other blocks (thinking) are left out."""
    if not isinstance(body.get("content"), list):
        msg = f"{provider} sent a response without content"
        raise ModelError(msg, hint="see the server's own log")
    blocks = read_objects(body.get("content"))
    reason = read_text(body.get("stop_reason"))
    return Reply(
        text="".join(read_text(block.get("text")) or "" for block in blocks if block.get("type") == "text"),
        tool_calls=tuple(_parse_call(block) for block in blocks if block.get("type") == "tool_use"),
        usage=parse_usage(body.get("usage")),
        model=read_text(body.get("model")),
        provider=provider,
        response_id=read_text(body.get("id")),
        finish_reasons=(reason,) if reason else (),
    )


def _parse_call(block: Body) -> ToolCall:
    return ToolCall(
        id=read_text(block.get("id")) or "",
        name=read_text(block.get("name")) or "",
        arguments=parse_arguments(block.get("input")),
    )


def parse_usage(value: object) -> Usage | None:
    """Return what was reported; the API counts cached input apart, so it is added to the input here."""
    usage = read_object(value)
    fresh = read_count(usage.get("input_tokens"))
    cache_read = read_count(usage.get("cache_read_input_tokens"))
    cache_write = read_count(usage.get("cache_creation_input_tokens"))
    parsed = Usage(
        input_tokens=None if fresh is None else fresh + (cache_read or 0) + (cache_write or 0),
        output_tokens=read_count(usage.get("output_tokens")),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
    )
    return None if parsed == Usage() else parsed


WIRE = Wire(api="anthropic.messages", build=build_request, parse=parse_response)
