"""The scale overlay: which traces are kept is known beforehand, what is counted is all of them."""

from __future__ import annotations

import re
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stack.programs import find_collector_configs
from taskscope.semconv import attributes as attr

from .senders import Sender, Span, encode_spans
from .sinks import Sinks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stack.instance import Instance

    from .conftest import MakeInstance

EACH: Final = 20
BASELINE_PERCENT: Final = 30.0
SLOW_MS: Final = 20_000
EXPENSIVE: Final = 250_000
SUCCEEDED: Final = {attr.TASK_OUTCOME: "succeeded"}
ROOT: Final = b""
_DECIDED: Final = "otelcol_processor_tail_sampling_global_count_traces_sampled"
_WAITING: Final = "otelcol_processor_tail_sampling_new_trace_id_received"
_CALLS: Final = "traces_span_metrics_calls_total"
_WAITS: Final = ("TASKSCOPE_SAMPLING_WAIT", "TASKSCOPE_SAMPLING_WAIT_AFTER_ROOT")


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

    def keeps(self, span: Span) -> bool:
        return is_in_baseline(span.trace_id) if self.is_kept is None else self.is_kept


def probe(status: str) -> dict[str, object]:
    return {attr.HEALTH_CHECK: "store", attr.HEALTH_STATUS: status}


KINDS: Final = {
    "good": Kind(None, SUCCEEDED),
    "error": Kind(True, SUCCEEDED, error="boom"),
    "slow": Kind(True, SUCCEEDED, seconds=SLOW_MS / 1000 + 1),
    "not quite slow": Kind(None, SUCCEEDED, seconds=SLOW_MS / 1000 - 1),
    "expensive call": Kind(True, {attr.COST_MICRO_USD: EXPENSIVE + 1}),
    "expensive call as a double": Kind(True, {attr.COST_MICRO_USD: EXPENSIVE + 1.0}),
    "expensive task": Kind(True, {attr.TASK_COST_MICRO_USD: EXPENSIVE + 1}),
    "not quite expensive": Kind(None, {attr.COST_MICRO_USD: EXPENSIVE, attr.TASK_COST_MICRO_USD: EXPENSIVE}),
    "interrupted task": Kind(True, {attr.TASK_OUTCOME: "interrupted"}),
    "interrupted span": Kind(True, {attr.ERROR_TYPE: "interrupted"}),
    "still running": Kind(True, parent_id=b"12345678"),
    "forced by a span": Kind(True, {"sampling.priority": 1}),
    "forced by a resource": Kind(True, resource={"sampling.priority": "1"}),
    "not forced": Kind(None, {"sampling.priority": 0}),
    "healthy probe": Kind(False, probe("pass")),
    "healthy probe with an error": Kind(True, probe("pass"), error="late"),
    "warning probe": Kind(True, probe("warn")),
    "failing probe": Kind(True, probe("fail")),
}


def make_traces(kind: Kind) -> list[Span]:
    return [
        Span(attributes=kind.attributes, seconds=kind.seconds, error=kind.error, parent_id=kind.parent_id)
        for _ in range(EACH)
    ]


def start(
    make_instance: MakeInstance, *programs: str, wait: str, percent: float = BASELINE_PERCENT
) -> Instance:
    instance = make_instance(
        configs={"gateway": find_collector_configs("gateway", "scale")},
        environment={
            "TASKSCOPE_SAMPLING_WAIT": wait,
            "TASKSCOPE_SAMPLING_WAIT_AFTER_ROOT": wait,
            "TASKSCOPE_SAMPLING_SLOW_MS": str(SLOW_MS),
            "TASKSCOPE_SAMPLING_EXPENSIVE_MICRO_USD": str(EXPENSIVE),
            "TASKSCOPE_SAMPLING_BASELINE_PERCENT": str(percent),
        },
    )
    instance.start(*programs)
    return instance


def read_sum(instance: Instance, metric: str, port: str = "metrics") -> int:
    """A metric of the gateway, summed over its series; 0 before it has any."""
    with urllib.request.urlopen(instance.url("gateway", port) + "/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(int(float(value)) for value in re.findall(rf"(?m)^{metric}(?:\{{.*\}})? (\S+)$", text))


def wait_until(read: Callable[[], int], wanted: int, patience: float = 60.0) -> None:
    """Wait until a number has a value; the comparison fails when it does not come."""
    deadline = time.monotonic() + patience
    while (value := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert value == wanted


def span_ids(spans: Iterable[Span]) -> dict[str, set[str]]:
    return {"traces": {span.span_id.hex() for span in spans}, "logs": set(), "metrics": set()}


def test_the_kept_set_is_exactly_the_expected_one_and_metrics_count_all(make_instance: MakeInstance) -> None:
    """Of each kind all, none or the known share are stored; a healthy probe is not even counted."""
    instance = start(make_instance, "gateway", wait="2s")
    sender = Sender(instance.url("gateway", "otlp_http"))
    traces = {name: make_traces(kind) for name, kind in KINDS.items()}
    kept = {name: [span for span in spans if KINDS[name].keeps(span)] for name, spans in traces.items()}
    is_open = [name for name, kind in KINDS.items() if kind.is_kept is None]
    assert 0 < sum(len(kept[name]) for name in is_open) < len(is_open) * EACH
    looked_at = (len(KINDS) - 1) * EACH
    with Sinks(instance) as sinks:
        for name, spans in traces.items():
            sender.deliver("traces", encode_spans(spans, KINDS[name].resource))
        wait_until(lambda: read_sum(instance, _DECIDED), looked_at)
        sinks.wait_for(span_ids(span for spans in kept.values() for span in spans))
        stored = {span.trace_id for span in sinks.spans}
    for name, spans in traces.items():
        assert [span for span in spans if span.trace_id in stored] == kept[name], name
    wait_until(lambda: read_sum(instance, _CALLS, "derived"), looked_at)


def test_a_late_span_follows_the_decision_of_its_trace(make_instance: MakeInstance) -> None:
    """That of a kept trace is kept; that of a trace that was not is not, even if it failed."""
    instance = start(make_instance, "gateway", wait="1s", percent=0)
    sender = Sender(instance.url("gateway", "otlp_http"))
    kept, left = Span(error="boom"), Span()
    late = [Span(trace_id=first.trace_id, parent_id=first.span_id, error="late") for first in (kept, left)]
    with Sinks(instance) as sinks:
        sender.deliver("traces", encode_spans([kept, left]))
        wait_until(lambda: read_sum(instance, _DECIDED), 2)
        # The last one tells that the others are through: batches keep their order.
        last = Span(error="last")
        sender.deliver("traces", encode_spans(late))
        sender.deliver("traces", encode_spans([last]))
        assert not sinks.wait_for(span_ids([kept, late[0], last]))["traces"]
        assert {span.trace_id for span in sinks.spans} == {kept.trace_id, last.trace_id}


def test_what_waits_for_its_decision_is_lost_by_a_kill_and_nothing_else(make_instance: MakeInstance) -> None:
    """The documented loss: what is decided arrives, what the gateway took and has not decided does not."""
    instance = start(make_instance, "gateway", "agent", wait="1s", percent=100)
    sender = Sender(instance.url("agent", "otlp_http"))
    decided, undecided, later = ([Span() for _ in range(EACH)] for _ in range(3))
    sender.deliver("traces", encode_spans(decided))
    wait_until(lambda: read_sum(instance, _DECIDED), EACH)
    instance.stop("gateway")
    instance.environment |= dict.fromkeys(_WAITS, "1h")
    instance.start("gateway")
    sender.deliver("traces", encode_spans(undecided))
    wait_until(lambda: read_sum(instance, _WAITING), EACH)
    instance.kill("gateway")
    instance.environment |= dict.fromkeys(_WAITS, "1s")
    with Sinks(instance) as sinks:
        instance.start("gateway")
        sender.deliver("traces", encode_spans(later))
        assert not sinks.wait_for(span_ids([*decided, *later]))["traces"]
        # The agent tier sends again what it has not heard of; it had heard of all but the last moment's.
        found = {span.trace_id for span in sinks.spans}
    assert not found & {span.trace_id for span in undecided}


def test_what_waits_for_its_decision_is_decided_when_the_gateway_is_told_to_end(
    make_instance: MakeInstance,
) -> None:
    """SIGTERM loses none, though no backend answers."""
    instance = start(make_instance, "gateway", wait="1h", percent=100)
    spans = [Span() for _ in range(EACH)]
    Sender(instance.url("gateway", "otlp_http")).deliver("traces", encode_spans(spans))
    wait_until(lambda: read_sum(instance, _WAITING), EACH)
    assert instance.stop("gateway") == {"gateway": False}
    with Sinks(instance) as sinks:
        instance.start("gateway")
        assert not sinks.wait_for(span_ids(spans))["traces"]
