"""When two requests ask the same: a canonical form, and the first place where two of them differ.

Model, messages and tools count. How a provider lets one spell the same thing (key order, null, a text as
one block) does not, and neither do settings such as a temperature.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import zip_longest

from ._wire import read_object, read_objects

_CONTEXT = 24
"""Characters shown on each side of the first difference of two texts."""


def canonical(request: Mapping[str, object]) -> dict[str, object]:
    """Return model, messages (a system prompt of its own first) and tools, sorted by name."""
    system = request.get("system")
    first: list[dict[str, object]] = [{"role": "system", "content": system}] if system else []
    messages = [_message(message) for message in [*first, *read_objects(request.get("messages"))]]
    tools = sorted((_tool(tool) for tool in read_objects(request.get("tools"))), key=_sort_key)
    return {"model": request.get("model"), "messages": messages, "tools": tools}


def _message(message: Mapping[str, object]) -> dict[str, object]:
    tidy = _without_empty(message)
    if "content" in tidy:
        tidy["content"] = _content(tidy["content"])
    if "tool_calls" in tidy:
        tidy["tool_calls"] = [_call(call) for call in read_objects(tidy["tool_calls"])]
    return _without_empty(tidy)


def _content(content: object) -> object:
    """Return a single text block as its text; other blocks as they are, their own content likewise."""
    if not isinstance(content, list):
        return content
    blocks = [_block(block) if isinstance(block, Mapping) else block for block in content]
    if len(blocks) == 1 and isinstance(blocks[0], dict) and set(blocks[0]) <= {"type", "text"}:
        return blocks[0].get("text", "")
    return blocks


def _block(block: Mapping[str, object]) -> dict[str, object]:
    tidy = dict(block)
    if block.get("type") == "tool_result":
        tidy = _without_empty(block)
        if "content" in tidy:
            tidy["content"] = _content(tidy["content"])
    return tidy


def _call(call: Mapping[str, object]) -> dict[str, object]:
    """Return a call whose arguments are a value, so that spaces in their JSON do not count."""
    function = dict(read_object(call.get("function")))
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            function["arguments"] = json.loads(arguments)
        except ValueError:
            function["arguments"] = arguments
    return {**_without_empty(call), "function": function}


def _tool(tool: Mapping[str, object]) -> dict[str, object]:
    """Return a tool without what is empty; its JSON schema stays as it is, where null has a meaning."""
    tidy = _without_empty(tool)
    if isinstance(tidy.get("function"), Mapping):
        tidy["function"] = _without_empty(read_object(tidy["function"]))
    return tidy


def _without_empty(value: Mapping[str, object]) -> dict[str, object]:
    return {key: item for key, item in value.items() if item is not None and item not in ("", [])}


def _sort_key(tool: Mapping[str, object]) -> tuple[str, str]:
    name = read_object(tool.get("function")).get("name", tool.get("name"))
    return str(name), json.dumps(tool, sort_keys=True, default=str)


def find_difference(recorded: object, asked: object, path: str = "") -> str | None:
    """Return where two canonical requests differ first and how, or None when they ask the same."""
    if isinstance(recorded, Mapping) and isinstance(asked, Mapping):
        return _differ_in_members(recorded, asked, path)
    if isinstance(recorded, list) and isinstance(asked, list):
        return _differ_in_items(recorded, asked, path)
    if isinstance(recorded, str) and isinstance(asked, str):
        return None if recorded == asked else f"{path}: {_describe_texts(recorded, asked)}"
    same_kind = isinstance(recorded, bool) == isinstance(asked, bool)
    return (
        None
        if same_kind and recorded == asked
        else f"{path}: recorded {_show(recorded)}, asked {_show(asked)}"
    )


class _Absent:
    """Stands for what one side does not have; JSON's null is a value of its own."""


_ABSENT = _Absent()


def _differ_in_members(recorded: Mapping[str, object], asked: Mapping[str, object], path: str) -> str | None:
    for key in dict.fromkeys([*recorded, *asked]):
        place = f"{path}.{key}" if path else str(key)
        found = find_difference(recorded.get(key, _ABSENT), asked.get(key, _ABSENT), place)
        if found:
            return found
    return None


def _differ_in_items(recorded: list[object], asked: list[object], path: str) -> str | None:
    pairs = zip_longest(recorded, asked, fillvalue=_ABSENT)
    found = (find_difference(old, new, f"{path}[{index}]") for index, (old, new) in enumerate(pairs))
    return next((difference for difference in found if difference), None)


def _describe_texts(recorded: str, asked: str) -> str:
    position = next(
        (index for index, (old, new) in enumerate(zip(recorded, asked, strict=False)) if old != new),
        min(len(recorded), len(asked)),
    )
    window = slice(max(0, position - _CONTEXT), position + _CONTEXT)
    return f"recorded {recorded[window]!r}, asked {asked[window]!r} (from character {position + 1} on)"


def _show(value: object) -> str:
    if value is _ABSENT:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 4 * _CONTEXT else f"{text[: 4 * _CONTEXT]}..."
