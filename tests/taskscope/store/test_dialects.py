"""Laws of the dialects: real spans of other libraries come to mean what ours do, and nothing counts twice."""

from __future__ import annotations

from typing import Any

import pytest

from taskscope.semconv import attributes as attr
from taskscope.store.dialects import CALLS, DIALECTS, translate
from taskscope.store.roles import Role, find_foreign_role
from tests.collector.dialect_spans import COUNTS, SPANS
from tests.collector.records import CAPTURED, ForeignSpan, load_captured

OPERATION, INPUT, OUTPUT = (
    attr.GEN_AI_OPERATION_NAME,
    attr.GEN_AI_USAGE_INPUT_TOKENS,
    attr.GEN_AI_USAGE_OUTPUT_TOKENS,
)


def translated(span: ForeignSpan) -> dict[str, Any]:
    values = dict(span.attributes)
    translate(values, span.scope, span.name, is_root=span.is_root)
    return values


def told(file: str) -> list[tuple[str, Role, Any, Any]]:
    """What the spans of a library are to us: name, part, tokens in and out of calls."""
    found = []
    for span in load_captured(file):
        values = translated(span)
        is_call = values.get(OPERATION) in CALLS
        tokens = (values.get(INPUT), values.get(OUTPUT)) if is_call else (None, None)
        found.append((span.name, find_foreign_role(values, 1), *tokens))
    return found


EXPECTED = {
    "openinference.json": [
        ("grep", Role.TOOL, None, None),
        ("CreateEmbeddings", Role.EMBEDDINGS, 1, None),
        ("ChatCompletion", Role.INFERENCE, 120, 30),
        ("coder", Role.AGENT, None, None),
        ("flow", Role.TASK, None, None),
    ],
    "openllmetry.json": [
        ("grep.tool", Role.TOOL, None, None),
        ("openai.embeddings", Role.EMBEDDINGS, 1, None),
        ("openai.chat", Role.INFERENCE, 120, 30),
        ("coder.agent", Role.AGENT, None, None),
        ("repair.workflow", Role.TASK, None, None),
    ],
    "pydantic_ai.json": [
        ("chat scripted-1", Role.INFERENCE, 120, 30),
        ("execute_tool grep", Role.TOOL, None, None),
        ("chat scripted-1", Role.INFERENCE, 120, 30),
        ("invoke_agent coder", Role.AGENT, None, None),
    ],
    "pydantic_ai_v2.json": [
        ("chat scripted-1", Role.INFERENCE, 120, 30),
        ("running tool", Role.TOOL, None, None),
        ("chat scripted-1", Role.INFERENCE, 120, 30),
        ("agent run", Role.AGENT, None, None),
    ],
    "logfire.json": [
        ("Chat Completion with {request_data[model]!r}", Role.INFERENCE, 120, 30),
        ("Embedding Creation with {request_data[model]!r}", Role.EMBEDDINGS, 1, None),
        ("flow", Role.FOREIGN, None, None),
    ],
    "vercel_ai_5.json": [
        ("ai.toolCall", Role.TOOL, None, None),
        ("ai.generateText.doGenerate", Role.INFERENCE, 120, 30),
        ("ai.generateText", Role.AGENT, None, None),
        ("ai.generateText.doGenerate", Role.INFERENCE, 120, 30),
        ("ai.embed.doEmbed", Role.EMBEDDINGS, 1, None),
        ("ai.embed", Role.FOREIGN, None, None),
    ],
    "vercel_ai_6.json": [
        ("ai.generateText.doGenerate", Role.INFERENCE, 120, 30),
        ("ai.toolCall", Role.TOOL, None, None),
        ("ai.generateText.doGenerate", Role.INFERENCE, 120, 30),
        ("ai.generateText", Role.AGENT, None, None),
        ("ai.embed", Role.FOREIGN, None, None),
        ("ai.embed.doEmbed", Role.EMBEDDINGS, 1, None),
    ],
    "vercel_ai_7.json": [
        ("chat scripted-1", Role.INFERENCE, 120, 30),
        ("step 1", Role.FOREIGN, None, None),
        ("execute_tool grep", Role.TOOL, None, None),
        ("chat scripted-1", Role.INFERENCE, 120, 30),
        ("step 2", Role.FOREIGN, None, None),
        ("invoke_agent scripted-1", Role.AGENT, None, None),
        ("embeddings scripted-embed", Role.EMBEDDINGS, 1, None),
        ("embeddings scripted-embed", Role.EMBEDDINGS, None, None),
    ],
}


@pytest.mark.parametrize("file", sorted(path.name for path in CAPTURED.glob("*.json")))
def test_real_spans_play_their_parts(file: str) -> None:
    """What a library recorded of an agent with a tool has our roles, and each call's tokens once."""
    assert told(file) == EXPECTED[file]


@pytest.mark.parametrize("file", EXPECTED)
def test_real_spans_tell_model_provider_agent_and_tool(file: str) -> None:
    """Calls name model and provider, agents and tools their names, whatever the library calls these."""
    for span in load_captured(file):
        values = translated(span)
        role = find_foreign_role(values, 1)
        if role in {Role.INFERENCE, Role.EMBEDDINGS}:
            assert values[attr.GEN_AI_REQUEST_MODEL] in {"scripted-1", "scripted-embed"}
            assert values[attr.GEN_AI_PROVIDER_NAME] == "openai"
        elif role is Role.AGENT:
            assert values[attr.GEN_AI_AGENT_NAME] == "coder"
        elif role is Role.TOOL:
            assert values[attr.GEN_AI_TOOL_NAME] == "grep"


@pytest.mark.parametrize("group", SPANS)
def test_what_a_sender_said_stays(group: str) -> None:
    """Only what is missing is filled, so that nothing that came is changed or lost."""
    for span in SPANS[group]:
        values = translated(span)
        given = {key: value for key, value in span.attributes.items() if value is not None}
        assert {key: repr(values[key]) for key in given} == {key: repr(value) for key, value in given.items()}


@pytest.mark.parametrize("count", COUNTS)
def test_a_count_is_an_integer_or_nothing(count: object) -> None:
    """Texts of digits and whole doubles become integers; what is no count fills nothing."""
    values: dict[str, Any] = {"openinference.span.kind": "LLM", "llm.token_count.prompt": count}
    translate(values, "", "", is_root=False)
    made = values.get(INPUT)
    assert made is None or (type(made) is int and made >= 0)
    is_count = isinstance(count, int | float) and not isinstance(count, bool) and 0 <= count < (1 << 53)
    assert (made is not None) or not is_count


@pytest.mark.parametrize("span", SPANS["sums"], ids=lambda span: span.name)
def test_sums_are_nobodys_tokens(span: ForeignSpan) -> None:
    """What repeats the sum of its calls gets no counts of ours."""
    values = translated(span)
    assert INPUT not in values
    assert OUTPUT not in values


def test_words_of_others_are_no_dialect() -> None:
    """`agent_name` or `tool.name` alone say nothing about who says it."""
    span = SPANS["words of others"][0]
    assert translated(span) == span.attributes


def test_the_table_says_only_what_our_contract_has() -> None:
    """Each target is a name of the contract, so that nothing is filled that nobody reads."""
    names = {value for name, value in vars(attr).items() if name.isupper()}
    targets = {fill.target for dialect in DIALECTS for fill in dialect.fills}
    assert targets <= names
    assert {fill.value for dialect in DIALECTS for fill in dialect.fills if fill.source is None} - set(
        CALLS
    ) == {
        "invoke_workflow",
        "invoke_agent",
        "execute_tool",
        "retrieval",
    }
