"""The metrics: declared once, with instrument, unit, labels and buckets, and their Prometheus names.

One long table on purpose: it is what people look things up in. Nothing here counts; the numbers come from the
record (`store/`), the pages that show them from these declarations. Labels are low in cardinality: never an
id, a path, a URL, a message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from . import attributes as attr

Instrument: TypeAlias = Literal["counter", "updowncounter", "gauge", "histogram"]
"""What the OTel instrument is; the asynchronous variants are not told apart."""

BUCKETS_CALL: Final = tuple(0.01 * 2.0**power for power in range(14))
"""Seconds of one call of a model or tool: 0.01, doubling to 81.92 (B1, advised by the GenAI conventions)."""
BUCKETS_TOKENS: Final = tuple(4.0**power for power in range(14))
"""Tokens of one call: 1, times 4, to 67108864 (BT, advised by the GenAI conventions)."""
BUCKETS_WORKFLOW: Final = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Seconds of one task: one second to two hours (BW, advised by the GenAI conventions)."""
BUCKETS_AGENT: Final = tuple(0.1 * 2.0**power for power in range(13))
"""Seconds of one agent's work: 0.1, doubling to 409.6 (BA, advised by the GenAI conventions)."""
BUCKETS_NUMBER: Final = tuple(2.0**power for power in range(8))
"""Numbers of calls, steps or documents: 1, doubling to 128 (BN, advised by the GenAI conventions)."""
BUCKETS_FAST: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""Seconds of short local work: half a millisecond to ten seconds (BF, our own)."""

_UNIT_SUFFIXES: Final = {"s": "seconds", "By": "bytes", "micro_usd": "micro_usd"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the contract."""

    name: str
    instrument: Instrument
    unit: str
    """`s`, `By`, `micro_usd` or an annotation such as `{token}`, which stands in no Prometheus name."""
    description: str
    labels: tuple[str, ...] = ()
    """Attribute keys; a label without a value is shown as an empty string."""
    buckets: tuple[float, ...] = ()
    """Upper bounds, histograms only; the last, open bucket is not named."""

    @property
    def prometheus_name(self) -> str:
        """The name in Prometheus text, as the Python exporter and the OTLP translator derive it."""
        parts = [self.name.replace(".", "_")]
        suffix = _UNIT_SUFFIXES.get(self.unit)
        if suffix and not parts[0].endswith(f"_{suffix}"):
            parts.append(suffix)
        if self.instrument == "counter":
            parts.append("total")
        return "_".join(parts)


def prometheus_label(key: str) -> str:
    """Return an attribute key as Prometheus spells it as a label."""
    return key.replace(".", "_")


_MODEL = (attr.GEN_AI_PROVIDER_NAME, attr.GEN_AI_REQUEST_MODEL)
_CALL = (attr.GEN_AI_OPERATION_NAME, *_MODEL, attr.GEN_AI_RESPONSE_MODEL)
_AGENT = attr.GEN_AI_AGENT_NAME
_SKILL = attr.GEN_AI_SKILL_NAME
_ERROR = attr.ERROR_TYPE

# Of the GenAI conventions.

INFERENCE_DURATION: Final = Metric(
    "gen_ai.client.inference.duration",
    "histogram",
    "s",
    "Duration of a live call of a language model, retries included.",
    (*_CALL, _ERROR),
    BUCKETS_CALL,
)
"""Live calls of language models, from `chat` spans."""
OPERATION_DURATION: Final = Metric(
    "gen_ai.client.operation.duration",
    "histogram",
    "s",
    "Duration of a retrieval, a use of memory or a call of an embedder.",
    (*_CALL, _ERROR),
    BUCKETS_CALL,
)
"""From `retrieval`, `embeddings` and `*_memory` spans."""


def _usage(kind: str, description: str) -> Metric:
    """Return one of the five token counters, which have no error label."""
    name = f"gen_ai.client.inference.usage.{kind}_tokens"
    return Metric(name, "counter", "{token}", description, (*_CALL, attr.GEN_AI_TOKEN_MODALITY))


USAGE_INPUT_TOKENS: Final = _usage("input", "Input tokens of live calls, cached ones included.")
"""From `gen_ai.usage.input_tokens`; missing usage adds 0."""
USAGE_OUTPUT_TOKENS: Final = _usage("output", "Output tokens of live calls, reasoning included.")
"""From `gen_ai.usage.output_tokens`; missing usage adds 0."""
USAGE_CACHE_READ_TOKENS: Final = _usage("cache_read.input", "Input tokens read from a provider's cache.")
"""From `gen_ai.usage.cache_read.input_tokens`; missing usage adds 0."""
USAGE_CACHE_WRITE_TOKENS: Final = _usage("cache_write.input", "Input tokens written to a provider's cache.")
"""From `gen_ai.usage.cache_write.input_tokens`; missing usage adds 0."""
USAGE_REASONING_TOKENS: Final = _usage("reasoning.output", "Output tokens spent on reasoning.")
"""From `gen_ai.usage.reasoning.output_tokens`; missing usage adds 0."""

INFERENCE_INPUT_TOKENS: Final = Metric(
    "gen_ai.client.inference.operation.input_tokens",
    "histogram",
    "{token}",
    "Input tokens of one live call; a call without usage is not counted.",
    (*_CALL, _ERROR),
    BUCKETS_TOKENS,
)
"""From `chat` spans that carry usage."""
INFERENCE_OUTPUT_TOKENS: Final = Metric(
    "gen_ai.client.inference.operation.output_tokens",
    "histogram",
    "{token}",
    "Output tokens of one live call; a call without usage is not counted.",
    (*_CALL, _ERROR),
    BUCKETS_TOKENS,
)
"""From `chat` spans that carry usage."""
WORKFLOW_DURATION: Final = Metric(
    "gen_ai.invoke_workflow.duration",
    "histogram",
    "s",
    "Duration of a task.",
    (attr.GEN_AI_WORKFLOW_NAME, _ERROR),
    BUCKETS_WORKFLOW,
)
"""From `invoke_workflow` spans; the workflow is the kind of task."""
AGENT_DURATION: Final = Metric(
    "gen_ai.invoke_agent.duration",
    "histogram",
    "s",
    "Duration of an agent's work on a task.",
    (_AGENT, _ERROR, attr.GEN_AI_REQUEST_MODEL),
    BUCKETS_AGENT,
)
"""From `invoke_agent` spans."""
AGENT_INFERENCE_CALLS: Final = Metric(
    "gen_ai.invoke_agent.inference_calls",
    "histogram",
    "{inference_call}",
    "Calls of language models in one agent's work, failed ones included.",
    (_AGENT,),
    BUCKETS_NUMBER,
)
"""From the `chat` spans below an `invoke_agent` span, not those of agents below it."""
AGENT_TOOL_CALLS: Final = Metric(
    "gen_ai.invoke_agent.tool_calls",
    "histogram",
    "{tool_call}",
    "Uses of tools in one agent's work, failed ones included.",
    (_AGENT,),
    BUCKETS_NUMBER,
)
"""From the `execute_tool` spans below an `invoke_agent` span, not those of agents below it."""
TOOL_DURATION: Final = Metric(
    "gen_ai.execute_tool.duration",
    "histogram",
    "s",
    "Duration of one use of a tool.",
    (attr.GEN_AI_TOOL_NAME, attr.GEN_AI_TOOL_TYPE, _AGENT, _ERROR),
    BUCKETS_CALL,
)
"""From `execute_tool` spans."""

# Of other OTel conventions, from the spans of `serve` and of the retrieval index.

HTTP_SERVER_DURATION: Final = Metric(
    "http.server.request.duration",
    "histogram",
    "s",
    "Duration of HTTP requests that `serve` answered.",
    (attr.HTTP_REQUEST_METHOD, attr.HTTP_ROUTE, attr.HTTP_RESPONSE_STATUS_CODE, _ERROR),
    BUCKETS_FAST,
)
"""From SERVER spans; the SDK's twin is dropped."""
DB_DURATION: Final = Metric(
    "db.client.operation.duration",
    "histogram",
    "s",
    "Duration of searches in the retrieval index and of the store's reads by `serve`.",
    (attr.DB_SYSTEM_NAME, attr.DB_COLLECTION_NAME, attr.DB_OPERATION_NAME, _ERROR),
    BUCKETS_FAST,
)
"""From spans with `db.system.name`: reads, and the stages `bm25` and `vector`; never the writer's own."""

# Of Taskscope.

TASK_ACTIVE: Final = Metric(
    "taskscope.task.active", "updowncounter", "{task}", "Tasks in progress now.", (attr.TASK_KIND,)
)
"""From open `invoke_workflow` spans of living processes."""
TASK_CONSECUTIVE_FAILURES: Final = Metric(
    "taskscope.task.consecutive_failures",
    "gauge",
    "{task}",
    "Tasks that failed or whose process died since the last one that did not; stopped ones do not count.",
    (attr.TASK_KIND,),
)
"""From the ledger of tasks."""
TASK_SILENCE_MAX: Final = Metric(
    "taskscope.task.silence.max",
    "gauge",
    "s",
    "How long the quietest task in progress has said nothing: no span begun or ended, no log line.",
)
"""From the records of open tasks of living processes; 0 without any."""
TASK_EXECUTIONS: Final = Metric(
    "taskscope.task.executions",
    "counter",
    "{task}",
    "Tasks that ended, by outcome.",
    (attr.TASK_KIND, attr.TASK_OUTCOME, attr.TASK_VERIFICATION, _ERROR),
)
"""From ended `invoke_workflow` spans, and from those whose process died."""
AGENT_ACTIVE: Final = Metric(
    "taskscope.agent.active", "updowncounter", "{agent}", "Agents at work now.", (_AGENT,)
)
"""From open `invoke_agent` spans of living processes."""
PLAN_DURATION: Final = Metric(
    "taskscope.plan.duration",
    "histogram",
    "s",
    "Duration of making a plan.",
    (_AGENT, attr.PLAN_SOURCE, _ERROR),
    BUCKETS_AGENT,
)
"""From `plan` spans."""
PLAN_STEPS: Final = Metric(
    "taskscope.plan.steps",
    "histogram",
    "{step}",
    "Steps of one plan.",
    (attr.PLAN_SOURCE, attr.PLAN_REASON),
    BUCKETS_NUMBER,
)
"""From `taskscope.plan.step_count` of `plan` spans."""
STEP_DURATION: Final = Metric(
    "taskscope.step.duration",
    "histogram",
    "s",
    "Duration of one step.",
    (attr.STEP_KIND, attr.STEP_OUTCOME, _ERROR),
    BUCKETS_AGENT,
)
"""From `step` spans."""
STEP_RETRIES: Final = Metric(
    "taskscope.step.retries", "counter", "{retry}", "Steps begun again.", (attr.STEP_KIND,)
)
"""From `step` spans whose attempt is above 1."""
LLM_COST: Final = Metric(
    "taskscope.llm.cost",
    "counter",
    "micro_usd",
    "Known cost of live calls, in millionths of a US dollar.",
    (*_MODEL, _AGENT, attr.TASK_KIND),
)
"""From `taskscope.cost.micro_usd` of `chat` and `embeddings` spans."""
LLM_UNPRICED_CALLS: Final = Metric(
    "taskscope.llm.unpriced_calls",
    "counter",
    "{call}",
    "Live calls whose cost is unknown.",
    (*_MODEL, _AGENT, attr.TASK_KIND, attr.COST_UNKNOWN_REASON),
)
"""From `chat` and `embeddings` spans whose `taskscope.cost.status` is unknown."""
LLM_RETRIES: Final = Metric(
    "taskscope.llm.retries",
    "counter",
    "{retry}",
    "Requests to providers that were repeated.",
    (*_MODEL, _ERROR),
)
"""From `taskscope.llm.retry_count` of `chat` spans."""
BUDGET_USAGE: Final = Metric(
    "taskscope.budget.usage", "gauge", "micro_usd", "Known cost of the current UTC day."
)
"""From the record, since the last midnight UTC."""
BUDGET_LIMIT: Final = Metric(
    "taskscope.budget.limit", "gauge", "micro_usd", "Cost cap of a UTC day; absent without a cap."
)
"""From the setting COST_CAP_DAILY."""
RETRIEVAL_STAGE_DURATION: Final = Metric(
    "taskscope.retrieval.stage.duration",
    "histogram",
    "s",
    "Duration of one stage of a retrieval.",
    (attr.RETRIEVAL_STAGE, _ERROR),
    BUCKETS_FAST,
)
"""From `bm25`, `vector` and `fuse` spans."""
RETRIEVAL_RESULTS: Final = Metric(
    "taskscope.retrieval.results",
    "histogram",
    "{document}",
    "Results of one retrieval.",
    (attr.RETRIEVAL_MODE,),
    BUCKETS_NUMBER,
)
"""From `taskscope.retrieval.results` of `retrieval` spans that have a mode."""
EMBEDDINGS_CACHE_LOOKUPS: Final = Metric(
    "taskscope.embeddings.cache.lookups",
    "counter",
    "{lookup}",
    "Texts looked up in the cache of vectors.",
    (attr.CACHE_RESULT,),
)
"""From `taskscope.embeddings.inputs` and `.cache_hits` of `embeddings` spans that have both."""
SKILL_SELECTIONS: Final = Metric(
    "taskscope.skill.selections",
    "counter",
    "{selection}",
    "How often a skill was offered for a finding, and chosen.",
    (_SKILL, attr.SKILL_SELECTION),
)
"""Offered: `taskscope.skill.offered` of retrieval spans; chosen: `execute_tool` spans with a skill."""
SKILL_EXECUTIONS: Final = Metric(
    "taskscope.skill.executions",
    "counter",
    "{execution}",
    "Skills carried out, by outcome.",
    (_SKILL, attr.SKILL_OUTCOME, _ERROR),
)
"""From `execute_tool` spans with a skill."""
SKILL_LIBRARY_SIZE: Final = Metric(
    "taskscope.skill.library.size",
    "updowncounter",
    "{skill}",
    "Skills in the library that was loaded last, learned ones included.",
)
"""From the latest `index skills` span."""
HEALTH_STATUS: Final = Metric(
    "taskscope.health.status",
    "updowncounter",
    "{check}",
    "1 for the current status of a check, 0 for the others.",
    (attr.HEALTH_CHECK, attr.HEALTH_GROUP, attr.HEALTH_STATUS),
)
"""From the latest `health_check` span of each check."""
HEALTH_CHECK_DURATION: Final = Metric(
    "taskscope.health.check.duration",
    "histogram",
    "s",
    "Duration of a health check.",
    (attr.HEALTH_CHECK, attr.HEALTH_STATUS),
    BUCKETS_FAST,
)
"""From `health_check` spans."""
HEALTH_CHECK_TIMESTAMP: Final = Metric(
    "taskscope.health.check.timestamp",
    "gauge",
    "s",
    "When a check last ran, in seconds since 1970.",
    (attr.HEALTH_CHECK,),
)
"""From the latest `health_check` span of each check."""
RECORDS_EMITTED: Final = Metric(
    "taskscope.records.emitted", "counter", "{record}", "Records made.", (attr.SIGNAL,)
)
"""Emitted is delivered, dropped and pending together."""
RECORDS_DELIVERED: Final = Metric(
    "taskscope.records.delivered",
    "counter",
    "{record}",
    "Records that arrived.",
    (attr.SIGNAL, attr.DESTINATION),
)
"""At the destination `store` when its transaction is committed; at a backend when that says so."""
RECORDS_DROPPED: Final = Metric(
    "taskscope.records.dropped",
    "counter",
    "{record}",
    "Records that will not arrive, and why.",
    (attr.SIGNAL, attr.DESTINATION, attr.DROP_REASON),
)
"""What never reached the store is dropped at every destination; `expired` left the store by age or size
before it was sent, which is no loss."""
RECORDS_PENDING: Final = Metric(
    "taskscope.records.pending",
    "updowncounter",
    "{record}",
    "Records on their way, quarantined ones included.",
    (attr.SIGNAL, attr.DESTINATION),
)
"""From the cursors; at the destination `store` none: a record is made when it is stored or dropped."""
RECORDS_QUARANTINED: Final = Metric(
    "taskscope.records.quarantined",
    "updowncounter",
    "{record}",
    "Records that a backend refused and the store keeps.",
    (attr.SIGNAL, attr.DESTINATION),
)
"""From the store; `taskscope records --retry` sends them again."""
RECORDS_OLDEST_PENDING: Final = Metric(
    "taskscope.records.oldest_pending.timestamp",
    "gauge",
    "s",
    "When the oldest record was made that a backend has neither taken nor refused, in seconds since 1970.",
    (attr.SIGNAL, attr.DESTINATION),
)
"""From the store; absent when nothing waits."""
RECORDS_RECOVERED: Final = Metric(
    "taskscope.records.recovered", "counter", "{span}", "Spans brought home from dead processes."
)
"""Replayed from their journals, or open when they died and closed as interrupted."""
RECORDER_QUEUE_SIZE: Final = Metric(
    "taskscope.recorder.queue.size", "updowncounter", "By", "Bytes of records that wait for the writer."
)
"""Bounded."""
RECORDER_FILE_SIZE: Final = Metric(
    "taskscope.recorder.file.size", "updowncounter", "By", "Bytes of the store's file."
)
"""Its write-ahead log included."""
RECORDER_FILE_FREE: Final = Metric(
    "taskscope.recorder.file.free", "updowncounter", "By", "Bytes of the store's file that hold nothing."
)
"""What left by age or size; new records fill them before the file grows."""
RECORDER_FILE_LIMIT: Final = Metric(
    "taskscope.recorder.file.limit", "updowncounter", "By", "Bytes that the store's file may take."
)
"""From the settings."""
RECORDER_WRITE_DURATION: Final = Metric(
    "taskscope.recorder.write.duration",
    "histogram",
    "s",
    "Duration of one transaction of the writer.",
    (),
    BUCKETS_FAST,
)
"""Of each batch."""
SHIPPER_REQUEST_DURATION: Final = Metric(
    "taskscope.shipper.request.duration",
    "histogram",
    "s",
    "Duration of one request to a backend.",
    (attr.SIGNAL, attr.DESTINATION, _ERROR),
    BUCKETS_CALL,
)
"""Of each request that the shipper made; `error.type` is an HTTP status or a class of exception."""
SHIPPER_SUCCESS_TIMESTAMP: Final = Metric(
    "taskscope.shipper.success.timestamp",
    "gauge",
    "s",
    "When a backend last took something, in seconds since 1970.",
    (attr.SIGNAL, attr.DESTINATION),
)
"""Absent before the first time."""
INTERNAL_ERRORS: Final = Metric(
    "taskscope.internal.errors",
    "counter",
    "{error}",
    "Errors inside Taskscope that were kept from the host.",
    (attr.COMPONENT, _ERROR),
)
"""What the guards counted; 0 is the only good value."""

METRICS: Final[tuple[Metric, ...]] = tuple(
    value for value in dict(globals()).values() if isinstance(value, Metric)
)
"""All metrics of the contract, in the order in which they stand here."""

BY_NAME: Final = {metric.name: metric for metric in METRICS}
"""Canonical name to metric."""
