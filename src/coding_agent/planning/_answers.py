"""What a model may answer: a closed set of tools, and the steps (or complaints) that come of its calls.

Nothing here runs anything. Each complaint is one line that the model is shown, so it says what is expected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coding_agent.errors import AgentError, describe_choices
from coding_agent.records import Finding, PlannedStep, StepKind, ToolDefinition

from .edit import replace_once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coding_agent.protocols import Files
    from coding_agent.records import Reply, ToolCall

_RUN, _EDIT, _GIVE_UP = "run_skill", "edit_file", "give_up"

_FINDING = {"type": "integer", "minimum": 1, "description": "The finding's number."}
_TEXT = {"type": "string"}

_PARAMETERS: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    _RUN: {"skill": _TEXT, "finding": _FINDING},
    _EDIT: {"path": _TEXT, "old": _TEXT, "new": _TEXT, "finding": _FINDING},
    _GIVE_UP: {"reason": _TEXT},
}
_OPTIONAL = {(_EDIT, "finding")}

_DESCRIPTIONS = {
    _RUN: "Let a skill treat a finding for which it is offered.",
    _EDIT: "Replace a piece of a file's text that stands there exactly once.",
    _GIVE_UP: "Say that the right change cannot be known from what was given, and why.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A finding, and the skills (name to description) that treat it."""

    finding: Finding
    skills: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Answer:
    """What was read from a reply; with problems nothing of it counts."""

    steps: list[PlannedStep] = field(default_factory=list)
    gave_up: str | None = None
    problems: list[str] = field(default_factory=list)


def build_tools(offers: Sequence[Offer]) -> tuple[ToolDefinition, ...]:
    """Return the tools of this request; without an offered skill there is none to run."""
    skills = sorted({name for offer in offers for name in offer.skills})
    names = [_RUN, _EDIT, _GIVE_UP] if skills else [_EDIT, _GIVE_UP]
    return tuple(_build_tool(name, skills) for name in names)


def _build_tool(name: str, skills: Sequence[str]) -> ToolDefinition:
    properties = dict(_PARAMETERS[name])
    if name == _RUN:
        properties["skill"] = {"type": "string", "enum": list(skills)}
    parameters = {
        "type": "object",
        "properties": properties,
        "required": [key for key in properties if (name, key) not in _OPTIONAL],
        "additionalProperties": False,
    }
    return ToolDefinition(name=name, description=_DESCRIPTIONS[name], parameters=parameters)


def read_answer(reply: Reply, offers: Sequence[Offer], files: Files) -> Answer:
    """Return the steps that the reply asks for, or what is wrong with it."""
    return _Reader(offers, files).read(reply.tool_calls)


class _Reader:
    """Reads one reply; edits are tried on the text as earlier ones of the same reply leave it."""

    def __init__(self, offers: Sequence[Offer], files: Files) -> None:
        self._offers = offers
        self._files = files
        self._drafts: dict[str, str] = {}

    def read(self, calls: Sequence[ToolCall]) -> Answer:
        answer = Answer()
        if not calls:
            answer.problems.append("it holds no tool call")
        for number, call in enumerate(calls, start=1):
            problem = self._read_call(call, answer)
            if problem:
                answer.problems.append(f"call {number}, {call.name}: {problem}")
        if answer.gave_up is not None and len(calls) > 1:
            answer.problems.append(f"{_GIVE_UP} stands alone or not at all")
        return answer

    def _read_call(self, call: ToolCall, answer: Answer) -> str | None:
        """Add the call's step to the answer, or return what is wrong with it."""
        if call.name not in _PARAMETERS:
            return f"there is no such tool, expected {describe_choices(list(_PARAMETERS))}"
        problem = _check_arguments(call) or self._check_number(call.arguments.get("finding"))
        if problem:
            return problem
        if call.name == _GIVE_UP:
            answer.gave_up = str(call.arguments["reason"])
            return None
        return self._read_skill(call, answer) if call.name == _RUN else self._read_edit(call, answer)

    def _check_number(self, number: object) -> str | None:
        if number is None or (isinstance(number, int) and 1 <= number <= len(self._offers)):
            return None
        return f"there is no finding {number}, they count from 1 to {len(self._offers)}"

    def _read_skill(self, call: ToolCall, answer: Answer) -> str | None:
        offer = self._offer(call)
        skill = str(call.arguments["skill"])
        if offer is None or skill not in offer.skills:
            offered = describe_choices(sorted(offer.skills) if offer else []) or "none"
            return f"skill {skill!r} is not offered for this finding, offered: {offered}"
        where = offer.finding.where()
        title = f"{skill}: {offer.finding.message}" + (f" ({where})" if where else "")
        answer.steps.append(PlannedStep(kind=StepKind.SKILL, title=title, skill=skill, finding=offer.finding))
        return None

    def _read_edit(self, call: ToolCall, answer: Answer) -> str | None:
        path, old, new = (str(call.arguments[name]) for name in ("path", "old", "new"))
        try:
            self._drafts[path] = replace_once(self._files, path, old, new, text=self._drafts.get(path))
        except AgentError as error:
            return str(error)
        offer = self._offer(call)
        answer.steps.append(
            PlannedStep(
                kind=StepKind.EDIT,
                title=f"edit {path}",
                finding=offer.finding if offer else None,
                arguments={"path": path, "old": old, "new": new},
            )
        )
        return None

    def _offer(self, call: ToolCall) -> Offer | None:
        number = call.arguments.get("finding")
        return self._offers[number - 1] if isinstance(number, int) else None


def _check_arguments(call: ToolCall) -> str | None:
    parameters = _PARAMETERS[call.name]
    required = {name for name in parameters if (call.name, name) not in _OPTIONAL}
    missing, unknown = required - set(call.arguments), set(call.arguments) - set(parameters)
    if missing or unknown:
        return f"its arguments are {sorted(call.arguments)}, expected {sorted(required)}"
    for name, value in call.arguments.items():
        expected = int if parameters[name]["type"] == "integer" else str
        if type(value) is not expected:
            return f"{name} is {value!r}, expected {'a whole number' if expected is int else 'a text'}"
    return None
