"""A provider of language models on a free local port, for every test that makes a live call."""

from .answers import (
    Answer,
    call_tool,
    chat_completion,
    completion_without_usage,
    message,
    refused,
    server_error,
    too_many_requests,
)
from .server import Received, ScriptedProvider

__all__ = [
    "Answer",
    "Received",
    "ScriptedProvider",
    "call_tool",
    "chat_completion",
    "completion_without_usage",
    "message",
    "refused",
    "server_error",
    "too_many_requests",
]
