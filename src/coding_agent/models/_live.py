"""One live call from beginning to end: may it be made, send, record, parse, or say why not.

The adapters bring the client; what is the same for every provider stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from coding_agent.errors import ModelError

from ._endpoint import strip_credentials
from ._wire import parse_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coding_agent.protocols import Limits, ModelGate
    from coding_agent.records import Message, Reply, ToolDefinition

    from ._wire import Body, Wire
    from .recording import Recorder

Sent: TypeAlias = tuple[str, int]
"""What a client hands back: the response body's text, and how often it tried again."""

Send: TypeAlias = "Callable[[Body, float], Sent]"

CALL_TIMEOUT = 180.0
"""Seconds for one attempt, less when the task has less left; a slow local model takes minutes."""

_MESSAGE_LIMIT = 300
"""Characters kept of what a provider says about its refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The way to one model: who it is, who is asked first, what is written down."""

    model: str
    provider: str
    base_url: str
    api_key: str = field(repr=False)
    gate: ModelGate | None = None
    limits: Limits | None = None
    recorder: Recorder | None = None

    @property
    def public_url(self) -> str:
        """The base URL without credentials."""
        return strip_credentials(self.base_url)

    def ask(
        self,
        wire: Wire,
        send: Send,
        messages: Sequence[Message],
        tools: Sequence[ToolDefinition],
        *,
        errors: type[Exception],
    ) -> Reply:
        """Return the reply; BudgetExceededError comes before the call, ModelError for what `errors` tell."""
        if self.gate is not None:
            self.gate(provider=self.provider, model=self.model, base_url=self.public_url)
        request = wire.build(self.model, messages, tools)
        timeout = self._timeout()
        try:
            text, retry_count = send(request, timeout)
        except errors as error:
            self._check_limits()  # the task's end during a call is no failure of the provider
            raise self._describe(error) from error
        body = parse_body(text, self.provider)
        if self.recorder is not None:
            self.recorder.keep(request, body)
        return replace(wire.parse(body, self.provider), retry_count=retry_count)

    def _timeout(self) -> float:
        self._check_limits()
        left = self.limits.seconds_left() if self.limits is not None else None
        return CALL_TIMEOUT if left is None else min(CALL_TIMEOUT, left)

    def _check_limits(self) -> None:
        if self.limits is not None:
            self.limits.check()

    def _describe(self, error: Exception) -> ModelError:
        """Return our error; both clients share the shape of theirs (status_code, request, message)."""
        status = getattr(error, "status_code", None)
        is_timeout = "Timeout" in type(error).__name__
        said = " ".join(str(error).replace(self.api_key, "[key]").split())[:_MESSAGE_LIMIT]
        described = ModelError(
            f"{self.provider} did not answer for model {self.model!r} at {self.public_url}: {said}",
            hint=_hint(status, is_timeout=is_timeout),
        )
        described.error_type = str(status) if status else ("timeout" if is_timeout else ModelError.error_type)
        described.retry_count = _count_retries(error)
        return described


def _count_retries(error: Exception) -> int:
    """Return what the client wrote into its last request; a failed call hands back nothing else."""
    headers = getattr(getattr(error, "request", None), "headers", {})
    written = str(headers.get("x-stainless-retry-count", ""))
    return int(written) if written.isdigit() else 0


def _hint(status: int | None, *, is_timeout: bool) -> str:
    hints = {
        401: "the key was refused: check it",
        403: "the key may not use this model",
        404: "check the model's name and the base URL",
        429: "the provider limits the rate or the account is empty: wait, or check the account",
    }
    if status is not None:
        return hints.get(status, "see the provider's status page, or the server's own log")
    return "the model is slow: try again" if is_timeout else "is the server running, and the base URL right?"
