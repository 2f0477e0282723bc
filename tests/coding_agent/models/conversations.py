"""Conversations and settings that several tests of the models share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.records import AgentSettings, Message, ToolCall, ToolDefinition

if TYPE_CHECKING:
    from tests.providers import ScriptedProvider

KEY = "sk-made-up-key-0123456789"

ASK = (
    Message(role="system", text="You plan."),
    Message(role="user", text="Mend it, please: naïve 'quotes'"),
)

TOOL = ToolDefinition(
    name="edit_file",
    description="Edit a file.",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)

FOLLOW_UP = (
    *ASK,
    Message(
        role="assistant",
        text="Let me see.",
        tool_calls=(ToolCall(id="call_1", name="edit_file", arguments={"path": "a.py"}),),
    ),
    Message(role="tool", text="There is no such file.", tool_call_id="call_1"),
)


def settings_for(provider: ScriptedProvider, **more: object) -> AgentSettings:
    """Settings whose live models all lead to the scripted provider."""
    values: dict[str, object] = {
        "home": Path("unused"),
        "openai_api_key": KEY,
        "openai_base_url": provider.openai_url,
        "anthropic_api_key": KEY,
        "anthropic_base_url": provider.url,
        **more,
    }
    return AgentSettings(**values)  # type: ignore[arg-type]
