"""The scale overlay: which traces are kept is known beforehand, what is counted is all of them."""

from __future__ import annotations

import json
import re
import urllib.request
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prometheus_client.parser import text_string_to_metric_families

from stack.programs import find_collector_configs
from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.semconv.metrics import prometheus_label

from .otlp import wait_for
from .senders import Sender, Span, encode_spans
from .sinks import Sinks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from stack.instance import Instance

    from .conftest import MakeInstance

EACH: Final = 20
BASELINE_PERCENT: Final = 30.0
SLOW_MS: Final = 20_000
EXPENSIVE: Final = 250_000
ROOT: Final = b""
OF_A_ROOT_ELSEWHERE: Final = b"12345678"
TASK: Final = {attr.GEN_AI_OPERATION_NAME: "invoke_workflow", attr.TASK_OUTCOME: "succeeded"}
CALL: Final = {
    attr.GEN_AI_OPERATION_NAME: "chat",
    attr.GEN_AI_USAGE_INPUT_TOKENS: 700,
    attr.GEN_AI_USAGE_OUTPUT_TOKENS: 30,
    attr.COST_MICRO_USD: 11,
}
"""What each kind is sent as, so that there are outcomes, tokens and cost to count of all of them."""
_DECIDED: Final = "otelcol_processor_tail_sampling_global_count_traces_sampled"
_WAITING: Final = "otelcol_processor_tail_sampling_new_trace_id_received"
_QUEUED: Final = r'otelcol_processor_batch_batch_send_size_sum\{[^}]*"batch/sampled"[^}]*\}'
"""Spans that `batch/sampled` handed over, counted when the queue's file has them."""
_SPANS: Final = "traces_span_metrics_calls_total"
_INPUT, _OUTPUT, _COST, _TASKS = (
    metric.prometheus_name
    for metric in (
        metrics.USAGE_INPUT_TOKENS,
        metrics.USAGE_OUTPUT_TOKENS,
        metrics.LLM_COST,
        metrics.TASK_EXECUTIONS,
    )
)


def is_in_baseline(trace_id: bytes, percent: float = BASELINE_PERCENT) -> bool:
    """Whether the probabilistic policy keeps a trace: FNV-1a of its salt and the id, against the share."""
    value = 0xCBF29CE484222325
    for byte in b"default-hash-seed" + trace_id:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value <= percent / 100 * 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class Kind:
    """Traces of one span that are alike."""

    is_kept: bool | None
    """None: as the baseline has it."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    resource: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 0.01
    error: str | None = None
    parent_id: bytes = ROOT
    is_counted: bool = True

    def keeps(self, span: Span) -> bool:
        return is_in_baseline(span.trace_id) if self.is_kept is None else self.is_kept


def probe(status: str) -> dict[str, object]:
    return {attr.HEALTH_CHECK: "store", attr.HEALTH_STATUS: status}


KINDS: Final = {
    "good": Kind(None),
    "error": Kind(True, error="boom"),
    "slow": Kind(True, seconds=SLOW_MS / 1000 + 1),
    "not quite slow": Kind(None, seconds=SLOW_MS / 1000 - 1),
    "expensive call": Kind(True, {attr.COST_MICRO_USD: EXPENSIVE + 1}),
    "expensive call as a double": Kind(True, {attr.COST_MICRO_USD: EXPENSIVE + 1.0}),
    "expensive task": Kind(True, {attr.TASK_COST_MICRO_USD: EXPENSIVE + 1}),
    "not quite expensive": Kind(None, {attr.COST_MICRO_USD: EXPENSIVE, attr.TASK_COST_MICRO_USD: EXPENSIVE}),
    "interrupted task": Kind(True, {attr.TASK_OUTCOME: "interrupted"}),
    "interrupted span": Kind(True, {attr.ERROR_TYPE: "interrupted"}),
    "still running": Kind(True, parent_id=OF_A_ROOT_ELSEWHERE),
    "forced by a span": Kind(True, {"sampling.priority": 1}),
    "forced by a resource": Kind(True, resource={"sampling.priority": "1"}),
    "not forced": Kind(None, {"sampling.priority": 0}),
    "healthy probe": Kind(False, probe("pass"), is_counted=False),
    "healthy probe with an error": Kind(True, probe("pass"), error="late"),
    "warning probe": Kind(True, probe("warn")),
    "failing probe": Kind(True, probe("fail")),
}


def make_traces(kind: Kind) -> list[Span]:
    return [
        Span(
            attributes={**role, **kind.attributes},
            seconds=kind.seconds,
            error=kind.error,
            parent_id=kind.parent_id,
        )
        for role in (TASK, CALL)
        for _ in range(EACH)
    ]


def expect_counts(kind: Kind) -> Counter[str]:
    """What is to be counted of a kind, however few of its traces are kept."""
    if not kind.is_counted:
        return Counter()
    task, call = {**TASK, **kind.attributes}, {**CALL, **kind.attributes}
    return Counter(
        {
            _SPANS: 2 * EACH,
            f"{_TASKS} {task[attr.TASK_OUTCOME]}": EACH,
            _INPUT: EACH * 700,
            _OUTPUT: EACH * 30,
            _COST: EACH * int(str(call[attr.COST_MICRO_USD]).removesuffix(".0")),
        }
    )


def start(
    make_instance: MakeInstance,
    *,
    after_root: str,
    without_root: str,
    percent: float = 100,
    more: Iterable[Path] = (),
) -> Instance:
    """A gateway of the scale overlay; `more`: files that change its configuration."""
    instance = make_instance(
        configs={"gateway": (*find_collector_configs("gateway", "scale"), *more)},
        environment={
            "TASKSCOPE_SAMPLING_WAIT": without_root,
            "TASKSCOPE_SAMPLING_WAIT_AFTER_ROOT": after_root,
            "TASKSCOPE_SAMPLING_SLOW_MS": str(SLOW_MS),
            "TASKSCOPE_SAMPLING_EXPENSIVE_MICRO_USD": str(EXPENSIVE),
            "TASKSCOPE_SAMPLING_BASELINE_PERCENT": str(percent),
        },
    )
    instance.start("gateway")
    return instance


def read(instance: Instance, port: str) -> str:
    with urllib.request.urlopen(instance.url("gateway", port) + "/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def read_sum(instance: Instance, metric: str) -> int:
    """A metric of the gateway itself, summed over its series; 0 before it has any."""
    found = re.findall(rf"(?m)^{metric}(?:\{{.*\}})? (\S+)$", read(instance, "metrics"))
    return sum(int(float(value)) for value in found)


def read_counts(instance: Instance) -> dict[str, Counter[str]]:
    """What the gateway derived from spans, by service: spans, tokens, cost, and tasks by outcome."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for family in text_string_to_metric_families(read(instance, "derived")):
        for sample in family.samples:
            if sample.name in {_SPANS, _INPUT, _OUTPUT, _COST, _TASKS} and sample.value:
                outcome = sample.labels.get(prometheus_label(attr.TASK_OUTCOME), "")
                counts[sample.labels["job"]][f"{sample.name} {outcome}".strip()] += int(sample.value)
    return dict(counts)


def span_ids(spans: Iterable[Span]) -> dict[str, set[str]]:
    return {"traces": {span.span_id.hex() for span in spans}, "logs": set(), "metrics": set()}


def test_the_kept_set_is_exactly_the_expected_one_and_metrics_count_all(make_instance: MakeInstance) -> None:
    """Of each kind all, none or the known share are stored; spans, tokens, cost and outcomes are all counted.

    Each kind is a service, so that one which lost some does not hide behind the others. A healthy probe is
    not even counted.
    """
    instance = start(make_instance, after_root="2s", without_root="2s", percent=BASELINE_PERCENT)
    sender = Sender(instance.url("gateway", "otlp_http"))
    traces = {name: make_traces(kind) for name, kind in KINDS.items()}
    kept = {name: [span for span in spans if KINDS[name].keeps(span)] for name, spans in traces.items()}
    is_open = [name for name, kind in KINDS.items() if kind.is_kept is None]
    assert 0 < sum(len(kept[name]) for name in is_open) < sum(len(traces[name]) for name in is_open)
    expected = {name: counts for name, kind in KINDS.items() if (counts := expect_counts(kind))}
    with Sinks(instance) as sinks:
        for name, spans in traces.items():
            sender.deliver("traces", encode_spans(spans, {"service.name": name, **KINDS[name].resource}))
        wait_for(lambda: read_sum(instance, _DECIDED), len(expected) * 2 * EACH)
        sinks.wait_for(span_ids(span for spans in kept.values() for span in spans))
        stored = {span.trace_id for span in sinks.spans}
    for name, spans in traces.items():
        assert [span for span in spans if span.trace_id in stored] == kept[name], name
    wait_for(lambda: read_counts(instance), expected)


def test_a_late_span_follows_the_decision_of_its_trace(make_instance: MakeInstance) -> None:
    """That of a kept trace is kept; that of a trace that was not is not, even if it failed."""
    instance = start(make_instance, after_root="1s", without_root="1s", percent=0)
    sender = Sender(instance.url("gateway", "otlp_http"))
    kept, left = Span(error="boom"), Span()
    late = [Span(trace_id=first.trace_id, parent_id=first.span_id, error="late") for first in (kept, left)]
    with Sinks(instance) as sinks:
        sender.deliver("traces", encode_spans([kept, left]))
        wait_for(lambda: read_sum(instance, _DECIDED), 2)
        # The last one tells that the others are through: batches keep their order.
        last = Span(error="last")
        sender.deliver("traces", encode_spans(late))
        sender.deliver("traces", encode_spans([last]))
        assert not sinks.wait_for(span_ids([kept, late[0], last]))["traces"]
        assert {span.trace_id for span in sinks.spans} == {kept.trace_id, last.trace_id}


def find_left(instance: Instance, at_least: Iterable[Span] = ()) -> set[bytes]:
    """The traces that come when a killed gateway is started again, by its usual files."""
    last = Span()
    instance.configs["gateway"] = find_collector_configs("gateway", "scale")
    with Sinks(instance) as sinks:
        instance.start("gateway")
        Sender(instance.url("gateway", "otlp_http")).deliver("traces", encode_spans([last]))
        # What the queue still had was there before it.
        assert not sinks.wait_for(span_ids([*at_least, last]))["traces"]
        return {span.trace_id for span in sinks.spans} - {last.trace_id}


def test_a_kill_loses_what_is_undecided_and_nothing_that_is_in_the_queue(make_instance: MakeInstance) -> None:
    """SIGKILL: kept traces that `batch/sampled` handed to the queue all come, undecided ones never."""
    instance = start(make_instance, after_root="1s", without_root="1h")
    sender = Sender(instance.url("gateway", "otlp_http"))
    queued = [Span() for _ in range(EACH)]
    undecided = [Span(parent_id=OF_A_ROOT_ELSEWHERE) for _ in range(EACH)]
    sender.deliver("traces", encode_spans(queued))
    wait_for(lambda: read_sum(instance, _QUEUED), EACH)
    sender.deliver("traces", encode_spans(undecided))
    wait_for(lambda: read_sum(instance, _WAITING), 2 * EACH)
    instance.kill("gateway")
    assert find_left(instance, queued) == {span.trace_id for span in queued}


def test_a_kill_loses_what_was_kept_and_waits_for_its_batch(
    make_instance: MakeInstance, tmp_path: Path
) -> None:
    """Between decision and queue lies a batch in memory; one that waits an hour shows all that it holds."""
    slow = tmp_path / "slow.yaml"
    slow.write_text(json.dumps({"processors": {"batch/sampled": {"timeout": "1h"}}}))
    instance = start(make_instance, after_root="1s", without_root="1s", more=[slow])
    spans = [Span() for _ in range(EACH)]
    Sender(instance.url("gateway", "otlp_http")).deliver("traces", encode_spans(spans))
    wait_for(lambda: read_sum(instance, _DECIDED), EACH)
    assert read_sum(instance, _QUEUED) == 0
    instance.kill("gateway")
    assert find_left(instance) == set()


def test_what_waits_is_decided_and_written_when_the_gateway_is_told_to_end(
    make_instance: MakeInstance,
) -> None:
    """SIGTERM loses none, though no backend answers."""
    instance = start(make_instance, after_root="1h", without_root="1h")
    spans = [Span() for _ in range(EACH)]
    Sender(instance.url("gateway", "otlp_http")).deliver("traces", encode_spans(spans))
    wait_for(lambda: read_sum(instance, _WAITING), EACH)
    assert instance.stop("gateway") == {"gateway": False}
    with Sinks(instance) as sinks:
        instance.start("gateway")
        assert not sinks.wait_for(span_ids(spans))["traces"]
