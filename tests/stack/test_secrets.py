"""Secrets go into the whole committed gateway wherever text can stand; nothing of them comes out anywhere.

test_redaction.py proves one processor. Here it is those before and behind it too: what they copy from other
dialects, cut, and count under labels.
"""

from __future__ import annotations

import functools
import json
import random
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from collector.derived import DERIVED
from stack.instance import Instance
from stack.places import ROOT
from stack.programs import find_collector_configs
from taskscope.semconv import attributes as attr
from taskscope.semconv import spans as contract
from taskscope.semconv.metrics import USAGE_INPUT_TOKENS, prometheus_label
from taskscope.store.dialects import DIALECTS, SPAN_NAME, Dialect, Fill, Form
from taskscope.store.roles import BY_OPERATION, Role
from tests.collector.records import from_attributes, to_attributes
from tests.taskscope.corpus import Sample, leaks, make_samples

from .otlp import wait_for
from .senders import Sender, Span, encode_logs, encode_spans
from .sinks import Sinks
from .test_redaction import everywhere, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES: Final = [one for one in make_samples(random.Random(20261128), 1) if one.context == "prose"]
GITHUB: Final = next(sample for sample in SAMPLES if sample.kind == "github classic")
BY_NAME: Final = {"db.password": "open sesame"}
"""A secret that its name alone tells."""
TOKENS: Final = 120
COPIES: Final = [(dialect, fill) for dialect in DIALECTS for fill in dialect.fills if fill.source is not None]
"""What becomes an attribute of the contract by being copied; each is sent in a span of its own."""
WHO: Final = ("service.name", "service.namespace", "deployment.environment.name")
LABELS: Final = sorted({label for one in DERIVED for label in one.metric.labels})
FIXED: Final = {label for one in DERIVED for label in one.fixed}
OPEN: Final = {
    label
    for label in LABELS
    if label not in FIXED and not (label.startswith("taskscope.") and label in contract.CLOSED_SETS)
}
"""Labels whose values are the sender's own words."""
CALLS: Final = {name for name, role in BY_OPERATION.items() if role is Role.INFERENCE}


def make_copied(dialect: Dialect, fill: Fill, text: str) -> Span:
    """A foreign span with the text in the attribute that is copied; a count is a count, beside the text."""
    marks = dict.fromkeys(dialect.keys[:1], "mark")
    when = {key: values[0] for key, values in fill.when.items()}
    source = {} if fill.source == SPAN_NAME else {str(fill.source): TOKENS if is_count(fill) else text}
    return Span(text, {**marks, **when, **source, "note": text})


def is_count(fill: Fill) -> bool:
    return fill.form is Form.COUNT


def make_counted(text: str) -> Iterator[Span]:
    """A span for each set of derived metrics, with the text in each of their labels."""
    labels = dict.fromkeys(LABELS, text)
    for operation in (*map(str, BY_OPERATION), text):
        counts = {attr.GEN_AI_USAGE_INPUT_TOKENS: TOKENS, attr.EMBEDDINGS_INPUTS: 2}
        yield Span(text, {**labels, attr.GEN_AI_OPERATION_NAME: operation, **counts}, error=text)
    step = {key: value for key, value in labels.items() if key != attr.GEN_AI_OPERATION_NAME}
    yield Span(text, step)
    yield Span(text, {key: value for key, value in step.items() if key != attr.STEP_KIND})


def find_attributes(message: Message) -> Iterator[Any]:
    """All lists of attributes, and of what stands in maps, that are not empty."""
    for field, value in message.ListFields():
        items = list(value) if field.is_repeated else [value]
        if field.is_repeated and isinstance(items[0], KeyValue):
            yield value
        for item in items:
            if isinstance(item, Message):
                yield from find_attributes(item)


@dataclass
class Passage:
    """What was sent through a gateway, and all that can be read of it afterwards."""

    copied: list[tuple[Fill, Span]]
    spans: dict[bytes, Any]
    """What is stored, by span id."""
    texts: set[str]
    """All texts that are stored, and the lines of the gateway's log and of its own metrics."""
    derived: list[Any]
    """The samples that are scraped."""

    @functools.cached_property
    def everything(self) -> str:
        said = [text for one in self.derived for text in (one.name, *one.labels, *one.labels.values())]
        seen = [str(one.exemplar.labels) for one in self.derived if one.exemplar]
        return "\n".join([*self.texts, *said, *seen])


def send_through(instance: Instance, samples: list[Sample]) -> Passage:
    """Send each text in all places, and wait until all is stored and counted."""
    copied: list[tuple[Fill, Span]] = []
    with Sinks(instance) as sinks:
        instance.start("gateway")
        sender = Sender(instance.url("gateway", "otlp_http"))
        for sample in samples:
            requests = everywhere(sample.text)
            for _, request in requests:
                for attributes in list(find_attributes(request)):
                    attributes.extend(to_attributes(BY_NAME))
            these = [(fill, make_copied(dialect, fill, sample.text)) for dialect, fill in COPIES]
            copied += these
            for path, request in requests:
                sender.deliver(path, request.SerializeToString())
            sender.deliver("traces", encode_spans(span for _, span in these))
            who = dict.fromkeys(WHO, sample.text)
            sender.deliver("traces", encode_spans(make_counted(sample.text), who))
            sender.deliver("logs", encode_logs([(None, {"note": sample.text})], sample.text))
        spans = len(samples) * (1 + len(COPIES) + len(list(make_counted(""))))
        wait_for(lambda: (len(sinks.spans), len(sinks.logs)), (spans, 5 * len(samples)))
        wait_for(lambda: len(sinks.metrics), 5 * len(samples))
        counted = spans - len(samples)  # the one of `everywhere` names no service: span_metrics skips it
        wait_for(lambda: count(read_derived(instance), "traces_span_metrics_calls_total"), float(counted))
        stored = {span.span_id: span for span in sinks.spans}
        said = {text for message in sinks.messages for text in texts(message)}
        derived = read_derived(instance)
        said |= set(read_page(instance, "metrics").splitlines())
        said |= set(instance.log("gateway").read_text().splitlines())
    return Passage(copied, stored, said, derived)


def read_page(instance: Instance, port: str) -> str:
    """A page of the gateway's metrics as Prometheus asks for it, with exemplars."""
    request = urllib.request.Request(
        instance.url("gateway", port) + "/metrics",
        headers={"Accept": "application/openmetrics-text; version=1.0.0"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        page: str = answer.read().decode()
        return page


def read_derived(instance: Instance) -> list[Any]:
    families = text_string_to_metric_families(read_page(instance, "derived"))  # type: ignore[no-untyped-call]
    return [sample for family in families for sample in family.samples]


def count(samples: list[Any], name: str) -> float:
    return sum(float(sample.value) for sample in samples if sample.name == name)


@pytest.fixture(scope="module")
def passage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passage]:
    """A secret of each kind in all places, through the committed gateway."""
    with Instance(tmp_path_factory.mktemp("gateway")) as instance:
        yield send_through(instance, SAMPLES)


@pytest.fixture(scope="module")
def naked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passage]:
    """One secret through the same gateway without its redaction."""
    folder = tmp_path_factory.mktemp("naked")
    overlay = folder / "overlay.json"
    pipelines = yaml.safe_load((ROOT / "collector" / "gateway.yaml").read_text())["service"]["pipelines"]
    processors = {
        name: {"processors": [one for one in pipeline["processors"] if one != "transform/redact_rest"]}
        for name, pipeline in pipelines.items()
        if "processors" in pipeline
    }
    overlay.write_text(json.dumps({"service": {"pipelines": processors}}))
    configs = {"gateway": (*find_collector_configs("gateway"), overlay)}
    with Instance(folder, configs=configs) as instance:
        yield send_through(instance, [GITHUB])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.kind))
def test_nothing_of_a_secret_arrives_anywhere(passage: Passage, sample: Sample) -> None:
    """Not ten characters of it in traces, logs, metrics, derived ones too, and in what the gateway says."""
    assert not leaks(sample, passage.everything), [text for text in passage.texts if leaks(sample, text)]


def test_nothing_arrives_that_its_name_calls_a_secret(passage: Passage, naked: Passage) -> None:
    """In no attribute and in no map of a log's body; without the redaction it does."""
    [(name, value)] = BY_NAME.items()
    assert value not in passage.everything
    assert name in passage.everything
    assert value in naked.everything


def test_a_copy_says_what_is_left_of_its_original(passage: Passage) -> None:
    """What comes to a name of the contract from another dialect is copied clean, and numbers as they are."""
    for fill, sent in passage.copied:
        stored = passage.spans[sent.span_id]
        said = from_attributes(stored.attributes)
        original = stored.name if fill.source == SPAN_NAME else said[str(fill.source)]
        if fill.form is Form.HEAD:
            original = original.partition(".")[0]
        assert said[fill.target] == (TOKENS if is_count(fill) else original), (fill, sent.name)


def test_tokens_survive(passage: Passage) -> None:
    """Beside secrets of all kinds each count is stored as it was sent, and counted."""
    sent = sum(fill.target == attr.GEN_AI_USAGE_INPUT_TOKENS for fill, _ in passage.copied)
    sent += len(SAMPLES) * len(CALLS)
    calls = [from_attributes(span.attributes) for span in passage.spans.values()]
    tokens = [
        call[attr.GEN_AI_USAGE_INPUT_TOKENS]
        for call in calls
        if call.get(attr.GEN_AI_OPERATION_NAME) in CALLS and attr.GEN_AI_USAGE_INPUT_TOKENS in call
    ]
    assert tokens == [TOKENS] * sent
    assert count(passage.derived, USAGE_INPUT_TOKENS.prometheus_name) == sent * TOKENS


def test_without_the_redaction_all_of_it_leaks(naked: Passage) -> None:
    """Each copy, each open label of derived metrics, and the texts of all signals: they are places indeed."""
    for fill, sent in naked.copied:
        said = from_attributes(naked.spans[sent.span_id].attributes)
        assert is_count(fill) or leaks(GITHUB, said[fill.target])
    leaking = {key for one in naked.derived for key, value in one.labels.items() if leaks(GITHUB, value)}
    assert leaking >= {prometheus_label(key) for key in (*OPEN, *WHO)}
    given = {text for _, request in everywhere(GITHUB.text) for text in texts(request)}
    assert {text for text in given if leaks(GITHUB, text)} <= naked.texts
