"""Spans as a tree that is read: what a body says, and how spans of one trace hang together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans

from .ledger import FOREIGN_PREFIX
from .wire import SpanBody

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES = ("UNSET", "OK", "ERROR")


@dataclass(slots=True)
class SpanNode:
    """One span of a tree; children by start."""

    span_id: str
    parent_id: str | None
    name: str
    kind: str
    status: str
    """UNSET, OK or ERROR."""
    status_message: str
    attributes: dict[str, Any]
    start_ns: int
    end_ns: int | None
    """None while it runs."""
    is_interrupted: bool
    trace_id: str
    events: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    children: list[SpanNode] = field(default_factory=list)

    @property
    def task_id(self) -> str:
        """The task that the span names, else the id under which its trace would be one."""
        given = self.attributes.get(attr.TASK_ID)
        return given if isinstance(given, str) else f"{FOREIGN_PREFIX}{self.trace_id}"

    def walk(self) -> Iterator[SpanNode]:
        """This span and all below it, parents first."""
        left = [self]
        while left:
            node = left.pop()
            yield node
            left.extend(reversed(node.children))


def read_node(body: bytes) -> SpanNode:
    """The span of a serialized OTLP `Span`, without its children; ValueError when it is none."""
    span = SpanBody(body)
    return SpanNode(
        span_id=span.span_id.hex(),
        parent_id=span.parent_id.hex() if span.parent_id else None,
        name=span.name,
        kind=_name_of(_KINDS, span.kind),
        status=_name_of(_STATUSES, span.status_code),
        status_message=span.status_message,
        attributes=span.attributes,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        is_interrupted=span.attributes.get(attr.ERROR_TYPE) == spans.ERROR_INTERRUPTED,
        trace_id=span.trace_id.hex(),
        events=span.events,
        links=span.links,
    )


def cut_circles(
    ordered: list[SpanNode], nodes: dict[str, SpanNode], roots: list[SpanNode]
) -> Iterator[SpanNode]:
    """Yield the tops of what hangs on no root: another sender may say that spans are each other's parents.

    The oldest span of such a circle is cut off from its parent.
    """
    reached = {node.span_id for root in roots for node in root.walk()}
    for node in ordered:
        if node.span_id in reached:
            continue
        way: dict[str, SpanNode] = {}
        while node.span_id not in way:
            way[node.span_id] = node
            node = nodes[node.parent_id or ""]  # noqa: PLW2901  up to where the circle closes
        circle = list(way)[list(way).index(node.span_id) :]
        top = min((way[span_id] for span_id in circle), key=by_start)
        parent = nodes[top.parent_id or ""]
        parent.children = [child for child in parent.children if child is not top]
        reached.update(below.span_id for below in top.walk())
        yield top


def by_start(node: SpanNode) -> tuple[int, str]:
    """What spans are put in order by."""
    return node.start_ns, node.span_id


def is_task(node: SpanNode) -> bool:
    """Whether a span is that of a task."""
    return node.attributes.get(attr.GEN_AI_OPERATION_NAME) == spans.INVOKE_WORKFLOW


def _name_of(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else names[0]
