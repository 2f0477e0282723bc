"""What the product says of itself is shown, told of or explained somewhere: panel, alert or document."""

from __future__ import annotations

import re
from typing import Final

import pytest

from grafana.build import GENERATED, ROOT
from taskscope.semconv import attributes, events, spans
from taskscope.semconv.metrics import METRICS, RECORDER_QUEUE_SIZE, Metric, prometheus_label
from tests.docs.spans_page import read_rows

GENERATED_CODE: Final = "\n".join(
    (ROOT / name).read_text(encoding="utf-8") for name, _ in GENERATED if not name.endswith(".md")
)
"""Pages, alerts and rules as they are loaded."""
COLLECTED: Final = "\n".join(
    (ROOT.parent / "collector" / name).read_text(encoding="utf-8")
    for name in ("generated/derived.yaml", "overlays/scale.yaml")
)
"""What is counted and kept of the spans of others."""
DOCUMENTS: Final = "\n".join(
    path.read_text(encoding="utf-8")
    for path in sorted((ROOT.parent / "docs").glob("*.md"))
    if path.name != "metrics.md"  # made of the declarations themselves: it names everything
)
EXEMPT: Final = {
    RECORDER_QUEUE_SIZE.name: "of one process alone: on /metrics of `serve`, never sent by OTLP",
}
"""Signal to the reason why nobody shows it."""
ATTRIBUTES: Final = tuple(
    value for name, value in vars(attributes).items() if name.isupper() and isinstance(value, str)
)
LABELS: Final = {label for metric in METRICS for label in metric.labels}
"""Attributes that stand on a series and in docs/metrics.md."""
EVENTS: Final = tuple(
    value for name, value in vars(events).items() if name.isupper() and isinstance(value, str)
)
NAMES: Final = tuple(
    value
    for name, value in vars(spans).items()
    if name.isupper() and isinstance(value, str) and not name.startswith(("COST_", "ERROR_", "OTHER"))
)
"""First words of spans."""


def is_shown(metric: Metric) -> bool:
    return metric.prometheus_name in GENERATED_CODE


def test_every_metric_is_shown_or_alerts() -> None:
    """Each metric of the contract stands in a query of a panel or of an alert."""
    forgotten = {metric.name for metric in METRICS if not is_shown(metric)}
    assert forgotten == set(EXEMPT)


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_told_of(event: str) -> None:
    """Each event is found by a panel, or a document says how to find it."""
    assert event in GENERATED_CODE or f"`{event}`" in DOCUMENTS


def test_every_span_has_a_row() -> None:
    """The table in docs/spans.md has all spans of the contract, no other, and only its attributes.

    In braces stand those without a word of their own.
    """
    rows = read_rows()
    assert {name for name in rows if not name.startswith("{")} == set(NAMES)
    assert set().union(*rows.values()) <= set(ATTRIBUTES)


def is_met(key: str) -> bool:
    """Whether an attribute is a label, used by a query, counted or sampled by, or named by a document."""
    asked = rf"(?:(?<=span\.)|(?<![\w.])){re.escape(key)}(?!\.?\w)|(?<!\w){prometheus_label(key)}(?!\w)"
    return (
        key in LABELS
        or f'"{key}"' in COLLECTED
        or f"`{key}`" in DOCUMENTS
        or re.search(asked, GENERATED_CODE) is not None  # last: it takes a hundred times as long
    )


def test_every_attribute_is_met() -> None:
    """A reader meets each attribute of the contract."""
    assert [key for key in ATTRIBUTES if not is_met(key)] == []


def test_a_new_metric_is_missed() -> None:
    """A metric that is declared and shown nowhere is found by the test above."""
    assert not is_shown(Metric("taskscope.task.dreams", "counter", "{dream}", "Dreams of tasks."))


@pytest.mark.parametrize("key", ["taskscope.task.dreams", "taskscope.task", "task.outcome", "cost.micro_usd"])
def test_a_new_attribute_is_missed(key: str) -> None:
    """So is an attribute, even where it is part of others' names."""
    assert not is_met(key)
