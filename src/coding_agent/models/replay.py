"""A model that answers from a recording, and only what was recorded.

It parses by the adapters' own code; it makes no call, asks no gate and counts no retries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.errors import ReplayMismatchError

from . import anthropic, openai
from .canonical import canonical, find_difference
from .recording import load_recording

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from coding_agent.records import Message, Reply, ToolDefinition

_WIRES = {wire.api: wire for wire in (openai.WIRE, anthropic.WIRE)}


class ReplayModel:
    """Strict: another request than the recorded one, or an answer left over, is a ReplayMismatchError."""

    mode = "replay"
    base_url: str | None = None

    def __init__(self, path: Path) -> None:
        self._recording = load_recording(path, list(_WIRES))
        self._wire = _WIRES[self._recording.api]
        self._asked = 0

    @property
    def name(self) -> str:
        """The model that the recording begins with."""
        return str(self._recording.exchanges[0].request["model"])

    @property
    def provider(self) -> str:
        """The provider that was recorded, or that a synthetic recording speaks for."""
        return self._recording.provider

    @property
    def origin(self) -> str:
        """`captured` or `synthetic`."""
        return self._recording.origin

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolDefinition] = ()) -> Reply:
        """Return the next recorded answer if the request is the recorded one."""
        exchanges = self._recording.exchanges
        if self._asked == len(exchanges):
            msg = f"it holds {len(exchanges)} answer(s), and one more is asked for"
            raise self._mismatch(msg)
        exchange = exchanges[self._asked]
        request = self._wire.build(self.name, messages, tools)
        difference = find_difference(canonical(exchange.request), canonical(request))
        if difference:
            msg = f"line {exchange.line} answers another request: {difference}"
            raise self._mismatch(msg)
        self._asked += 1
        return self._wire.parse(exchange.response, self.provider)

    def close(self) -> None:
        """Raise ReplayMismatchError when answers are left over: the task went another way.

        A mismatch that was told already is not told again.
        """
        exchanges = self._recording.exchanges
        left = exchanges[self._asked :]
        if left:
            msg = f"{len(left)} of {len(exchanges)} answers were not asked for, from line {left[0].line} on"
            raise self._mismatch(msg)

    def _mismatch(self, reason: str) -> ReplayMismatchError:
        self._asked = len(self._recording.exchanges)
        return ReplayMismatchError(
            f"recording {str(self._recording.path)!r} does not match: {reason}",
            hint="replay needs the task, the repository and the prompts of the recording; else record anew",
        )
