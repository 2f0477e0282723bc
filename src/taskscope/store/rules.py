"""The one table from which spans become metrics: for each role, which metric takes what.

Names, labels and buckets are declared in `semconv/metrics.py`; a label's value is the span's attribute of
that key unless the rule says otherwise. Sums and tables are the work of `aggregates.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics, spans

from .records import SpanRecord
from .roles import Role

if TYPE_CHECKING:
    from taskscope.semconv.metrics import Metric

Number = int | float
_Value = Callable[[SpanRecord], Number | None]
_Overrides = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One metric that the spans of a role feed."""

    metric: Metric
    value: _Value
    """What is added or observed; None: nothing."""
    expand: Callable[[SpanRecord], Iterable[_Overrides]] | None = None
    """Label values that are no attributes of the span, once for each series that it feeds."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """What a label says when the span has no such attribute."""


def _duration(span: SpanRecord) -> float:
    return span.duration_s


def _one(_span: SpanRecord) -> int:
    return 1


NUMBER_LIMIT = 10**12
"""More than any count, number of tokens or micro-dollars of one span; 65,536 of them fit into 64 bits."""


def number_of(span: SpanRecord, key: str) -> Number | None:
    """An attribute's value when it is a number that can be one: from another sender anything may come."""
    value = span.attributes.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if 0 <= value <= NUMBER_LIMIT else None


def _attribute(key: str) -> _Value:
    return lambda span: number_of(span, key)


def is_made(span: SpanRecord) -> bool:
    """Whether a call was made at all: at a used up budget the model is not asked."""
    return span.attributes.get(attr.ERROR_TYPE) != spans.ERROR_BUDGET_EXCEEDED


def is_live(span: SpanRecord) -> bool:
    """Whether a call went to a real model; a replayed one counts in no call, token or cost metric."""
    return span.attributes.get(attr.LLM_MODE) != "replay" and is_made(span)


def is_unpriced(span: SpanRecord, role: Role) -> bool:
    """Whether nobody knows what a live call cost: its span says so, or says nothing and left the process.

    It says nothing when its process died meanwhile, and when another instrumentation made it.
    """
    status = span.attributes.get(attr.COST_STATUS)
    if status is not None or role is not Role.INFERENCE:
        return status == "unknown" and is_live(span)
    is_in_process = span.attributes.get(attr.GEN_AI_PROVIDER_NAME) == "local"
    return is_live(span) and not (is_in_process and attr.SERVER_ADDRESS not in span.attributes)


def _live(value: _Value) -> _Value:
    return lambda span: value(span) if is_live(span) else None


def _tokens_or_zero(key: str) -> _Value:
    """Missing usage adds 0: the series is there, and claims nothing."""
    return _live(lambda span: number_of(span, key) or 0)


def _positive(key: str) -> _Value:
    def value(span: SpanRecord) -> Number | None:
        number = number_of(span, key)
        return number if number is not None and number > 0 else None

    return value


def _unpriced(role: Role) -> _Value:
    return lambda span: 1 if is_unpriced(span, role) else None


def _has(key: str, value: _Value) -> _Value:
    return lambda span: value(span) if key in span.attributes else None


def _repeated(span: SpanRecord) -> int | None:
    return 1 if (number_of(span, attr.STEP_ATTEMPT) or 1) > 1 else None


def _misses(span: SpanRecord) -> Number | None:
    inputs, hits = number_of(span, attr.EMBEDDINGS_INPUTS), number_of(span, attr.EMBEDDINGS_CACHE_HITS)
    return None if inputs is None or hits is None else max(inputs - hits, 0)


def _hits(span: SpanRecord) -> Number | None:
    return None if _misses(span) is None else number_of(span, attr.EMBEDDINGS_CACHE_HITS)


def _offered(span: SpanRecord) -> Iterable[_Overrides]:
    names = span.attributes.get(attr.SKILL_OFFERED)
    for name in names if isinstance(names, list | tuple) else ():
        yield {attr.GEN_AI_SKILL_NAME: str(name), attr.SKILL_SELECTION: "offered"}


def _labels(**values: str) -> Callable[[SpanRecord], Iterable[_Overrides]]:
    overrides = ({getattr(attr, name): value for name, value in values.items()},)
    return lambda _span: overrides


_TEXT = _labels(GEN_AI_TOKEN_MODALITY="text")  # noqa: S106  tokens of a model

_COST = Rule(metrics.LLM_COST, _live(_attribute(attr.COST_MICRO_USD)))

_OPERATION = Rule(metrics.OPERATION_DURATION, _duration)

RULES: Mapping[Role, tuple[Rule, ...]] = {
    Role.TASK: (
        Rule(metrics.WORKFLOW_DURATION, _duration),
        Rule(metrics.TASK_EXECUTIONS, _one, defaults={attr.TASK_VERIFICATION: "not_verified"}),
    ),
    Role.AGENT: (Rule(metrics.AGENT_DURATION, _duration),),
    Role.PLAN: (
        Rule(metrics.PLAN_DURATION, _duration),
        Rule(metrics.PLAN_STEPS, _attribute(attr.PLAN_STEP_COUNT)),
    ),
    Role.STEP: (
        Rule(metrics.STEP_DURATION, _duration),
        Rule(metrics.STEP_RETRIES, _repeated),
    ),
    Role.TOOL: (
        Rule(metrics.TOOL_DURATION, _duration),
        Rule(metrics.SKILL_EXECUTIONS, _has(attr.GEN_AI_SKILL_NAME, _one)),
        Rule(
            metrics.SKILL_SELECTIONS,
            _has(attr.GEN_AI_SKILL_NAME, _one),
            expand=_labels(SKILL_SELECTION="chosen"),
        ),
    ),
    Role.INFERENCE: (
        Rule(metrics.INFERENCE_DURATION, _live(_duration)),
        Rule(metrics.USAGE_INPUT_TOKENS, _tokens_or_zero(attr.GEN_AI_USAGE_INPUT_TOKENS), _TEXT),
        Rule(metrics.USAGE_OUTPUT_TOKENS, _tokens_or_zero(attr.GEN_AI_USAGE_OUTPUT_TOKENS), _TEXT),
        Rule(
            metrics.USAGE_CACHE_READ_TOKENS, _tokens_or_zero(attr.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS), _TEXT
        ),
        Rule(
            metrics.USAGE_CACHE_WRITE_TOKENS,
            _tokens_or_zero(attr.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS),
            _TEXT,
        ),
        Rule(
            metrics.USAGE_REASONING_TOKENS, _tokens_or_zero(attr.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS), _TEXT
        ),
        Rule(metrics.INFERENCE_INPUT_TOKENS, _live(_attribute(attr.GEN_AI_USAGE_INPUT_TOKENS))),
        Rule(metrics.INFERENCE_OUTPUT_TOKENS, _live(_attribute(attr.GEN_AI_USAGE_OUTPUT_TOKENS))),
        Rule(metrics.LLM_RETRIES, _live(_positive(attr.LLM_RETRY_COUNT))),
        _COST,
        Rule(metrics.LLM_UNPRICED_CALLS, _unpriced(Role.INFERENCE)),
    ),
    Role.EMBEDDINGS: (
        _OPERATION,
        Rule(metrics.EMBEDDINGS_CACHE_LOOKUPS, _hits, _labels(CACHE_RESULT="hit")),
        Rule(metrics.EMBEDDINGS_CACHE_LOOKUPS, _misses, _labels(CACHE_RESULT="miss")),
        _COST,
        Rule(metrics.LLM_UNPRICED_CALLS, _unpriced(Role.EMBEDDINGS)),
    ),
    Role.RETRIEVAL: (
        _OPERATION,
        Rule(metrics.RETRIEVAL_RESULTS, _has(attr.RETRIEVAL_MODE, _attribute(attr.RETRIEVAL_RESULTS))),
        Rule(metrics.SKILL_SELECTIONS, _has(attr.SKILL_OFFERED, _one), _offered),
    ),
    Role.MEMORY: (_OPERATION,),
    Role.STAGE: (
        Rule(metrics.RETRIEVAL_STAGE_DURATION, _duration),
        Rule(metrics.DB_DURATION, _has(attr.DB_SYSTEM_NAME, _duration)),
    ),
    Role.HEALTH: (Rule(metrics.HEALTH_CHECK_DURATION, _duration),),
    Role.SERVER: (Rule(metrics.HTTP_SERVER_DURATION, _duration),),
    Role.DATABASE: (Rule(metrics.DB_DURATION, _duration),),
}
"""Role to the counters and histograms that its ended spans feed."""


_LIBRARY = "skills"
"""`taskscope.retrieval.index` of the library of skills."""


def library_size(span: SpanRecord) -> Number | None:
    """Return how many skills a library holds, None for a span that did not load one."""
    if span.attributes.get(attr.RETRIEVAL_INDEX) != _LIBRARY:
        return None
    counts = (number_of(span, attr.INDEX_FILES_INDEXED), number_of(span, attr.INDEX_FILES_UNCHANGED))
    return None if counts == (None, None) else sum(count or 0 for count in counts)


def health_gauges(status: str, time_ns: int) -> Iterable[tuple[Metric, _Overrides, Number]]:
    """What the latest run of a health check sets: 1 for its status, 0 for the others, and its time."""
    for known in spans.HEALTH_STATUSES:
        yield metrics.HEALTH_STATUS, {attr.HEALTH_STATUS: known}, int(known == status)
    yield metrics.HEALTH_CHECK_TIMESTAMP, {}, time_ns / 1e9
