"""When two requests ask the same, over many generated ones."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from coding_agent.models import anthropic, openai
from coding_agent.models.canonical import canonical, find_difference
from coding_agent.records import Message, ToolCall, ToolDefinition

TEXTS = st.text(max_size=20)
NAMES = st.text("abc_", min_size=1, max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
ARGUMENTS = st.dictionaries(NAMES, VALUES, max_size=3)
CALLS = st.builds(
    lambda key, name, arguments: ToolCall(id=key, name=name, arguments=arguments), NAMES, NAMES, ARGUMENTS
)
MESSAGES = st.one_of(
    st.builds(lambda role, text: Message(role=role, text=text), st.sampled_from(["system", "user"]), TEXTS),
    st.builds(
        lambda text, calls: Message(role="assistant", text=text, tool_calls=tuple(calls)),
        TEXTS,
        st.lists(CALLS, max_size=2),
    ),
    st.builds(lambda key, text: Message(role="tool", text=text, tool_call_id=key), NAMES, TEXTS),
)
TOOLS = st.builds(
    lambda name, text, schema: ToolDefinition(name=name, description=text, parameters=schema),
    NAMES,
    TEXTS,
    ARGUMENTS,
)
WIRES = st.sampled_from([openai.WIRE, anthropic.WIRE])
REQUESTS = st.builds(
    lambda wire, messages, tools: wire.build("m", messages, tools),
    WIRES,
    st.lists(MESSAGES, min_size=1, max_size=4),
    st.lists(TOOLS, max_size=3, unique_by=lambda tool: tool.name),
)


def differ(recorded: Any, asked: Any) -> str | None:
    return find_difference(canonical(recorded), canonical(asked))


def respell(value: Any) -> Any:
    """Spell the same request another way: keys turned round, text as one block, null where nothing is."""
    spelled = {key: value[key] for key in reversed(value)}
    spelled["messages"] = [_respell_message(message) for message in value["messages"]]
    if "tools" in value:
        spelled["tools"] = [{key: tool[key] for key in reversed(tool)} for tool in reversed(value["tools"])]
    else:
        spelled["tools"] = None
    return {**spelled, "temperature": 0.5, "stream": False}


FEWER = settings(max_examples=40)
"""A whole request is slow to draw."""


def _respell_message(message: Any) -> Any:
    spelled = {**{key: message[key] for key in reversed(message)}, "name": None}
    if isinstance(message["content"], str) and message["content"]:
        spelled["content"] = [{"text": message["content"], "type": "text"}]
    for call in spelled.get("tool_calls", []):
        call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]), indent=2)
    return spelled


@FEWER
@given(REQUESTS)
def test_request_asks_the_same_as_its_copy(request: dict[str, object]) -> None:
    """What went through JSON is the same request."""
    assert differ(json.loads(json.dumps(request)), request) is None


@FEWER
@given(REQUESTS)
def test_spelling_does_not_count(request: dict[str, object]) -> None:
    """Key order, tool order, text blocks, null, spaces in arguments and settings make no difference."""
    assert differ(respell(copy.deepcopy(request)), request) is None


@FEWER
@given(REQUESTS, st.data())
def test_every_changed_text_is_found(request: dict[str, object], data: st.DataObject) -> None:
    """Whatever text of the conversation changes, the place of the first difference is named."""
    places = list(_text_places(request["messages"], "messages"))
    path, holder, key = data.draw(st.sampled_from(places)) if places else ("model", request, "model")
    asked = copy.deepcopy(request)
    _at(asked, path)[key] = f"{holder[key]}!"
    difference = differ(request, asked)
    assert difference is not None
    assert difference.startswith(("messages[", "model:"))
    assert differ(asked, request) is not None


def _text_places(value: Any, path: str) -> Any:
    """Return (path of the holder, the holder, key) of each text that is a turn's own."""
    for index, message in enumerate(value):
        if isinstance(message["content"], str):
            yield f"{path}.{index}", message, "content"
        else:
            for number, block in enumerate(message["content"]):
                if block["type"] == "text":
                    yield f"{path}.{index}.content.{number}", block, "text"


def _at(request: Any, path: str) -> Any:
    holder = request
    for part in path.split(".") if path != "model" else ():
        holder = holder[int(part)] if part.isdigit() else holder[part]
    return holder


@FEWER
@given(REQUESTS, MESSAGES)
def test_one_more_turn_is_found(request: dict[str, Any], message: Message) -> None:
    """A longer conversation is another one, whichever of the two is longer."""
    longer = {
        **request,
        "messages": [*request["messages"], {"role": "user", "content": f"more {message.text}"}],
    }
    place = f"messages[{len(canonical(request)['messages'])}]"  # type: ignore[arg-type]
    assert (differ(request, longer) or "").startswith(f"{place}: recorded nothing")
    assert (differ(longer, request) or "").startswith(f"{place}: recorded")


@given(ARGUMENTS, ARGUMENTS)
def test_arguments_count_by_their_value(first: dict[str, object], second: dict[str, object]) -> None:
    """Two calls are the same exactly when their arguments are equal as JSON, null and [] included."""
    requests = [_with_arguments(arguments) for arguments in (first, second)]
    is_equal = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    assert (differ(*requests) is None) == is_equal


def _with_arguments(arguments: dict[str, object]) -> dict[str, object]:
    call = ToolCall(id="1", name="edit", arguments=arguments)
    return openai.WIRE.build("m", [Message(role="assistant", text="", tool_calls=(call,))], [])


def test_true_is_not_one() -> None:
    """JSON's true and 1 are two values, though Python's are equal."""
    assert find_difference({"a": [True]}, {"a": [1]}) == "a[0]: recorded true, asked 1"


def test_arguments_that_are_no_json_are_compared_as_text() -> None:
    """A foreign recording may hold what a model really said, broken JSON included."""
    call = {"id": "1", "function": {"name": "edit", "arguments": "{"}}
    request = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
    assert differ(request, copy.deepcopy(request)) is None
    assert canonical(request)["messages"] == [{"role": "assistant", "tool_calls": [call]}]


def test_long_values_are_shown_by_their_beginning() -> None:
    """A message stays readable when a whole tool was added."""
    difference = find_difference({"tools": []}, {"tools": [{"description": "x" * 500}]})
    assert difference is not None
    assert len(difference) < 150


def test_tool_results_are_compared_by_their_text() -> None:
    """Anthropic lets one spell a result as text, as a block, or leave an empty one out."""

    def result(**content: object) -> dict[str, object]:
        block = {"type": "tool_result", "tool_use_id": "1", **content}
        return {"model": "m", "messages": [{"role": "user", "content": [block]}]}

    assert differ(result(content="no"), result(content=[{"type": "text", "text": "no"}])) is None
    assert differ(result(), result(content="")) is None
    assert (
        differ(result(), result(content="no"))
        == 'messages[0].content[0].content: recorded nothing, asked "no"'
    )
