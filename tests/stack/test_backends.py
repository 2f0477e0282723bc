"""Real runs through agent tier and gateway: what the backends have is what the hosts recorded.

A fleet of real runs (`stack.fleet`) fills them once; each law below asks Tempo, Prometheus and Loki by HTTP.
"""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stack.fleet import Fleet
from stack.instance import Instance
from stack.programs import find_collector_configs
from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.semconv.metrics import METRICS, RECORDER_QUEUE_SIZE, Metric, prometheus_label
from taskscope.store.history import open_history
from taskscope.store.nodes import SpanNode, read_node
from taskscope.store.shapes import shape_span
from tests.taskscope.otlp_sink import records_of

from .metadata import describe, read_metadata
from .otlp import ask, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stack.fleet import Run

ONLY_ON_PAGE: Final = {
    RECORDER_QUEUE_SIZE: "it is a process's own: sent under the host's name, one process would speak for all",
}
"""Metrics of the contract that do not come by OTLP, and why; `test_scraping.py` sees them."""
TYPED: Final = """
exporters:
  otlp_http/typed: {endpoint: "${env:TYPED_PROMETHEUS_URL}/api/v1/otlp"}
service:
  pipelines:
    metrics/in: {exporters: [otlp_http/prometheus, otlp_http/typed]}
"""
"""The gateway sends all metrics to a second Prometheus as well, which keeps what they say of type and unit.

Not by default: with that feature of 3.14, `last_over_time` keeps those labels and `min_over_time` drops them,
so that their difference, by which the pages count, finds nothing.
"""
ALL: Final = '{service_name=~".+"}'
"""Loki wants one label at least."""


class Filled(NamedTuple):
    """The backends and what filled them; services and the stuck task still run."""

    instance: Instance
    typed: Instance
    """The other Prometheus."""
    fleet: Fleet
    shown: dict[str, dict[str, Any]]
    """What `taskscope show --json` says, by the id of the task."""
    logs: dict[str, list[dict[str, Any]]]
    """What `taskscope logs --json` says."""

    def runs(self, *scenarios: str) -> list[Run]:
        """The runs that have ended, of these scenarios or of all, foreign ones excepted."""
        ended = (run for run in self.fleet.runs if run.task_id and run.outcome != "running")
        return [run for run in ended if not scenarios or run.scenario in scenarios]

    def find_trace(self, trace_id: str) -> list[SpanNode]:
        """All spans of a trace that Tempo has."""
        url = f"{self.instance.url('tempo')}/api/traces/{trace_id}"
        request = urllib.request.Request(url, headers={"Accept": "application/protobuf"})
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=30) as answer:
            # Tempo's own message has the spans under the same number as the request by which they came.
            message = ExportTraceServiceRequest.FromString(answer.read())
            return [read_node(span.SerializeToString()) for span in records_of(message)]
        return []  # it does not know the trace (yet)

    def search(self, query: str) -> set[str]:
        """The traces that a TraceQL query finds."""
        answer = ask(self.instance.url("tempo") + "/api/search", q=query, limit="1000")
        # Ids come without their leading zeros.
        return {found["traceID"].rjust(32, "0") for found in answer.get("traces") or ()}

    def query(self, query: str) -> list[dict[str, Any]]:
        """The series that a PromQL query finds now."""
        answer = ask(self.instance.url("prometheus") + "/api/v1/query", query=query)
        return list(answer["data"]["result"])

    def lines(self, query: str) -> list[tuple[str, str, dict[str, str]]]:
        """Time, text and facts of each line that a LogQL query finds, oldest first."""
        answer = ask(
            self.instance.url("loki") + "/loki/api/v1/query_range",
            query=query,
            limit="5000",
            start=str(int((time.time() - 3600) * 1e9)),
        )
        return sorted(
            (at, text, stream["stream"])
            for stream in answer["data"]["result"]
            for at, text in stream["values"]
        )


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("backends")
    overlay = folder / "typed.yaml"
    overlay.write_text(TYPED)
    features = {"prometheus": ("--enable-feature=type-and-unit-labels",)}
    with (
        Instance(folder / "typed", arguments=features) as typed,
        Instance(
            folder / "stack",
            configs={"gateway": (*find_collector_configs("gateway"), overlay)},
            environment={"TYPED_PROMETHEUS_URL": typed.url("prometheus")},
        ) as instance,
    ):
        typed.start("prometheus")
        instance.start()
        with Fleet(folder / "fleet", instance.url("agent", "otlp_http")) as fleet:
            fleet.serve()
            fleet.fall_ill()
            fleet.fill()
            for host in fleet.hosts.values():
                host.ship()
            filled = Filled(instance, typed, fleet, {}, {})
            for run in filled.runs():
                host, task = fleet.hosts[run.host], str(run.task_id)
                filled.shown[task] = unmarked(host.ask("show", task))
                filled.logs[task] = host.ask("logs", task)
            yield filled


# --- the fleet itself


def test_every_run_ends_as_it_was_made_to(filled: Filled) -> None:
    """Outcome, error, calls, tokens and cost in the ledgers are those of the script."""
    assert {
        run.scenario: (run.expected, run.seen) for run in filled.fleet.runs if not run.is_as_expected
    } == {}


# --- Tempo


def plant(nodes: Iterable[SpanNode]) -> SpanNode:
    """The only tree of these spans, children by start."""
    ordered = sorted(nodes, key=lambda node: (node.start_ns, node.span_id))
    by_id = {node.span_id: node for node in ordered}
    assert len(by_id) == len(ordered), "a span stands there twice"
    (root,) = (node for node in ordered if node.parent_id is None)
    for node in ordered:
        if node is not root:
            by_id[node.parent_id or ""].children.append(node)
    return root


def test_the_tree_of_each_task_is_that_of_show(filled: Filled) -> None:
    """Ids, names, parents, kinds, status, attributes and times of each span, killed tasks' included."""
    for run in filled.runs():
        shown = filled.shown[str(run.task_id)]
        size = sum(1 for _ in walk(shown))
        wait_for(lambda run=run: len(filled.find_trace(run.trace_id)), size)  # type: ignore[misc]
        found = unmarked(shape_span(plant(filled.find_trace(run.trace_id))))
        recorded = {span["span_id"]: span for span in walk(shown)}
        other = [(span, recorded.get(span["span_id"])) for span in walk(found) if differs(span, recorded)]
        assert other == [], f"{run.scenario}: spans that differ, as Tempo and as show has them"
        assert found == shown, run


def differs(span: dict[str, Any], recorded: dict[str, dict[str, Any]]) -> bool:
    """Whether a span differs from the recorded one in anything but what is below it."""
    own = recorded.get(span["span_id"], {})
    return {**span, "children": 0} != {**own, "children": 0}


def test_events_links_and_messages_of_each_task_are_those_of_the_store(filled: Filled) -> None:
    """What `show` does not print of a span arrives, too."""
    for run in filled.runs():
        with open_history(filled.fleet.hosts[run.host].folder / "home" / "taskscope.db") as history:
            recorded = {node.span_id: said_of(node) for node in history.tree(run.trace_id).walk()}
        assert {node.span_id: said_of(node) for node in filled.find_trace(run.trace_id)} == recorded, run


def said_of(node: SpanNode) -> tuple[Any, ...]:
    return node.status_message, node.events, node.links


def unmarked(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree without the store's own mark on what the picky backend refused, however late it came."""
    for span in walk(tree):
        span["attributes"].pop(attr.QUARANTINE_REASON, None)
    return tree


def walk(span: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield span
    for child in span["children"]:
        yield from walk(child)


def test_a_killed_task_is_a_whole_tree(filled: Filled) -> None:
    """Each span from the task down to the command that ran is there, with ERROR and interrupted."""
    (run,) = filled.runs("killed")
    way = [
        (span["name"].split()[0], span["status"], span["attributes"]["error.type"])
        for span in walk(shape_span(plant(filled.find_trace(run.trace_id))))
        if span["status"] == "ERROR"
    ]
    names = ["invoke_workflow", "invoke_agent", "step", "execute_tool", "python"]
    assert [name for name, _, _ in way][-5:] == names
    assert {error for _, _, error in way[-5:]} == {"interrupted"}


def test_each_task_is_found_by_its_id(filled: Filled) -> None:
    """TraceQL finds by the id of a task this task's trace alone."""
    for run in filled.runs():
        query = f'{{ span.{attr.TASK_ID} = "{run.task_id}" }}'
        wait_for(lambda query=query: filled.search(query), {run.trace_id})  # type: ignore[misc]


@pytest.mark.parametrize("key", [attr.TASK_OUTCOME, attr.GEN_AI_TOOL_NAME, attr.ERROR_TYPE])
def test_tasks_are_found_by_outcome_tool_and_error(filled: Filled, key: str) -> None:
    """TraceQL finds, for each value that the hosts recorded, the traces that have it, and no other one."""
    expected: dict[str, set[str]] = {}
    for run in filled.runs():
        for span in walk(filled.shown[str(run.task_id)]):
            if key in span["attributes"]:
                expected.setdefault(span["attributes"][key], set()).add(run.trace_id)
    assert len(expected) > 2, "too few values to tell apart"
    own = {run.trace_id for run in filled.runs()}
    for value, traces in expected.items():
        query = f'{{ span.{key} = "{value}" }}'
        wait_for(lambda query=query: filled.search(query) & own, traces)  # type: ignore[misc]
    assert not filled.search(f'{{ span.{key} = "no such thing" }}')


def test_foreign_agents_are_found_in_our_words(filled: Filled) -> None:
    """Whatever the dialect, tokens and tool are found under the names of the GenAI conventions."""
    foreign = {run.trace_id for run in filled.fleet.runs if run.scenario == "foreign"}
    assert len(foreign) == 8
    for query in (
        f'{{ span.{attr.GEN_AI_USAGE_INPUT_TOKENS} = 420 && span.{attr.GEN_AI_OPERATION_NAME} = "chat" }}',
        f'{{ span.{attr.GEN_AI_TOOL_NAME} = "search" }}',
        f'{{ span.{attr.GEN_AI_AGENT_NAME} = "writer" }}',
    ):
        wait_for(lambda query=query: filled.search(query), foreign)  # type: ignore[misc]


# --- Prometheus


def series_of(metric: Metric) -> str:
    """The name by which a metric of the contract is found."""
    return metric.prometheus_name + ("_count" if metric.instrument == "histogram" else "")


NEVER_FILLED: Final[dict[str, set[str]]] = {
    # Embedders do not say which model answered.
    metrics.OPERATION_DURATION.name: {"gen_ai_response_model"},
    # No search in an index and no request to `serve` fails.
    metrics.HTTP_SERVER_DURATION.name: {"error_type"},
    metrics.DB_DURATION.name: {"error_type"},
    metrics.RETRIEVAL_STAGE_DURATION.name: {"error_type"},
}
"""Labels that are documented and that nothing in the fleet fills."""
HOSTS: Final = 'job=~"agents|nightly"'
NOT_THEIRS: Final = {"__name__", "job", "instance", "service_version", "le"}
"""Labels that every series has, or that are Prometheus' own."""


@pytest.mark.parametrize(
    "metric", [one for one in METRICS if one not in ONLY_ON_PAGE], ids=lambda one: one.name
)
def test_each_metric_of_the_contract_is_there(filled: Filled, metric: Metric) -> None:
    """Under its documented name, with its documented labels and no other one; a histogram with its bounds."""
    wait_for(lambda: bool(filled.query(f"{series_of(metric)}{{{HOSTS}}}")), expected=True)
    found = filled.query(f"{series_of(metric)}{{{HOSTS}}}")
    labels = {label for series in found for label in series["metric"]} - NOT_THEIRS
    assert labels == {prometheus_label(label) for label in metric.labels} - NEVER_FILLED.get(
        metric.name, set()
    )
    if metric.instrument == "histogram":
        buckets = filled.query(f"{metric.prometheus_name}_bucket{{{HOSTS}}}")
        assert {float(series["metric"]["le"]) for series in buckets} == {*metric.buckets, math.inf}
        assert filled.query(f"{metric.prometheus_name}_sum{{{HOSTS}}}")


def test_each_metric_of_the_contract_says_its_type_and_unit(filled: Filled) -> None:
    """What arrives has the documented type and unit, in all series of a name, whatever the name says."""
    url = filled.typed.url("prometheus") + "/api/v1/series"
    pushed = [metric for metric in METRICS if metric not in ONLY_ON_PAGE]
    expected: dict[str, set[tuple[str | None, str | None]]] = {
        metric.name: {describe(metric)} for metric in pushed
    }

    def look() -> dict[str, set[tuple[str | None, str | None]]]:
        series = ask(url, **{"match[]": f"{{{HOSTS}}}"})["data"]
        return {
            metric.name: {
                (one.get("__type__"), one.get("__unit__"))
                for one in series
                if one["__name__"] == series_of(metric)
            }
            for metric in pushed
        }

    wait_for(look, expected)


NOT_OURS: Final = (
    "target_info",
    "taskscope:",
    "ALERTS",
    "traces_span_metrics_",
    "http_server_active_requests",
    "http_server_request_body_size",
    "http_server_response_body_size",
)
"""Beginnings of what is there beside the contract: of Prometheus, of our rules, of the gateway, and
of the HTTP server's own instrumentation."""


def test_no_metric_is_there_beside_the_contract(filled: Filled) -> None:
    """Whatever the hosts push, but for what is named above, has a name of the contract."""
    url = filled.instance.url("prometheus") + "/api/v1/series"
    theirs = {series["__name__"] for series in ask(url, **{"match[]": f"{{{HOSTS}}}"})["data"]}
    parts = {
        f"{metric.prometheus_name}{part}"
        for metric in METRICS
        for part in (("_bucket", "_count", "_sum") if metric.instrument == "histogram" else ("",))
    }
    assert {name for name in theirs - parts if not name.startswith(NOT_OURS)} == set()


def test_what_is_derived_says_its_type_and_unit(filled: Filled) -> None:
    """Whatever the gateway counts for foreign senders has a name of the contract, and its type and unit."""
    told = read_metadata(filled.instance, "gateway-derived")
    ours = {name: said for name, said in told.items() if not name.startswith("traces_span_metrics_")}
    assert len(ours) > 5
    contract = {metric.prometheus_name: describe(metric) for metric in METRICS}
    assert ours == {name: contract.get(name) for name in ours}


def test_what_the_ledgers_say_was_spent_is_what_prometheus_says(filled: Filled) -> None:
    """Tokens, known cost and outcomes of each service are the sums of its runs."""
    for host in filled.fleet.hosts.values():
        runs = [run.seen for run in filled.runs() if run.host == host.name]
        of_host = f'job="{host.service}"'
        tokens = "gen_ai_client_inference_usage_{}_tokens_total"
        sums = {
            tokens.format("input"): sum(run.input_tokens or 0 for run in runs),
            tokens.format("output"): sum(run.output_tokens or 0 for run in runs),
            "taskscope_llm_cost_micro_usd_total": sum(run.micro_usd or 0 for run in runs),
        }
        for name, expected in sums.items():
            query = f"sum({name}{{{of_host}}})"
            wait_for(lambda query=query: read_value(filled.query(query)), float(expected))  # type: ignore[misc]
        query = f"sum by (taskscope_task_outcome) (taskscope_task_executions_total{{{of_host}}}) > 0"
        outcomes = {
            one["metric"]["taskscope_task_outcome"]: float(one["value"][1]) for one in filled.query(query)
        }
        assert outcomes == {key: float(value) for key, value in Counter(run.outcome for run in runs).items()}


def read_value(found: list[dict[str, Any]]) -> float:
    return float(found[0]["value"][1]) if found else math.nan


# --- Loki


def tell_time(time_ns: str) -> str:
    whole, rest = divmod(int(time_ns), 10**9)
    moment = datetime.fromtimestamp(whole, UTC).replace(microsecond=rest // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def spell(value: Any) -> str:
    """A value as Loki keeps it: as text."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)


def shape_record(log: dict[str, Any]) -> tuple[Any, ...]:
    """A record of `logs --json` as it is expected in Loki."""
    facts = {key.replace(".", "_"): spell(value) for key, value in log["attributes"].items()}
    facts |= {"event_name": log["event"]} if log["event"] else {}
    facts |= {
        "severity_text": log["severity"],
        "severity_number": str(log["severity_number"]),
        "trace_id": log["trace_id"],
        "span_id": log["span_id"],
    }
    return log["time"], spell(log["message"] or log["event"]), sorted(facts.items())


LOKIS: Final = (
    "detected_level",
    "flags",
    "observed_timestamp",
    "scope_",
    "service_",
    "telemetry_",
    "taskscope_redacted",
)
"""Beginnings of facts that are Loki's own, the scope's or the resource's."""


def shape_line(line: tuple[str, str, dict[str, str]]) -> tuple[Any, ...]:
    at, text, facts = line
    own = sorted((key, value) for key, value in facts.items() if not key.startswith(LOKIS))
    return tell_time(at), text, own


@pytest.mark.parametrize("way", ["trace", "task"])
def test_every_log_of_a_task_is_found(filled: Filled, way: str) -> None:
    """By the id of its trace and by that of its task Loki gives what `taskscope logs --json` gives."""
    for run in filled.runs():
        expected = sorted(shape_record(log) for log in filled.logs[str(run.task_id)])
        assert expected
        fact = f'trace_id="{run.trace_id}"' if way == "trace" else f'taskscope_task_id="{run.task_id}"'
        wait_for(lambda fact=fact: len(filled.lines(f"{ALL} | {fact}")), len(expected))  # type: ignore[misc]
        assert sorted(map(shape_line, filled.lines(f"{ALL} | {fact}"))) == expected, run


# --- from one to the other


def test_one_id_leads_from_a_metric_to_the_trace_to_its_logs_and_back(filled: Filled) -> None:
    """The exemplars of tasks name traces that Tempo has, and lines of these traces name their spans."""
    tasks = {run.trace_id: run for run in filled.runs()}
    query = f'traces_span_metrics_duration_seconds_bucket{{{HOSTS}, gen_ai_operation_name="invoke_workflow"}}'
    since = {"start": str(time.time() - 3600), "end": str(time.time() + 60)}

    def find() -> set[tuple[str, str]]:
        answer = ask(filled.instance.url("prometheus") + "/api/v1/query_exemplars", query=query, **since)
        dots = (dot["labels"] for series in answer["data"] for dot in series["exemplars"])
        return {(dot["trace_id"], dot["span_id"]) for dot in dots}

    wait_for(lambda: bool(find()), expected=True)
    for trace_id, span_id in find():
        spans = {node.span_id: node for node in filled.find_trace(trace_id)}
        assert spans[span_id].attributes[attr.TASK_ID] == tasks[trace_id].task_id
        lines = filled.lines(f'{ALL} | trace_id="{trace_id}"')
        assert span_id in {facts["span_id"] for _, _, facts in lines} <= set(spans)
        assert {facts["trace_id"] for _, _, facts in filled.lines(f'{ALL} | span_id="{span_id}"')} == {
            trace_id
        }
