"""Where a task's time went: the self time of its spans, added up by what they are.

Self time is a span's duration without the time in which one of its children ran; children that ran side by
side count once, so that a kind's time is never larger than the task's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskscope.store.roles import Role, find_role

from .wording import seconds_between

if TYPE_CHECKING:
    from taskscope.store.nodes import SpanNode

_KIND_SERVER = 2

_KINDS = {
    Role.TASK: "the agent itself",
    Role.AGENT: "the agent itself",
    Role.STEP: "the agent itself",
    Role.PLAN: "planning",
    Role.INFERENCE: "calls of a model",
    Role.TOOL: "tools and skills",
    Role.COMMAND: "programs",
    Role.EMBEDDINGS: "retrieval",
    Role.RETRIEVAL: "retrieval",
    Role.STAGE: "retrieval",
    Role.MEMORY: "memory",
    Role.DATABASE: "databases",
    Role.SERVER: "HTTP",
    Role.HEALTH: "health checks",
}
_NAMED = {Role.COMMAND, Role.INFERENCE}
"""Roles whose spans are told apart by name: which program, which model."""


@dataclass(slots=True)
class Share:
    """What one kind of span took."""

    kind: str
    seconds: float = 0.0
    spans: int = 0
    names: Counter[str] = field(default_factory=Counter)
    """Span names to calls, for programs and models."""
    seconds_by_name: Counter[str] = field(default_factory=Counter)


def role_of(node: SpanNode) -> Role:
    """Return the part that a span plays."""
    return find_role(node.attributes, _KIND_SERVER if node.kind == "SERVER" else 0)


def break_down(root: SpanNode, now_ns: int) -> list[Share]:
    """Return the shares of a tree, the largest first; an open span counts up to now."""
    shares: dict[str, Share] = {}
    for node in root.walk():
        role = role_of(node)
        kind = (
            "indexing" if node.name.startswith("index ") and role is Role.OTHER else _KINDS.get(role, "other")
        )
        share = shares.setdefault(kind, Share(kind))
        own = self_seconds(node, now_ns)
        share.seconds += own
        share.spans += 1
        if role in _NAMED:
            share.names[node.name] += 1
            share.seconds_by_name[node.name] += own  # type: ignore[assignment]  # a Counter adds floats as well
    return sorted(shares.values(), key=lambda share: -share.seconds)


def self_seconds(node: SpanNode, now_ns: int) -> float:
    """Return the seconds in which a span ran and none of its children did."""
    start, end = node.start_ns, now_ns if node.end_ns is None else node.end_ns
    covered, reached = 0.0, start
    for child in sorted(node.children, key=lambda child: child.start_ns):
        begins = max(child.start_ns, reached)
        ends = min(now_ns if child.end_ns is None else child.end_ns, end)
        covered += seconds_between(begins, ends)
        reached = max(reached, ends)
    return max(seconds_between(start, end) - covered, 0.0)
