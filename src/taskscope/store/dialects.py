"""What other instrumentations call the things that our contract names, as one table.

Our receiver applies it to foreign spans (`translate`), and the Collector's statements are generated from it
(`collector/dialects.py`), so that a foreign agent means the same on either way. Only what is missing is
filled; what a sender said stays. Token counts are filled on model calls alone: agents, chains and the outer
spans of an SDK repeat the sum of their calls.

Read at their sources, in November 2026:

- OpenInference: openinference-semantic-conventions 0.1.42, `openinference.semconv.trace`.
- OpenLLMetry: opentelemetry-semantic-conventions-ai 0.5.1 and what 0.4 called the same, traceloop-sdk 0.62.
- Pydantic AI and Logfire: pydantic-ai-slim 2.68, and version 2 of its span format (`agent_name`).
- Vercel AI SDK: npm `ai` 5.0.277 and 6.0.326, with the names of 3 and 4 (`ai.usage.promptTokens`). 7 speaks
  the GenAI conventions of 2025, but for `cache_creation`.
- Older GenAI names: OpenTelemetry's semantic conventions 1.26 to 1.37.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans

When = Mapping[str, tuple[str, ...]]
"""Attributes that have to be one of these texts."""


SPAN_NAME = "span.name"
"""As a source: the name of the span itself."""


class Form(Enum):
    """What is made of a source's value; any other kind of value fills nothing."""

    TEXT = "text"
    """A text that is not empty, as it is."""
    HEAD = "head"
    """What stands before the first dot of such a text: the `openai` of `openai.chat`."""
    COUNT = "count"
    """An integer from 0 on: of an integer, of a double by cutting, of a text of 1 to 18 digits."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One attribute of our contract, where it is missing."""

    target: str
    source: str | None = None
    """Which attribute holds the value, or `SPAN_NAME`; without one it is `value`."""
    value: str = ""
    form: Form = Form.TEXT
    when: When = field(default_factory=dict)
    """All of these must hold."""
    is_root_only: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of instrumentations speaks."""

    name: str
    fills: tuple[Fill, ...]
    """In this order: a later one sees what an earlier one filled."""
    keys: tuple[str, ...] = ()
    """A span with any of these attributes speaks it; without keys and scopes every span does."""
    scopes: tuple[str, ...] = ()
    """So does any span of these instrumentation scopes."""


COUNT_LIMIT = 1 << 53
"""Doubles from here on are no counts: they have no ones any more."""
DIGITS = r"^[0-9]{1,18}$"
_DIGITS = re.compile(DIGITS[1:-1])

CALLS = (spans.CHAT, "text_completion", "generate_content", spans.EMBEDDINGS)
"""Operations whose token counts are their own."""
_IS_CALL: When = {attr.GEN_AI_OPERATION_NAME: CALLS}


def _operation(operation: str, key: str, *values: str, is_root_only: bool = False) -> Fill:
    return Fill(attr.GEN_AI_OPERATION_NAME, value=operation, when={key: values}, is_root_only=is_root_only)


def _count(target: str, *sources: str) -> tuple[Fill, ...]:
    return tuple(Fill(target, source, form=Form.COUNT, when=_IS_CALL) for source in sources)


def _text(target: str, *sources: str, form: Form = Form.TEXT, when: When | None = None) -> tuple[Fill, ...]:
    return tuple(Fill(target, source, form=form, when=when or {}) for source in sources)


_KIND = "openinference.span.kind"
_OPENINFERENCE = Dialect(
    "OpenInference",
    keys=(_KIND,),
    fills=(
        _operation(spans.CHAT, _KIND, "LLM"),
        _operation(spans.EMBEDDINGS, _KIND, "EMBEDDING"),
        _operation(spans.RETRIEVAL, _KIND, "RETRIEVER"),
        _operation(spans.EXECUTE_TOOL, _KIND, "TOOL"),
        _operation(spans.INVOKE_AGENT, _KIND, "AGENT"),
        # A chain is glue, but the outermost one is what was asked for.
        _operation(spans.INVOKE_WORKFLOW, _KIND, "CHAIN", is_root_only=True),
        *_text(
            attr.GEN_AI_REQUEST_MODEL,
            *("llm.request.model_name", "llm.model_name", "embedding.model_name"),
        ),
        *_text(attr.GEN_AI_RESPONSE_MODEL, "llm.response.model_name"),
        *_text(attr.GEN_AI_PROVIDER_NAME, "llm.provider", "llm.system"),
        *_count(attr.GEN_AI_USAGE_INPUT_TOKENS, "llm.token_count.prompt"),
        *_count(attr.GEN_AI_USAGE_OUTPUT_TOKENS, "llm.token_count.completion"),
        *_count(
            attr.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
            *("llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input"),
        ),
        *_count(attr.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, "llm.token_count.prompt_details.cache_write"),
        *_count(attr.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, "llm.token_count.completion_details.reasoning"),
        *_text(attr.GEN_AI_TOOL_NAME, "tool.name"),
        *_text(attr.GEN_AI_TOOL_CALL_ID, "tool.id"),
        *_text(attr.GEN_AI_AGENT_NAME, "agent.name"),
        *_text(attr.GEN_AI_AGENT_NAME, "graph.node.name", SPAN_NAME, when={_KIND: ("AGENT",)}),
        *_text(attr.GEN_AI_TOOL_NAME, SPAN_NAME, when={_KIND: ("TOOL",)}),
    ),
)

_ENTITY = "traceloop.span.kind"
_REQUEST = "llm.request.type"
_OPENLLMETRY = Dialect(
    "OpenLLMetry",
    keys=(_ENTITY, _REQUEST),
    fills=(
        _operation(spans.CHAT, _REQUEST, "chat"),
        _operation("text_completion", _REQUEST, "completion"),
        _operation(spans.EMBEDDINGS, _REQUEST, "embedding"),
        _operation(spans.INVOKE_WORKFLOW, _ENTITY, "workflow"),
        _operation(spans.INVOKE_AGENT, _ENTITY, "agent"),
        _operation(spans.EXECUTE_TOOL, _ENTITY, "tool"),
        *_text(attr.GEN_AI_WORKFLOW_NAME, "traceloop.entity.name", when={_ENTITY: ("workflow",)}),
        *_text(attr.GEN_AI_AGENT_NAME, "traceloop.entity.name", when={_ENTITY: ("agent",)}),
        *_text(attr.GEN_AI_TOOL_NAME, "traceloop.entity.name", when={_ENTITY: ("tool",)}),
        *_count(attr.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, "llm.usage.reasoning_tokens"),
    ),
)

_CALL = "ai.operationId"
_VERCEL = Dialect(
    "Vercel AI SDK",
    keys=(_CALL, "ai.model.id", "ai.toolCall.name"),
    fills=(
        # Outside stand the loop, with the sum of its calls, and what embeds many values by several calls.
        _operation(
            spans.CHAT,
            _CALL,
            *("ai.generateText.doGenerate", "ai.streamText.doStream"),
            *("ai.generateObject.doGenerate", "ai.streamObject.doStream"),
        ),
        _operation(spans.EMBEDDINGS, _CALL, "ai.embed.doEmbed", "ai.embedMany.doEmbed"),
        _operation(spans.EXECUTE_TOOL, _CALL, "ai.toolCall"),
        # As version 7 itself calls them.
        _operation(
            spans.INVOKE_AGENT,
            _CALL,
            *("ai.generateText", "ai.streamText", "ai.generateObject", "ai.streamObject"),
        ),
        *_text(attr.GEN_AI_PROVIDER_NAME, "ai.model.provider", form=Form.HEAD),
        *_text(attr.GEN_AI_REQUEST_MODEL, "ai.model.id"),
        *_text(attr.GEN_AI_RESPONSE_MODEL, "ai.response.model"),
        *_text(attr.GEN_AI_RESPONSE_ID, "ai.response.id"),
        *_text(attr.GEN_AI_TOOL_NAME, "ai.toolCall.name"),
        *_text(attr.GEN_AI_TOOL_CALL_ID, "ai.toolCall.id"),
        *_text(
            attr.GEN_AI_AGENT_NAME,
            "ai.telemetry.functionId",
            when={attr.GEN_AI_OPERATION_NAME: (spans.INVOKE_AGENT,)},
        ),
        *_count(
            attr.GEN_AI_USAGE_INPUT_TOKENS,
            *("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        ),
        *_count(attr.GEN_AI_USAGE_OUTPUT_TOKENS, "ai.usage.outputTokens", "ai.usage.completionTokens"),
        *_count(
            attr.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
            *("ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens"),
        ),
        *_count(attr.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, "ai.usage.inputTokenDetails.cacheWriteTokens"),
        *_count(
            attr.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
            *("ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens"),
        ),
    ),
)

_PYDANTIC = Dialect(
    "Pydantic AI, Logfire",
    keys=("logfire.msg",),
    scopes=("pydantic-ai",),
    fills=(
        *_text(attr.GEN_AI_AGENT_NAME, "agent_name"),
        *_text(attr.GEN_AI_REQUEST_MODEL, "model_name"),
    ),
)

_OLDER = Dialect(
    "older GenAI names",
    fills=(
        *_text(attr.GEN_AI_PROVIDER_NAME, "gen_ai.system"),
        *_count(attr.GEN_AI_USAGE_INPUT_TOKENS, "gen_ai.usage.prompt_tokens"),
        *_count(attr.GEN_AI_USAGE_OUTPUT_TOKENS, "gen_ai.usage.completion_tokens"),
        *_count(attr.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, "gen_ai.usage.cache_read_input_tokens"),
        *_count(
            attr.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
            *("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens"),
        ),
        *_count(
            attr.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
            *("gen_ai.usage.reasoning_tokens", "gen_ai.usage.details.reasoning_tokens"),
        ),
    ),
)

DIALECTS: tuple[Dialect, ...] = (_OPENINFERENCE, _OPENLLMETRY, _VERCEL, _PYDANTIC, _OLDER)
"""All of them; where a span speaks two, the first one fills."""

SOURCES = frozenset(
    key
    for dialect in DIALECTS
    for fill in dialect.fills
    for key in (*dialect.keys, *fill.when, *((fill.source,) if fill.source else ()))
    if key != SPAN_NAME
)
"""Every attribute that the table reads."""


def translate(
    values: dict[str, Any], scope: str, name: str, *, is_root: bool, clean: Callable[[str], str] = str
) -> None:
    """Fill, in place, what a span of this name and instrumentation scope says in another dialect.

    `clean` takes secrets out of a text of which only a part is copied: a part has no shape to be known by.
    """
    for dialect in DIALECTS:
        if _speaks(dialect, values, scope):
            for fill in dialect.fills:
                if values.get(fill.target) is None:
                    _fill(fill, values, name, clean, is_root=is_root)


def _speaks(dialect: Dialect, values: Mapping[str, Any], scope: str) -> bool:
    if not dialect.keys and not dialect.scopes:
        return True
    return scope in dialect.scopes or any(values.get(key) is not None for key in dialect.keys)


def _fill(
    fill: Fill, values: dict[str, Any], name: str, clean: Callable[[str], str], *, is_root: bool
) -> None:
    if fill.is_root_only and not is_root:
        return
    if any(not _is_one_of(values.get(key), accepted) for key, accepted in fill.when.items()):
        return
    given = (
        fill.value if fill.source is None else name if fill.source == SPAN_NAME else values.get(fill.source)
    )
    value = _formed(fill.form, given, clean)
    if value is not None:
        values[fill.target] = value


def _is_one_of(value: Any, accepted: tuple[str, ...]) -> bool:
    return isinstance(value, str) and value in accepted


def _formed(form: Form, value: Any, clean: Callable[[str], str]) -> str | int | None:
    if form is Form.COUNT:
        return _counted(value)
    if not isinstance(value, str) or not value:
        return None
    return clean(value).split(".", 1)[0] if form is Form.HEAD else value


def _counted(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    if isinstance(value, float):
        return int(value) if 0 <= value < COUNT_LIMIT else None
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else None
