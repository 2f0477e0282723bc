"""What the product says of itself is shown, told of or explained somewhere: panel, alert or document."""

from __future__ import annotations

from typing import Final

import pytest

from grafana.build import GENERATED, ROOT
from taskscope.semconv import events, spans
from taskscope.semconv.metrics import METRICS, RECORDER_QUEUE_SIZE, Metric

GENERATED_CODE: Final = "\n".join(
    (ROOT / name).read_text(encoding="utf-8") for name, _ in GENERATED if not name.endswith(".md")
)
"""Pages, alerts and rules as they are loaded."""
DOCUMENTS: Final = "\n".join(
    path.read_text(encoding="utf-8")
    for path in sorted((ROOT.parent / "docs").glob("*.md"))
    if path.name != "metrics.md"  # made of the declarations themselves: it names everything
)
EXEMPT: Final = {
    RECORDER_QUEUE_SIZE.name: "of one process alone: on /metrics of `serve`, never sent by OTLP",
}
"""Signal to the reason why nobody shows it."""
EVENTS: Final = tuple(
    value for name, value in vars(events).items() if name.isupper() and isinstance(value, str)
)
NAMES: Final = tuple(
    value
    for name, value in vars(spans).items()
    if name.isupper() and isinstance(value, str) and not name.startswith(("ERROR_", "OTHER"))
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


@pytest.mark.parametrize("name", NAMES)
def test_every_span_is_told_of(name: str) -> None:
    """Each kind of span is asked for by a panel, or a document shows it."""
    assert name in GENERATED_CODE or name in DOCUMENTS


def test_a_new_metric_is_missed() -> None:
    """A metric that is declared and shown nowhere is found by the test above."""
    assert not is_shown(Metric("taskscope.task.dreams", "counter", "{dream}", "Dreams of tasks."))
