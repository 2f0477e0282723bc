"""Proofs of the Collector's redaction: secrets of all kinds in all places go, what is harmless stays.

What goes into the real Collector is compared with what it hands on. Where it and our own redactor differ, a
test says so, so that docs/redaction.md stays true.
"""

from __future__ import annotations

import random
import re
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from taskscope.redaction import Redactor, is_secret_name
from tests.collector.records import (
    ForeignSpan,
    from_attributes,
    from_value,
    to_attributes,
    to_request,
    to_value,
)
from tests.taskscope.corpus import CONTEXTS, KINDS, Sample, leaks, make_samples
from tests.taskscope.test_redaction import LOOK_ALIKES, NAMES

from .collecting import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

REDACTOR = Redactor()
SAMPLES = tuple(make_samples(random.Random(20261128), 2))
IN_PROSE = tuple(sample for sample in SAMPLES if sample.context == "prose")
TOKEN = "ghp_" + "a1B2" * 9
MARKER = "[redacted:github_token]"
_MARKERS = re.compile(r"\[redacted:[a-z_]+\]")
_NOW = 1_795_000_000_000_000_000


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    folder = tmp_path_factory.mktemp("collector")
    with Collector(folder, ["transform/redact_rest"], "redaction.yaml") as running:
        yield running


@pytest.fixture(scope="module")
def naked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """The same without any processor."""
    with Collector(tmp_path_factory.mktemp("naked"), []) as running:
        yield running


def everywhere(text: str) -> list[tuple[str, Any]]:
    """Requests of all signals with the text in each place where text can stand, and the path of each."""
    return [("traces", in_spans(text)), ("logs", in_logs(text)), ("metrics", in_metrics(text))]


def values(text: str) -> dict[str, Any]:
    """Attributes with the text as a value, and in lists and maps, among others of all kinds."""
    return {
        "plain": text,
        "list": ["first", text, 3],
        "map": {"number": 4, "inner": {"deep": [1, {"note": text}]}},
        "gen_ai.usage.input_tokens": 120,
        "ratio": 0.5,
        "is_done": True,
    }


def in_spans(text: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    block = request.resource_spans.add()
    block.resource.attributes.extend(to_attributes(values(text)))
    group = block.scope_spans.add()
    group.scope.name, group.scope.version = f"scope {text}", f"version {text}"
    group.scope.attributes.extend(to_attributes(values(text)))
    span = group.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name=f"run {text}")
    span.trace_state = f"vendor={text}"
    span.status.message = f"failed: {text}"
    span.attributes.extend(to_attributes(values(text)))
    span.events.add(name=f"event {text}").attributes.extend(to_attributes(values(text)))
    return request


def in_logs(text: str) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    block = request.resource_logs.add()
    block.resource.attributes.extend(to_attributes(values(text)))
    group = block.scope_logs.add()
    group.scope.name = f"scope {text}"
    group.scope.attributes.extend(to_attributes(values(text)))
    for body in (text, values(text), ["first", values(text)], [[text]]):
        record = group.log_records.add(time_unix_nano=_NOW, severity_text=text, event_name=text)
        record.body.CopyFrom(to_value(body))
        record.attributes.extend(to_attributes(values(text)))
    return request


def in_metrics(text: str) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    block = request.resource_metrics.add()
    block.resource.attributes.extend(to_attributes(values(text)))
    group = block.scope_metrics.add()
    group.scope.name = f"scope {text}"
    group.scope.attributes.extend(to_attributes(values(text)))
    for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
        metric = group.metrics.add(name=kind)
        metric.metadata.extend(to_attributes(values(text)))
        if kind in {"sum", "histogram", "exponential_histogram"}:
            getattr(metric, kind).aggregation_temporality = 2
        point = getattr(metric, kind).data_points.add(time_unix_nano=_NOW)
        point.attributes.extend(to_attributes(values(text)))
    return request


def texts(message: Message) -> Iterator[str]:
    """All texts of a message, however deep."""
    for field, value in message.ListFields():
        for item in value if field.is_repeated else [value]:
            if isinstance(item, Message):
                yield from texts(item)
            elif isinstance(item, str):
                yield item


def through(collector: Collector, path: str, request: Any) -> Any:
    """What the Collector made of a request."""
    taken = len(collector.sink.arrived)
    collector.send(path, request)
    [arrived] = collector.sink.arrived[taken:]
    return arrived.message


def attributes_through(collector: Collector, *spans: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of the attributes of spans."""
    taken = len(collector.sink.spans)
    collector.send("traces", to_request(ForeignSpan("span", attributes) for attributes in spans))
    return [from_attributes(span.attributes) for span in collector.sink.spans[taken:]]


# --- secrets go


@pytest.mark.parametrize("kind", KINDS)
def test_secrets_of_a_kind_go_from_all_places(collector: Collector, kind: str) -> None:
    """Nothing that the Collector hands on holds ten characters of the secret, wherever it stood."""
    for sample in IN_PROSE:
        if sample.kind == kind:
            for path, request in everywhere(sample.text):
                made = through(collector, path, request)
                assert [text for text in texts(made) if leaks(sample, text)] == []
                assert not any("suspect" in text for text in texts(made))


def test_without_the_processor_every_place_leaks(naked: Collector) -> None:
    """The measure sees each secret in each place, so that the law above means something."""
    for path, request in everywhere(IN_PROSE[0].text):
        found = sum(leaks(IN_PROSE[0], text) for text in texts(through(naked, path, request)))
        assert found == sum(leaks(IN_PROSE[0], text) for text in texts(request)) > 0


URL_TAILS = {"aws secret json", "password json", "secret env"}
"""Of quoted values inside of a URL our own redactor takes the closing quote, or what follows, as well."""


def test_the_collector_redacts_as_our_redactor_does(collector: Collector) -> None:
    """All kinds in 8 contexts come out alike but for the rule's name where two meet; none leaks there."""
    made: list[dict[str, Any]] = []
    for start in range(0, len(SAMPLES), 100):
        made += attributes_through(collector, *({"it": it.text} for it in SAMPLES[start : start + 100]))
    assert len(made) == len(SAMPLES) > 1000
    assert [s for s, it in zip(SAMPLES, made, strict=True) if leaks(s, it["it"])] == []
    differing = {
        (sample.kind, sample.context)
        for sample, it in zip(SAMPLES, made, strict=True)
        if _MARKERS.sub("*", it["it"]) != _MARKERS.sub("*", REDACTOR.text(sample.text)[0])
    }
    assert differing <= {(kind, "url") for kind in URL_TAILS}


@pytest.mark.parametrize("size", [100, 5_000, 200_000])
def test_a_secret_goes_from_a_long_text(collector: Collector, size: int) -> None:
    """Begin, middle and end of a text of any length are looked at."""
    filler = "the quick brown fox " * (size // 20)
    [made] = attributes_through(collector, {"it": f"{TOKEN} {filler} {TOKEN} {filler} {TOKEN}"})
    assert made == {"it": f"{MARKER} {filler} {MARKER} {filler} {MARKER}"}


def test_a_not_a_number_hides_nothing(collector: Collector) -> None:
    """JSON knows no NaN: a span with one, also in a map, is looked at all the same."""
    given = {"bad": float("nan"), "map": {"bad": float("inf"), "note": TOKEN}, "it": TOKEN, "n": 3}
    [made] = attributes_through(collector, given)
    assert made["it"] == made["map.note"] == MARKER
    assert made["n"] == 3
    assert repr(made["bad"]) == "nan"


@pytest.mark.parametrize("body", [None, 5, 0.5, True, b"raw", "", "plain", [], {}, [1, None], {"a": None}])
def test_a_body_of_any_kind_stays_beside_a_secret(collector: Collector, body: Any) -> None:
    """A log record whose attribute holds a secret loses that alone, whatever its body is."""
    request = in_logs("harmless")
    del request.resource_logs[0].scope_logs[0].log_records[1:]
    sent = request.resource_logs[0].scope_logs[0].log_records[0]
    sent.body.CopyFrom(to_value(body))
    del sent.attributes[:]
    sent.attributes.extend(to_attributes({"it": TOKEN, "n": 1}))
    record = through(collector, "logs", request).resource_logs[0].scope_logs[0].log_records[0]
    assert from_value(record.body) == body
    assert from_attributes(record.attributes) == {"it": MARKER, "n": 1}


def test_records_without_anything_pass(collector: Collector) -> None:
    """Empty resources, scopes, spans, log records and points go through as they are."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    span.events.add()
    made = through(collector, "traces", request).resource_spans[0].scope_spans[0]
    assert list(texts(made)) == []
    assert len(made.spans[0].events) == 1


# --- names


@pytest.mark.parametrize("name, is_secret", NAMES)
@pytest.mark.parametrize("value", ["short", "two\nlines", 1234, 0.5, ["a", 1], {"a": {"b": 1}}])
def test_a_value_goes_by_its_name(collector: Collector, name: str, is_secret: bool, value: Any) -> None:
    """What our redactor takes for a secret's name loses its value, whatever its type; nothing else does."""
    [made] = attributes_through(collector, {name: value, "n": 1})
    assert made == {name: "[redacted:secret_name]" if is_secret_name(name) else value, "n": 1}
    assert is_secret_name(name) is is_secret


def test_names_inside_of_maps_count(collector: Collector) -> None:
    """A secret's name in a map, or in the body of a log, loses its value; the map is laid flat for that."""
    given = {"it": {"api_key": 5, "deep": [{"password": "x"}], "n": 1}, "other": ["kept"]}
    [made] = attributes_through(collector, given)
    marker = "[redacted:secret_name]"
    assert made == {"it.api_key": marker, "it.deep.0.password": marker, "it.n": 1, "other.0": "kept"}
    request = in_logs("harmless")
    request.resource_logs[0].scope_logs[0].log_records[0].body.CopyFrom(to_value(given["it"]))
    record = through(collector, "logs", request).resource_logs[0].scope_logs[0].log_records[0]
    assert from_value(record.body) == {"api_key": marker, "deep.0.password": marker, "n": 1}


# --- what is harmless stays


@pytest.mark.parametrize("text", ["harmless", *LOOK_ALIKES])
def test_what_is_harmless_passes_unchanged(collector: Collector, naked: Collector, text: str) -> None:
    """Names, numbers, lists, maps and texts that only look like secrets come out as without the processor."""
    for path, request in everywhere(text):
        assert through(collector, path, request) == through(naked, path, request)


def test_numbers_of_the_contract_survive_beside_a_secret(collector: Collector) -> None:
    """A span with a secret keeps its counts, flags and times, with their types."""
    given = {
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.reasoning.output_tokens": 7,
        "taskscope.cost.micro_usd": 1200,
        "gen_ai.token.type": "input",
        "taskscope.tool.output_truncated": True,
        "ratio": 0.25,
        "finish": ["stop"],
        "raw": b"\x00\xff",
    }
    [made] = attributes_through(collector, {**given, "it": f"key {TOKEN} end"})
    assert made == {**given, "it": f"key {MARKER} end"}


def test_source_code_stays(collector: Collector) -> None:
    """Of the standard library's lines the Collector changes those alone that our redactor changes."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    lines = [
        line
        for name in ("argparse.py", "urllib/request.py", "http/cookiejar.py", "getpass.py", "netrc.py")
        for line in (folder / name).read_text("utf-8").splitlines()
    ]
    made: list[dict[str, Any]] = []
    for start in range(0, len(lines), 1000):
        made += attributes_through(collector, *({"line": line} for line in lines[start : start + 1000]))
    assert len(lines) > 5000
    changed = [line for line, it in zip(lines, made, strict=True) if it["line"] != line]
    assert set(changed) <= {line for line in lines if REDACTOR.text(line)[1]}


# --- where the two differ


def test_links_and_exemplars_are_out_of_reach(collector: Collector, naked: Collector) -> None:
    """No processor reaches the attributes of links and exemplars: their senders must keep secrets out."""
    request = in_spans("harmless")
    link = request.resource_spans[0].scope_spans[0].spans[0].links.add(trace_id=b"l" * 16, span_id=b"l" * 8)
    link.attributes.extend(to_attributes({"it": TOKEN}))
    assert through(collector, "traces", request) == request
    metrics = in_metrics("harmless")
    point = metrics.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0]
    point.exemplars.add(time_unix_nano=_NOW).filtered_attributes.extend(to_attributes({"it": TOKEN}))
    assert through(collector, "metrics", metrics) == through(naked, "metrics", metrics)
    assert TOKEN in "".join(texts(through(collector, "metrics", metrics)))


def test_bytes_and_the_names_of_metrics_are_left_alone(collector: Collector, naked: Collector) -> None:
    """A token in bytes, or in a metric's name, unit or description, stays; our own redactor takes it."""
    [made] = attributes_through(collector, {"raw": TOKEN.encode()})
    assert made == {"raw": TOKEN.encode()}
    assert REDACTOR.attributes({"raw": TOKEN.encode()})[0] == {"raw": MARKER.encode()}
    metrics = in_metrics("harmless")
    metric = metrics.resource_metrics[0].scope_metrics[0].metrics[0]
    metric.name, metric.unit, metric.description = f"name {TOKEN}", TOKEN, TOKEN
    assert through(collector, "metrics", metrics) == through(naked, "metrics", metrics)
    assert TOKEN in "".join(texts(through(collector, "metrics", metrics)))


def test_a_flag_goes_by_its_name_too(collector: Collector) -> None:
    """Our redactor leaves booleans under a secret's name, the Collector masks them like all else."""
    [made] = attributes_through(collector, {"has_password": True})
    assert made == {"has_password": "[redacted:secret_name]"}
    assert REDACTOR.attributes({"has_password": True})[0] == {"has_password": True}


def test_a_token_in_a_name_goes_without_its_rule(collector: Collector) -> None:
    """The name of an attribute that holds a token is masked, but not told which rule did it."""
    [made] = attributes_through(collector, {f"header.{TOKEN}": 1, "n": 2})
    assert made == {"header.[redacted:key]": 1, "n": 2}


def test_lists_and_maps_are_laid_flat_beside_a_secret(collector: Collector) -> None:
    """Where a list or a map holds a secret, those of the whole record become attributes of their own."""
    [made] = attributes_through(collector, {"it": [TOKEN, 1], "map": {"a": [True]}, "n": 2})
    assert made == {"it.0": MARKER, "it.1": 1, "map.a.0": True, "n": 2}


def test_context_names_are_complete() -> None:
    """The corpus says secrets of at least 40 kinds in 8 contexts."""
    assert len(KINDS) >= 40
    assert {sample.context for sample in SAMPLES} == set(CONTEXTS)
    assert isinstance(SAMPLES[0], Sample)
