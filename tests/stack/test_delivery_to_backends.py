"""The real Tempo, Loki and Prometheus: what was sent while they were down is found in them afterwards."""

from __future__ import annotations

import http
import re
import urllib.request
from typing import TYPE_CHECKING, Final

from .otlp import ask, find_spans, wait_for
from .senders import PROOF_ID, SERVICE, SIGNALS, Sender, Span, encode_logs, encode_spans, post, trace_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stack.instance import Instance

BACKENDS: Final = ("tempo", "loki", "prometheus")
NOTHING: Final[dict[str, set[str]]] = {signal: set() for signal in SIGNALS}
ITEMS: Final = 100
REQUESTS: Final = 24
SPANS: Final = 500
"""Of one of them: 12,000 traces, more than Tempo takes in a moment by default."""


class Search:
    """Looks for what was sent, and not again for what it has found."""

    def __init__(self, instance: Instance, sent: Mapping[str, set[str]]) -> None:
        self._instance = instance
        self._missing = {signal: set(ids) for signal, ids in sent.items()}

    def __call__(self) -> dict[str, set[str]]:
        """What is still missing."""
        found = {"traces": self._traces(), "logs": self._logs(), "metrics": self._metrics()}
        self._missing = {signal: ids - found[signal] for signal, ids in self._missing.items()}
        return self._missing

    def _traces(self) -> set[str]:
        ids = self._missing["traces"]
        return {one for one in ids if find_spans(self._instance, trace_of(bytes.fromhex(one)).hex())}

    def _logs(self) -> set[str]:
        return {line.rpartition(" ")[2] for line in find_lines(self._instance)}

    def _metrics(self) -> set[str]:
        answer = ask(self._instance.url("prometheus") + "/api/v1/query", query="proof_items_total")
        return {series["metric"]["proof_id"] for series in answer["data"]["result"]}


def find_lines(instance: Instance, more: str = "") -> list[str]:
    """The log lines of our sender in Loki, at most 5,000."""
    query = f'{{service_name="{SERVICE}"}} {more}'
    answer = ask(instance.url("loki") + "/loki/api/v1/query_range", query=query, limit="5000")
    return [line for stream in answer["data"]["result"] for _, line in stream["values"]]


def test_what_was_sent_while_all_backends_were_down_is_found_after_a_kill(instance: Instance) -> None:
    """Before, during and after the outage: each span by its trace, each log line, each series."""
    instance.start(*BACKENDS, "gateway", "agent")
    sender = Sender(instance.url("agent", "otlp_http"))
    sender.send(ITEMS)
    wait_for(Search(instance, sender.sent), NOTHING)
    instance.stop(*BACKENDS)
    sender.send(ITEMS)
    instance.kill("agent", "gateway")
    instance.start("agent")
    sender.send(ITEMS)
    instance.start(*BACKENDS, "gateway")
    wait_for(Search(instance, sender.sent), NOTHING)


def read_sum(instance: Instance, name: str, metric: str) -> int:
    with urllib.request.urlopen(instance.url(name) + "/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(int(float(value)) for value in re.findall(rf"(?m)^{metric}(?:\{{.*\}})? (\S+)$", text))


def test_tempo_takes_all_that_waited_at_once(instance: Instance) -> None:
    """After an outage thousands of traces come in a moment: none is discarded, none refused for good."""
    instance.start("gateway")
    url = instance.url("gateway", "otlp_http")
    sender = Sender(url)
    ids = []
    for _ in range(REQUESTS):
        spans = [Span() for _ in range(SPANS)]
        sender.deliver("traces", encode_spans(spans))
        ids.append(spans[0].trace_id.hex())
    instance.start("tempo")
    wait_for(lambda: read_sum(instance, "tempo", "tempo_distributor_spans_received_total"), REQUESTS * SPANS)
    wait_for(lambda: [len(find_spans(instance, one)) for one in ids], [1] * REQUESTS)
    assert read_sum(instance, "tempo", "tempo_discarded_spans_total") == 0


HUGE: Final[dict[str, object]] = {
    **{f"key.{number}": "v" * 10_000 for number in range(300)},
    "k" * 5_000: "value",
    "list": ["v" * 100_000] * 10,
    "map": {"deep": {"deeper": "v" * 1_000_000}},
    "exception.stacktrace": "Traceback " * 20_000,
    "error.type": "RuntimeError",
}
"""More of everything than Loki takes in one record."""


def test_a_log_record_that_loki_would_refuse_is_cut_so_that_it_takes_it(instance: Instance) -> None:
    """What is larger than Loki's limits is stored all the same, and so is what came with it."""
    instance.start("loki", "gateway")
    bodies: list[tuple[object, Mapping[str, object]]] = [
        ("small before", {PROOF_ID: "before"}),
        ("huge text " * 50_000, HUGE),
        ({"huge": {"map": "v" * 2_000_000}}, HUGE),
        ("small after", {PROOF_ID: "after"}),
    ]
    refused = post(f"{instance.url('loki')}/otlp/v1/logs", encode_logs(bodies[1:2]))
    assert refused == http.HTTPStatus.BAD_REQUEST, "the control: Loki itself takes it"
    assert post(f"{instance.url('gateway', 'otlp_http')}/v1/logs", encode_logs(bodies)) == http.HTTPStatus.OK
    begins = [*(str(body)[:5] for body, _ in bodies[:2] + bodies[3:]), '{"hug']
    wait_for(lambda: sorted(line[:5] for line in find_lines(instance)), sorted(begins))
    # Those of the contract are kept, however many others there are.
    assert len(find_lines(instance, '| error_type="RuntimeError" | exception_stacktrace=~"Traceback.*"')) == 2


def test_an_event_has_its_name_in_loki(instance: Instance) -> None:
    """As an attribute, and as its line when it has no body; a body stays what it is."""
    instance.start("loki", "gateway")
    sender = Sender(instance.url("gateway", "otlp_http"))
    sender.deliver("logs", encode_logs([(None, {}), ("text", {})], event="proof.happened"))
    query = '| event_name="proof.happened"'
    wait_for(lambda: sorted(find_lines(instance, query)), ["proof.happened", "text"])
