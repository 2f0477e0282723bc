"""Spans that a table of dialects must not stumble over: wrong kinds of values, two names at once, sums."""

from __future__ import annotations

import math

from .records import CAPTURED, ForeignSpan, load_captured

LLM = {"openinference.span.kind": "LLM"}
OUTER = {"ai.operationId": "ai.generateText"}
INNER = {"ai.operationId": "ai.streamText.doStream"}
OLD = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai"}

COUNTS = (
    *(0, 7, -1, 1 << 53, (1 << 62) + 1),
    *(0.0, 7.0, 7.9, -0.5, float(1 << 53), float((1 << 53) - 1), math.nan, math.inf, -math.inf),
    *("0", "7", "007", "-7", "7.0", " 7", "7 ", "", "seven", "\u0667", "9" * 18, "9" * 19, "0x7", "7\n"),
    *(True, False, None, b"7", [7], {"count": 7}),
)
"""What may stand where a count is expected."""

TEXTS = ("gpt-5", "", " ", "a.b.c", ".", "ä", "7\n", 7, 7.5, True, None, b"gpt", ["gpt"], {"name": "gpt"})
"""What may stand where a text is expected."""

KINDS = (
    "LLM",
    "EMBEDDING",
    "RETRIEVER",
    "RERANKER",
    "TOOL",
    "AGENT",
    "CHAIN",
    "GUARDRAIL",
    "llm",
    "",
    1,
    None,
)

SPANS: dict[str, list[ForeignSpan]] = {
    "counts": [
        *(ForeignSpan("llm", {**LLM, "llm.token_count.prompt": count}) for count in COUNTS),
        *(ForeignSpan("inner", {**INNER, "ai.usage.inputTokens": count}) for count in COUNTS),
        *(ForeignSpan("old", {**OLD, "gen_ai.usage.prompt_tokens": count}) for count in COUNTS),
    ],
    "texts": [
        *(ForeignSpan("llm", {**LLM, "llm.model_name": text}) for text in TEXTS),
        *(ForeignSpan("inner", {**INNER, "ai.model.provider": text}) for text in TEXTS),
        *(ForeignSpan("old", {"gen_ai.system": text}) for text in TEXTS),
    ],
    "kinds": [
        ForeignSpan("thing", {"openinference.span.kind": kind}, is_root=is_root)
        for kind in KINDS
        for is_root in (True, False)
    ],
    "both names": [
        ForeignSpan("own", {**LLM, "gen_ai.usage.input_tokens": 1, "llm.token_count.prompt": 2}),
        ForeignSpan("own text", {**OLD, "gen_ai.usage.input_tokens": "1", "gen_ai.usage.prompt_tokens": 2}),
        ForeignSpan("own empty", {**OLD, "gen_ai.provider.name": None}),
        ForeignSpan("two sources", {**INNER, "ai.usage.inputTokens": 3, "ai.usage.promptTokens": 4}),
        ForeignSpan("first is none", {**INNER, "ai.usage.inputTokens": "x", "ai.usage.promptTokens": 4}),
        ForeignSpan("two dialects", {**LLM, **INNER, "llm.model_name": "a", "ai.model.id": "b"}),
        ForeignSpan("own operation", {**LLM, "gen_ai.operation.name": "text_completion"}),
        ForeignSpan("own operation that has no counts", {**LLM, "gen_ai.operation.name": "plan"}),
    ],
    "sums": [
        ForeignSpan("outer", {**OUTER, "ai.usage.inputTokens": 240, "ai.usage.outputTokens": 60}),
        ForeignSpan("agent", {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 240}),
        ForeignSpan(
            "chain", {"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 240}, is_root=True
        ),
        ForeignSpan(
            "old agent", {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.prompt_tokens": 240}
        ),
        ForeignSpan("old, no operation", {"gen_ai.system": "x", "gen_ai.usage.prompt_tokens": 240}),
        ForeignSpan("embed", {"ai.operationId": "ai.embed", "ai.usage.tokens": 1}),
    ],
    "words of others": [
        ForeignSpan(
            "no dialect", {"agent_name": "a", "model_name": "b", "tool.name": "c", "session.id": "d"}
        ),
        ForeignSpan("scope", {"agent_name": "a", "model_name": "b"}, scope="pydantic-ai"),
        ForeignSpan("logfire", {"logfire.msg": "m", "agent_name": "a"}, scope="logfire"),
        ForeignSpan("task", {"traceloop.span.kind": "task", "traceloop.entity.name": "t"}),
        ForeignSpan("", {"openinference.span.kind": "TOOL"}),
    ],
    **{path.stem: load_captured(path.name) for path in sorted(CAPTURED.glob("*.json"))},
}
"""Name of a group to its spans."""
