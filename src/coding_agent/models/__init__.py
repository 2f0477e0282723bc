"""Language models behind one port: live ones, and replay of what they said.

`build_model` chooses by name. Prices, budgets and telemetry do not belong here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.errors import AgentError

from . import anthropic, openai
from ._endpoint import check_base_url, find_provider
from ._live import Line
from .anthropic import AnthropicModel
from .openai import OpenAIModel
from .recording import Recorder
from .replay import ReplayModel

if TYPE_CHECKING:
    from coding_agent.protocols import Limits, Model, ModelGate
    from coding_agent.records import AgentSettings

__all__ = ["AnthropicModel", "OpenAIModel", "ReplayModel", "build_model"]

_CHOICES = "'replay:FILE', 'openai:MODEL' or 'anthropic:MODEL' ('rules' works without a model)"


def build_model(
    name: str, settings: AgentSettings, gate: ModelGate | None = None, *, limits: Limits | None = None
) -> Model:
    """Return the model that `name` asks for; AgentError in one line says what is wrong or missing.

    `gate` is asked before each live call; `limits` bound a live call by the time that the task has left.
    The caller closes the model.
    """
    kind, _, rest = name.partition(":")
    if kind not in {"replay", "openai", "anthropic"} or not rest.strip():
        msg = f"unknown model {name!r}, expected {_CHOICES}"
        raise AgentError(msg)
    if kind == "replay":
        return ReplayModel(Path(rest).expanduser())
    if not settings.live_models:
        msg = f"{name} is a live model, and the setting live_models forbids those"
        raise AgentError(
            msg,
            hint="switch live_models on, or use 'rules' or 'replay:FILE'",
        )
    if kind == "openai":
        return _build_openai(rest, settings, gate, limits)
    return _build_anthropic(rest, settings, gate, limits)


def _build_openai(
    model: str, settings: AgentSettings, gate: ModelGate | None, limits: Limits | None
) -> OpenAIModel:
    base_url = settings.openai_base_url or openai.DEFAULT_BASE_URL
    check_base_url(base_url, "OPENAI_BASE_URL")
    provider = find_provider(base_url, "openai")
    key = settings.openai_api_key or _key_for(provider, f"openai:{model}", "OPENAI")
    recorder = _build_recorder(settings, openai.WIRE.api, provider, key)
    return OpenAIModel(
        Line(
            model=model,
            provider=provider,
            base_url=base_url,
            api_key=key,
            gate=gate,
            limits=limits,
            recorder=recorder,
        )
    )


def _build_anthropic(
    model: str, settings: AgentSettings, gate: ModelGate | None, limits: Limits | None
) -> AnthropicModel:
    base_url = settings.anthropic_base_url or anthropic.DEFAULT_BASE_URL
    check_base_url(base_url, "ANTHROPIC_BASE_URL")
    provider = find_provider(base_url, "anthropic")
    key = settings.anthropic_api_key or _key_for(provider, f"anthropic:{model}", "ANTHROPIC")
    recorder = _build_recorder(settings, anthropic.WIRE.api, provider, key)
    return AnthropicModel(
        Line(
            model=model,
            provider=provider,
            # The client adds /v1 itself, unlike openai's.
            base_url=base_url.rstrip("/").removesuffix("/v1"),
            api_key=key,
            gate=gate,
            limits=limits,
            recorder=recorder,
        )
    )


def _key_for(provider: str, call: str, prefix: str) -> str:
    """Return what stands in for a key that is not set: servers of one's own ask for none."""
    if provider == prefix.lower():
        msg = f"{call} needs a key, and {prefix}_API_KEY is not set"
        raise AgentError(
            msg,
            hint=f"set {prefix}_API_KEY, or {prefix}_BASE_URL for a server that needs none",
        )
    return "not-needed"


def _build_recorder(settings: AgentSettings, api: str, provider: str, key: str) -> Recorder | None:
    if settings.record_model_to is None:
        return None
    return Recorder(settings.record_model_to, api=api, provider=provider, secrets=[key])
