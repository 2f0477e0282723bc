"""Killed in the midst of it all: what was open arrives at a plain OTLP backend, closed and in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans

from .collector import Arrived, Collector
from .findings import Finding, all_of, how_many, none_of

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "SIGKILL with task, step and tool open, over plain OTLP"
MUST = "After `taskscope ship --once` 3 of 3 arrive, ERROR, `error.type=interrupted`, right parents."
_ERROR = 2
"""STATUS_CODE_ERROR of OTLP."""
_NAMES = ("invoke_workflow answer", "step edit", "execute_tool search")


def prove(stage: Stage) -> list[Finding]:
    """Kill, ship, and look at what the collector has."""
    with Collector(stage.folder / "collector") as collector:
        answers = stage.ask_shares("unended", stage.count(200, 3), collector.url)
        arrived = collector.read()
    trees = [tuple(bytes.fromhex(one) for one in tree) for answer in answers for tree in answer["trees"]]
    opened = len(trees) * len(_NAMES)
    found = [arrived.spans.get(one) for tree in trees for one in tree[1:]]
    return [
        how_many("cycles", len(trees)),
        all_of("open spans that arrived", sum(one is not None for one in found), opened),
        all_of("of status ERROR and `error.type=interrupted`", sum(map(_is_interrupted, found)), opened),
        all_of("under their parent, named as they were", _count_placed(trees, arrived), opened),
        all_of("that end, not before they began", sum(map(_is_ended, found)), opened),
        none_of("spans that came twice", arrived.twice, opened),
        none_of(
            "spans that nobody made", len(arrived.spans.keys() - {i for t in trees for i in t[1:]}), opened
        ),
        none_of("`ship --once` that failed", sum(answer["ships_failed"] for answer in answers), len(trees)),
    ]


def _is_interrupted(span: Any) -> bool:
    if span is None:
        return False
    values = {one.key: one.value.string_value for one in span.attributes}
    return bool(span.status.code == _ERROR and values.get(attr.ERROR_TYPE) == spans.ERROR_INTERRUPTED)


def _is_ended(span: Any) -> bool:
    return span is not None and 0 < span.start_time_unix_nano <= span.end_time_unix_nano


def _count_placed(trees: list[tuple[bytes, ...]], arrived: Arrived) -> int:
    placed = 0
    for trace, *own in trees:
        for name, parent, span_id in zip(_NAMES, (b"", *own), own, strict=False):
            span = arrived.spans.get(span_id)
            if span is not None:
                placed += (span.trace_id, span.parent_span_id, span.name) == (trace, parent, name)
    return placed
