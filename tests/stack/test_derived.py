"""What the gateway derives from spans of other senders: the numbers that our own receiver counts of them."""

from __future__ import annotations

import itertools
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector.derived import DERIVED, NOT_DERIVED
from taskscope.recorder.cleaning import Cleaner
from taskscope.recorder.foreign import ForeignReader
from taskscope.redaction import Redactor
from taskscope.semconv import attributes as attr
from taskscope.semconv.metrics import BY_NAME, METRICS, USAGE_INPUT_TOKENS, prometheus_label
from taskscope.store.aggregates import read_aggregates
from taskscope.store.database import open_database
from taskscope.store.foreign import ForeignIngest
from taskscope.store.tally import Histogram

from .otlp import wait_for
from .senders import Span, encode_spans, post

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from stack.instance import Instance
    from taskscope.store.aggregates import MetricPoint

Numbers = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Values that are not 0, by the name of the sample and the labels of the contract that are not empty."""

OPERATION = attr.GEN_AI_OPERATION_NAME
MODEL = {attr.GEN_AI_PROVIDER_NAME: "openai", attr.GEN_AI_REQUEST_MODEL: "gpt-9"}
CHAT = {OPERATION: "chat", **MODEL, attr.GEN_AI_RESPONSE_MODEL: "gpt-9-2026"}
EMBEDDINGS = {OPERATION: "embeddings", **MODEL}
ODD: tuple[object, ...] = (-1, 10**12, 10**12 + 1, 2.75, float("nan"), float("inf"), "12", True, [1])

CORPUS: tuple[dict[str, object], ...] = (
    # Calls of models, with all that they can say of tokens and money.
    {
        **CHAT,
        attr.GEN_AI_USAGE_INPUT_TOKENS: 1200,
        attr.GEN_AI_USAGE_OUTPUT_TOKENS: 300,
        attr.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 1000,
        attr.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: 64,
        attr.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: 128,
        attr.GEN_AI_TOKEN_MODALITY: "audio",
        attr.COST_MICRO_USD: 4321,
        attr.COST_STATUS: "known",
        attr.GEN_AI_AGENT_NAME: "coder",
        attr.TASK_KIND: "repair",
        attr.LLM_RETRY_COUNT: 2,
    },
    {**CHAT, attr.COST_STATUS: "unknown", attr.COST_UNKNOWN_REASON: "no_price_data"},
    {**CHAT, attr.COST_STATUS: "unknown", attr.COST_UNKNOWN_REASON: "nobody knows"},
    {**CHAT, attr.COST_STATUS: "a guess", attr.ERROR_TYPE: "RateLimitError"},
    {**CHAT, attr.ERROR_TYPE: "budget_exceeded", attr.GEN_AI_USAGE_INPUT_TOKENS: 7},
    {**CHAT, attr.LLM_MODE: "replay", attr.GEN_AI_USAGE_INPUT_TOKENS: 9, attr.COST_MICRO_USD: 5},
    {**CHAT, attr.LLM_RETRY_COUNT: 0},
    {OPERATION: "chat", attr.GEN_AI_PROVIDER_NAME: "local"},
    {OPERATION: "chat", attr.GEN_AI_PROVIDER_NAME: "local", attr.SERVER_ADDRESS: "127.0.0.1"},
    {OPERATION: "text_completion", attr.GEN_AI_USAGE_OUTPUT_TOKENS: 11},
    {OPERATION: "generate_content", attr.GEN_AI_USAGE_INPUT_TOKENS: 13},
    *({**CHAT, attr.GEN_AI_USAGE_INPUT_TOKENS: odd, attr.COST_MICRO_USD: odd} for odd in ODD),
    # The sum of its calls stands on an agent's span as well: it is not counted again.
    {
        OPERATION: "invoke_agent",
        attr.GEN_AI_AGENT_NAME: "coder",
        attr.GEN_AI_REQUEST_MODEL: "gpt-9",
        attr.GEN_AI_USAGE_INPUT_TOKENS: 5000,
        attr.COST_MICRO_USD: 99999,
    },
    {OPERATION: "invoke_agent", attr.ERROR_TYPE: "ValueError"},
    # Other dialects, to be made ours on either way.
    {
        "openinference.span.kind": "LLM",
        "llm.model_name": "claude-9",
        "llm.provider": "anthropic",
        "llm.token_count.prompt": 70,
        "llm.token_count.completion": 30,
        "llm.token_count.prompt_details.cache_read": 20,
    },
    {"openinference.span.kind": "AGENT", "agent.name": "planner", "llm.token_count.prompt": 70},
    {"openinference.span.kind": "TOOL", "tool.name": "search"},
    {"openinference.span.kind": "RETRIEVER"},
    {"traceloop.span.kind": "workflow", "traceloop.entity.name": "answer"},
    {OPERATION: "chat", "gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 5},
    # Tasks.
    {OPERATION: "invoke_workflow", attr.GEN_AI_WORKFLOW_NAME: "repair", attr.TASK_OUTCOME: "succeeded"},
    {
        OPERATION: "invoke_workflow",
        attr.TASK_KIND: "repair",
        attr.TASK_OUTCOME: "failed",
        attr.TASK_VERIFICATION: "failed",
        attr.ERROR_TYPE: "verification_failed",
    },
    {OPERATION: "invoke_workflow", attr.TASK_OUTCOME: "splendid", attr.TASK_VERIFICATION: 7},
    {OPERATION: "invoke_workflow"},
    # Plans, steps, tools, skills.
    {OPERATION: "plan", attr.PLAN_SOURCE: "llm", attr.PLAN_REASON: "initial", attr.PLAN_STEP_COUNT: 4},
    {OPERATION: "plan", attr.PLAN_SOURCE: "a hat"},
    {attr.STEP_KIND: "edit", attr.STEP_OUTCOME: "succeeded", attr.STEP_ATTEMPT: 1},
    {attr.STEP_KIND: "edit", attr.STEP_OUTCOME: "failed", attr.STEP_ATTEMPT: 2},
    {attr.STEP_KIND: "edit", attr.STEP_OUTCOME: "who knows", attr.HEALTH_CHECK: "disk"},
    {OPERATION: "execute_tool", attr.GEN_AI_TOOL_NAME: "pytest", attr.GEN_AI_TOOL_TYPE: "function"},
    {
        OPERATION: "execute_tool",
        attr.GEN_AI_TOOL_NAME: "skill",
        attr.GEN_AI_SKILL_NAME: "missing_colon",
        attr.SKILL_OUTCOME: "succeeded",
        attr.SKILL_SELECTION: "offered",
    },
    # Retrieval, embeddings, memory.
    {OPERATION: "retrieval", attr.RETRIEVAL_MODE: "hybrid", attr.RETRIEVAL_RESULTS: 8},
    {OPERATION: "retrieval", attr.RETRIEVAL_RESULTS: 8},
    {**EMBEDDINGS, attr.EMBEDDINGS_INPUTS: 10, attr.EMBEDDINGS_CACHE_HITS: 4, attr.COST_MICRO_USD: 3},
    {**EMBEDDINGS, attr.EMBEDDINGS_INPUTS: 2, attr.EMBEDDINGS_CACHE_HITS: 5, attr.COST_STATUS: "unknown"},
    {**EMBEDDINGS, attr.EMBEDDINGS_INPUTS: 2, attr.GEN_AI_USAGE_INPUT_TOKENS: 50, attr.CACHE_RESULT: "hit"},
    {OPERATION: "search_memory"},
    {OPERATION: "upsert_memory"},
    {OPERATION: "delete_memory"},
    {attr.RETRIEVAL_STAGE: "bm25", attr.DB_SYSTEM_NAME: "sqlite", attr.DB_COLLECTION_NAME: "code"},
    {attr.RETRIEVAL_STAGE: "bm25", attr.DB_SYSTEM_NAME: "sqlite", attr.ERROR_TYPE: "OperationalError"},
    {attr.RETRIEVAL_STAGE: "fuse"},
    {attr.PROCESS_EXECUTABLE_NAME: "git"},
    # Their service, their checks and their database are not this host's; nor is what plays no part.
    {attr.HEALTH_CHECK: "disk", attr.HEALTH_STATUS: "fail"},
    {attr.DB_SYSTEM_NAME: "postgresql"},
    {attr.HTTP_REQUEST_METHOD: "GET"},
    {OPERATION: "dream", attr.STEP_KIND: "edit"},
    {OPERATION: 7, attr.STEP_KIND: "read"},
    {"taskscope.derived.role": "inference", attr.GEN_AI_USAGE_INPUT_TOKENS: 1},
    {},
)


SECONDS = (0.004, 0.3, 0.0, 2.5, 95.0, -1.0, 3700.0)
"""Durations, in turn; one is of a clock that stepped back."""
FOREIGN = {"service.name": "crew", "service.instance.id": "crew-1"}


def encode(resource: Mapping[str, object], copies: int = 1) -> bytes:
    spans = [
        Span("work", attributes, seconds=SECONDS[number % len(SECONDS)])
        for number, attributes in enumerate(CORPUS * copies)
    ]
    return encode_spans(spans, resource)


@pytest.fixture
def gateway(instance: Instance) -> Instance:
    instance.start("gateway")
    return instance


def send(gateway: Instance, body: bytes) -> None:
    assert post(gateway.url("gateway", "otlp_http") + "/v1/traces", body) == HTTPStatus.OK


def read_derived(gateway: Instance) -> Numbers:
    """What the gateway shows of the contract's metrics."""
    with urllib.request.urlopen(gateway.url("gateway", "derived") + "/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    labels = {metric.prometheus_name: metric.labels for metric in METRICS}
    numbers: Numbers = {}
    for family in families:
        # The parser takes the end off the name of a counter.
        known = labels.get(family.name, labels.get(f"{family.name}_total"))
        if known is None:
            continue
        kept = {"le", *map(prometheus_label, known)}
        for sample in family.samples:
            if sample.value and not sample.name.endswith("_created"):
                said = frozenset(
                    (key, repr(float(value)) if key == "le" else value)
                    for key, value in sample.labels.items()
                    if key in kept and value
                )
                numbers[sample.name, said] = numbers.get((sample.name, said), 0) + sample.value
    return numbers


def read_own(store: Path) -> Numbers:
    """The same of what a store counts."""
    with closing(open_database(store, create=False, read_only=True)) as connection:
        points = read_aggregates(connection)
    numbers: Numbers = {}
    for point in points:
        for name, labels, value in _samples(point):
            if value:
                numbers[name, labels] = value
    return numbers


def _samples(point: MetricPoint) -> Iterator[tuple[str, frozenset[tuple[str, str]], float]]:
    metric = BY_NAME[point.name]
    labels = frozenset((prometheus_label(key), value) for key, value in point.labels if value)
    name, value = metric.prometheus_name, point.value
    if not isinstance(value, Histogram):
        yield name, labels, value
        return
    yield f"{name}_sum", labels, value.sum
    yield f"{name}_count", labels, value.count
    bounds = [*map(float, metric.buckets), float("inf")]
    for bound, count in zip(bounds, itertools.accumulate(value.bucket_counts), strict=True):
        yield f"{name}_bucket", labels | {("le", repr(bound))}, count


def count_here(store: Path, body: bytes) -> Numbers:
    """What our own receiver counts of a request, but for its accounts and what takes more than a span."""
    received = ForeignReader(Cleaner(Redactor())).spans(body)
    assert not received.refused
    with closing(open_database(store, create=True)) as connection:
        ForeignIngest(connection).write_spans(received.records)
    left_out = {metric.prometheus_name for metric in NOT_DERIVED}
    counted = {one.metric.prometheus_name for one in DERIVED}
    return {
        (name, labels): value
        for (name, labels), value in read_own(store).items()
        if (base := re.sub("_(sum|count|bucket)$", "", name)) not in left_out
        and (name in counted or base in counted)
    }


def rounded(numbers: Numbers) -> Numbers:
    """Sums of durations are added up in another order."""
    return {key: float(f"{value:.9g}") for key, value in numbers.items()}


def test_a_span_counts_at_the_gateway_as_it_counts_at_our_receiver(gateway: Instance, tmp_path: Path) -> None:
    """Names, units, labels, buckets and values: the same spans make the same numbers on either way."""
    body = encode(FOREIGN)
    send(gateway, body)
    expected = rounded(count_here(tmp_path / "taskscope.db", body))
    assert {name for name, _ in expected} == {
        name
        for one in DERIVED
        for name in (
            [f"{one.metric.prometheus_name}_{end}" for end in ("sum", "count", "bucket")]
            if one.metric.instrument == "histogram"
            else [one.metric.prometheus_name]
        )
    }
    wait_for(lambda: rounded(read_derived(gateway)), expected)


def test_what_is_sent_at_the_same_time_is_all_counted(gateway: Instance) -> None:
    """Sixteen senders at once, one series: no increment is lost for coming while another one is added."""
    body = encode_spans([Span("chat m", {**CHAT, attr.GEN_AI_USAGE_INPUT_TOKENS: 1})] * 5, FOREIGN)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: send(gateway, body), range(400)))
    name = USAGE_INPUT_TOKENS.prometheus_name
    wait_for(
        lambda: [value for (found, _), value in read_derived(gateway).items() if found == name], [2000.0]
    )


@pytest.mark.parametrize(
    "resource",
    [
        {"service.name": "taskscope", "telemetry.distro.name": "taskscope"},
        {**FOREIGN, attr.STORE_ID: "5a"},
    ],
    ids=["its own", "handed on"],
)
def test_what_a_host_counts_is_not_counted_again(gateway: Instance, resource: dict[str, object]) -> None:
    """Neither its own spans nor those of others that it sends on; rate, errors and durations are of all."""
    send(gateway, encode(resource))
    send(gateway, encode_spans([Span("chat m", {**CHAT, attr.GEN_AI_USAGE_INPUT_TOKENS: 1})], FOREIGN))
    name = USAGE_INPUT_TOKENS.prometheus_name
    wait_for(lambda: sum(value for (found, _), value in read_derived(gateway).items() if found == name), 1.0)
    wait_for(lambda: count_calls(gateway), float(len(CORPUS) + 1))


def count_calls(gateway: Instance) -> float:
    """All spans that `span_metrics` counted."""
    with urllib.request.urlopen(gateway.url("gateway", "derived") + "/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "traces_span_metrics_calls_total"
        )
