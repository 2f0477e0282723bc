"""Labels of other senders that hold ids: series have a bound, and what is beyond it is counted."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import TYPE_CHECKING, Final

from stack.programs import find_collector_configs

from .otlp import wait_for
from .senders import Sender, Span, Temporality, encode_counter, encode_spans
from .sinks import Sinks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stack.instance import Instance

    from .conftest import MakeInstance

BOUND: Final = 5
SENT: Final = 8
SMALL: Final = {
    "processors": {
        "deltatocumulative": {"max_streams": BOUND},
        "deltatocumulative/derived": {"max_streams": BOUND},
    },
    "connectors": {"span_metrics": {"aggregation_cardinality_limit": BOUND}},
}
_ADDED: Final = "otelcol_deltatocumulative_datapoints"


def start(make_instance: MakeInstance, folder: Path, overlay: Mapping[str, object]) -> Instance:
    """A gateway with a part of the small bounds."""
    path = folder / "small.yaml"
    path.write_text(json.dumps(overlay))
    instance = make_instance(configs={"gateway": (*find_collector_configs("gateway"), path)})
    instance.start("gateway")
    return instance


def read(instance: Instance, port: str, name: str, **labels: str) -> float:
    """The sum of a metric's series with these labels."""
    with urllib.request.urlopen(instance.url("gateway", port) + "/metrics", timeout=10) as answer:
        found = re.findall(rf"(?m)^{name}(?:\{{(.*)\}})? (\S+)", answer.read().decode())
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(float(value) for told, value in found if all(pair in told for pair in wanted))


def send_calls(instance: Instance) -> None:
    """A call of each of many models, by a sender without Taskscope."""
    sender = Sender(instance.url("gateway", "otlp_http"))
    for number in range(SENT):
        call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": f"model-{number}"}
        sender.deliver("traces", encode_spans([Span("chat", call)]))


def test_deltas_beyond_the_bound_are_dropped_and_counted(make_instance: MakeInstance, tmp_path: Path) -> None:
    """The first series go on, a new one more is counted by its error, for which an alert fires."""
    instance = start(make_instance, tmp_path, {"processors": SMALL["processors"]})
    with Sinks(instance) as sinks:
        sender = Sender(instance.url("gateway", "otlp_http"))
        for number in range(SENT):
            sender.deliver("metrics", encode_counter(f"proof.{number}", 1, Temporality.DELTA))
        expected = {f"proof.{number}" for number in range(BOUND)}
        wait_for(lambda: {metric.name for metric in sinks.metrics}, expected)
    wait_for(lambda: read(instance, "metrics", _ADDED, error="limit"), float(SENT - BOUND))


def test_counts_of_foreign_spans_beyond_the_bound_are_dropped_and_counted(
    make_instance: MakeInstance, tmp_path: Path
) -> None:
    """The same alert fires for them."""
    instance = start(make_instance, tmp_path, {"processors": SMALL["processors"]})
    send_calls(instance)
    wait_for(lambda: read(instance, "metrics", _ADDED, error="limit") > 0, expected=True)
    assert read(instance, "metrics", "otelcol_deltatocumulative_streams_tracked") == BOUND


def test_spans_beyond_the_bound_are_counted_together(make_instance: MakeInstance, tmp_path: Path) -> None:
    """None is missing from the sum: what is beyond the bound has a series of its own."""
    instance = start(make_instance, tmp_path, {"connectors": SMALL["connectors"]})
    send_calls(instance)
    calls = "traces_span_metrics_calls_total"
    wait_for(lambda: read(instance, "derived", calls), float(SENT))
    assert read(instance, "derived", calls, otel_metric_overflow="true") == SENT - BOUND
