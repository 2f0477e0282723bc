"""A tree of spans as plain lines: guides, status mark, name, duration, and what a person looks for in it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from taskscope.semconv import attributes as attr

from .terminal import shorten
from .wording import count, describe_duration, describe_wait, seconds_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskscope.store.nodes import SpanNode

    from .terminal import Screen

_NAME_WIDTH = 200
"""Signs shown of a name or a note: another sender's may have 64 KiB."""
_RUN = 3
"""Equal spans in a row from which on they share a line."""


def draw_tree(root: SpanNode, screen: Screen, now_ns: int, *, is_whole: bool = False) -> Iterator[str]:
    """Yield one line for each span, parents first; trees of any depth.

    Three or more equal spans in a row that went well share one line, unless the tree is to be whole.
    """
    signs = screen.signs
    left: list[tuple[Sequence[SpanNode], str, str]] = [([root], "", "")]
    while left:
        group, guide, below = left.pop()
        yield f"{screen.paint.quiet(guide)}{describe_group(group, screen, now_ns)}"
        groups = [[child] for child in group[0].children] if is_whole else group_spans(group[0].children)
        last = len(groups) - 1
        for position in range(last, -1, -1):
            is_last = position == last
            tip, rest = (signs.corner, signs.gap) if is_last else (signs.tee, signs.bar)
            left.append((groups[position], below + tip, below + rest))


def group_spans(children: Iterable[SpanNode]) -> list[list[SpanNode]]:
    """Return equal neighbours together, where a person need not see them one by one: all well, none below."""
    groups: list[list[SpanNode]] = []
    for name, neighbours in itertools.groupby(children, key=_plain_name):
        nodes = list(neighbours)
        is_run = name is not None and len(nodes) >= _RUN
        groups += [nodes] if is_run else [[node] for node in nodes]
    return groups


def _plain_name(node: SpanNode) -> str | None:
    is_plain = not node.children and node.end_ns is not None and node.status != "ERROR"
    return node.name if is_plain else None


def describe_group(group: Sequence[SpanNode], screen: Screen, now_ns: int) -> str:
    """Return the line of one span, or of several with their number and the sum of their durations."""
    if len(group) == 1:
        return describe_span(group[0], screen, now_ns)
    took = sum(seconds_between(node.start_ns, node.end_ns or node.start_ns) for node in group)
    name = f"{mark(group[0], screen)} {shorten(group[0].name, _NAME_WIDTH)} {screen.signs.times}{len(group)}"
    return f"{name}  {screen.paint.quiet(describe_duration(took))}"


def describe_span(node: SpanNode, screen: Screen, now_ns: int) -> str:
    """Return mark, name, duration and notes of one span, without guides."""
    parts = [
        f"{mark(node, screen)} {shorten(node.name, _NAME_WIDTH)}",
        screen.paint.quiet(describe_time_of(node, now_ns)),
    ]
    return "  ".join(parts + [screen.paint.quiet(note) for note in notes(node)])


def mark(node: SpanNode, screen: Screen) -> str:
    """Return the sign of how a span ended."""
    signs, paint = screen.signs, screen.paint
    if node.is_interrupted:
        return paint.bad(signs.interrupted)
    if node.end_ns is None:
        return paint.odd(signs.running)
    return paint.bad(signs.bad) if node.status == "ERROR" else paint.good(signs.good)


def describe_time_of(node: SpanNode, now_ns: int) -> str:
    """Return how long a span took, `running 12 s`, or `interrupted after 3 s`."""
    if node.end_ns is None:
        return f"running {describe_wait(seconds_between(node.start_ns, now_ns))}"
    took = describe_duration(seconds_between(node.start_ns, node.end_ns))
    return f"interrupted after {took}" if node.is_interrupted else took


def notes(node: SpanNode) -> list[str]:
    """Return the few facts that stand behind a span's duration, clean."""
    facts = node.attributes
    found = [*_outcomes(facts), *_numbers(facts)]
    error = facts.get(attr.ERROR_TYPE)
    if error is not None and not node.is_interrupted and f"exit {error}" not in found:
        found.append(str(error))
    return [shorten(note, _NAME_WIDTH) for note in found]


def _outcomes(facts: dict[str, Any]) -> Iterator[str]:
    for key in (attr.TASK_OUTCOME, attr.SKILL_OUTCOME, attr.HEALTH_STATUS):
        value = facts.get(key)
        if value is not None and value not in {"succeeded", "interrupted"}:
            yield str(value)
    if facts.get(attr.LLM_MODE) == "replay":
        yield "replayed, synthetic" if facts.get(attr.LLM_ORIGIN) == "synthetic" else "replayed"


def _numbers(facts: dict[str, Any]) -> Iterator[str]:
    code = facts.get(attr.PROCESS_EXIT_CODE)
    if isinstance(code, int) and code:
        yield f"exit {code}"
    for key, noun in ((attr.PLAN_STEP_COUNT, "step"), (attr.RETRIEVAL_RESULTS, "result")):
        number = facts.get(key)
        if isinstance(number, int):
            yield count(number, noun)
    tokens = facts.get(attr.GEN_AI_USAGE_INPUT_TOKENS), facts.get(attr.GEN_AI_USAGE_OUTPUT_TOKENS)
    if isinstance(tokens[0], int) and isinstance(tokens[1], int):
        yield f"{tokens[0]:,} + {tokens[1]:,} tokens"
