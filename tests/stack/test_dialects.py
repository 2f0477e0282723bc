"""Golden tests of the dialects: the real Collector says of each span what our own receiver says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.store import dialects
from tests.collector.dialect_spans import SPANS
from tests.collector.records import from_attributes, to_request

from .collecting import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with Collector(tmp_path_factory.mktemp("collector"), ["transform/dialects"], "dialects.yaml") as running:
        yield running


@pytest.mark.parametrize("group", SPANS)
def test_the_collector_says_what_our_receiver_says(collector: Collector, group: str) -> None:
    """Each span, of a real library or of wrong kinds, comes out with just what the table fills in Python."""
    taken = len(collector.sink.spans)
    collector.send("traces", to_request(SPANS[group]))
    found = collector.sink.spans[taken:]
    assert len(found) == len(SPANS[group])
    for span, made in zip(SPANS[group], found, strict=True):
        expected = dict(span.attributes)
        dialects.translate(expected, span.scope, span.name, is_root=span.is_root)
        assert comparable(from_attributes(made.attributes)) == comparable(expected), span


def test_nothing_is_said_in_the_log(collector: Collector) -> None:
    """No statement stumbles over a value: what fails for one span of a chatty sender would fill the log."""
    for spans in SPANS.values():
        collector.send("traces", to_request(spans))
    lines = [json.loads(line) for line in collector.log().splitlines()]
    assert [line for line in lines if line["level"] not in {"info", "debug"}] == []


def comparable(values: dict[str, Any]) -> dict[str, str]:
    """Values with their types; NaN is equal to itself."""
    return {key: repr(value) for key, value in values.items()}
