"""Each backend with its committed configuration takes and finds what the pipeline sends it."""

from __future__ import annotations

import time
import urllib.error
from typing import TYPE_CHECKING

import pytest

from stack.instance import Instance
from tests.stack.otlp import (
    ask,
    find_lines,
    find_spans,
    find_traces,
    find_values,
    send_log,
    send_sample,
    send_span,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKENDS = ("prometheus", "loki", "tempo")
HOUR = 3600.0


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with Instance(tmp_path_factory.mktemp("backends")) as instance:
        instance.start(*BACKENDS)
        yield instance


def test_tempo_keeps_long_attributes_whole(backends: Instance) -> None:
    """A value of 60,000 characters, as a prompt has, comes back as it was sent."""
    trace_id = send_span(backends, "long", text="x" * 60_000)
    wait_for(
        lambda: [
            len(span["attributes"][0]["value"]["stringValue"]) for span in find_spans(backends, trace_id)
        ],
        [60_000],
    )


def test_tempo_keeps_traces_of_many_megabytes(backends: Instance) -> None:
    """A trace that is larger than Tempo's usual 5 MB is found with all its spans."""
    trace_id = send_span(backends, "many", text="x" * 60_000)
    for _ in range(149):
        send_span(backends, "many", trace=trace_id, text="x" * 60_000)
    wait_for(lambda: len(find_spans(backends, trace_id)), 150)


def test_tempo_finds_a_trace_by_its_attributes(backends: Instance) -> None:
    """TraceQL finds a span that nobody named by id, soon after it was sent."""
    trace_id = send_span(backends, "searched", colour="blue")
    wait_for(lambda: find_traces(backends, '{span.colour="blue"}'), [trace_id])


def test_tempo_counts_spans_of_every_kind(backends: Instance) -> None:
    """TraceQL metrics know inner spans that are neither roots nor of a server."""
    send_span(backends, "counted", parent="0102030405060708")
    wait_for(lambda: _count_spans(backends, '{name="counted"}'), 1)


def test_loki_takes_many_attributes(backends: Instance) -> None:
    """A record with 200 attributes, which Loki refuses as it comes, is found by any of them."""
    send_log(backends, "wide", **{f"key.{number}": "value" for number in range(200)})
    wait_for(lambda: find_lines(backends, '{service_name="shop"} | key_199="value"'), ["wide"])


def test_loki_cuts_a_long_line_and_keeps_it(backends: Instance) -> None:
    """A body above the limit of a line is stored as far as it goes instead of being refused."""
    send_log(backends, "y" * 1_500_000, size="long")
    wait_for(
        lambda: [len(line) for line in find_lines(backends, '{service_name="shop"} | size="long"')], [1 << 20]
    )


def test_loki_has_few_labels(backends: Instance) -> None:
    """Only service.name, service.namespace and deployment.environment.name make streams."""
    send_log(backends, "labelled", colour="blue")
    wait_for(lambda: find_lines(backends, '{service_name="shop"} | colour="blue"'), ["labelled"])
    labels = ask(backends.url("loki") + "/loki/api/v1/labels")["data"]
    assert set(labels) <= {"service_name", "service_namespace", "deployment_environment_name"}


def test_prometheus_takes_samples_that_are_an_hour_late(backends: Instance) -> None:
    """What was pushed after an outage lies where it belongs; beyond the window it is refused with 400."""
    send_sample(backends, "late", 2)
    send_sample(backends, "late", 1, age=HOUR)
    wait_for(lambda: find_values(backends, "late_total", time.time() - HOUR + 5), [1.0])
    with pytest.raises(urllib.error.HTTPError, match="400"):
        send_sample(backends, "late", 0, age=3 * HOUR)


def test_a_counter_counts_from_its_first_sample(backends: Instance) -> None:
    """Since a sample says when its counter began, increase() knows of a counter that was sent once."""
    send_sample(backends, "first", 3)
    wait_for(lambda: bool(find_values(backends, "increase(first_total[1m]) > 0")), True)


def _count_spans(instance: Instance, selector: str) -> int:
    """The spans of the last five minutes, as TraceQL counts them."""
    query = instance.url("tempo") + "/api/metrics/query_range"
    series = ask(query, q=f"{selector} | count_over_time()", since="5m").get("series", ())
    return sum(int(sample.get("value", 0)) for one in series for sample in one["samples"])
