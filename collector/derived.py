"""Metrics that the gateway derives from spans: rate, errors, duration of all; the contract's of foreign ones.

A Taskscope host counts what is in its store and sends the sums itself; here only the spans of other senders
are counted, by the rules of `taskscope/store/rules.py` said in OTTL, under the names, units, labels and
buckets of `semconv/metrics.py`. A test sends the same spans through both. What needs more than one span to
tell, or a list, stands in `NOT_DERIVED`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics, spans
from taskscope.store.roles import BY_KEY, BY_OPERATION, Role
from taskscope.store.rules import NUMBER_LIMIT
from taskscope.store.tally import LABEL_LENGTH

if TYPE_CHECKING:
    from taskscope.semconv.metrics import Metric

ROLES: Final = "taskscope.derived."
"""An attribute `taskscope.derived.{role}` stands on a span between the parts of this pipeline, nowhere else.

The connector passes a definition over whose key a span lacks before it looks at anything else.
"""
STREAMS_LIMIT: Final = 100_000
"""Series of foreign senders; those beyond it are dropped and counted, by `deltatocumulative`."""
CARDINALITY_LIMIT: Final = 20_000
"""Series of one service in `span_metrics`; what is beyond it is counted in one of its own."""

_SECONDS: Final = "Double(span.end_time_unix_nano - span.start_time_unix_nano) / 1000000000.0"
_ONE: Final = "1"
_ZERO: Final = "0.0"
_WHO: Final = ("service.name", "service.namespace", "deployment.environment.name")
_DIMENSIONS: Final = (
    attr.GEN_AI_OPERATION_NAME,
    attr.GEN_AI_AGENT_NAME,
    attr.GEN_AI_REQUEST_MODEL,
    attr.GEN_AI_TOOL_NAME,
    attr.ERROR_TYPE,
)
_SPAN_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

NOT_DERIVED: Final[Mapping[Metric, str]] = {
    metrics.AGENT_INFERENCE_CALLS: "takes the whole trace",
    metrics.AGENT_TOOL_CALLS: "takes the whole trace",
}
"""Metrics of ended spans that no rule of one span feeds, and why."""
NOT_DERIVED_RULES: Final[Mapping[tuple[Role, Metric], str]] = {
    (Role.RETRIEVAL, metrics.SKILL_SELECTIONS): "a series for each name of a list",
}
"""The same for one role; another role feeds the metric."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What one metric takes of the spans of one role; a rule of `store/rules.py` in OTTL."""

    role: Role
    metric: Metric
    value: str
    conditions: tuple[str, ...] = ()
    """All of these must hold."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Labels that no attribute says; an attribute of that name is removed before."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """What a label says when the span has no such attribute."""


def _path(key: str) -> str:
    return f"span.attributes[{_quoted(key)}]"


def _quoted(text: str) -> str:
    """The text as OTTL writes it, which is as JSON does."""
    return json.dumps(text)


def _number(key: str) -> str:
    return f"Double({_path(key)})"


def _is_number(key: str) -> str:
    """As `rules.number_of` has it; from another sender anything may come."""
    path = _path(key)
    return f"((IsInt({path}) or IsDouble({path})) and {path} >= 0 and {path} <= {NUMBER_LIMIT})"


def _has(key: str) -> str:
    return f"{_path(key)} != nil"


_MADE: Final = f"{_path(attr.ERROR_TYPE)} != {_quoted(spans.ERROR_BUDGET_EXCEEDED)}"
_LIVE: Final = (_MADE, f'{_path(attr.LLM_MODE)} != "replay"')
_SAYS_UNKNOWN: Final = f'{_path(attr.COST_STATUS)} == "unknown"'
# A model inside the sender's own process costs nothing that could be unknown.
_SAYS_NOTHING: Final = (
    f"({_path(attr.COST_STATUS)} == nil"
    f' and ({_path(attr.GEN_AI_PROVIDER_NAME)} != "local" or {_has(attr.SERVER_ADDRESS)}))'
)


def _usage(metric: Metric, key: str) -> tuple[Derived, ...]:
    """A counter of tokens; missing usage adds 0."""
    fixed = {attr.GEN_AI_TOKEN_MODALITY: "text"}
    return (
        Derived(Role.INFERENCE, metric, _number(key), (*_LIVE, _is_number(key)), fixed),
        Derived(Role.INFERENCE, metric, _ZERO, (*_LIVE, f"not {_is_number(key)}"), fixed),
    )


def _attribute(role: Role, metric: Metric, key: str, *conditions: str) -> Derived:
    return Derived(role, metric, _number(key), (*conditions, _is_number(key)))


def _calls(role: Role, unpriced: str) -> tuple[Derived, ...]:
    return (
        _attribute(role, metrics.LLM_COST, attr.COST_MICRO_USD, *_LIVE),
        Derived(role, metrics.LLM_UNPRICED_CALLS, _ONE, (*_LIVE, unpriced)),
    )


_INPUTS: Final = _path(attr.EMBEDDINGS_INPUTS)
_HITS: Final = _path(attr.EMBEDDINGS_CACHE_HITS)
_LOOKUPS: Final = (_is_number(attr.EMBEDDINGS_INPUTS), _is_number(attr.EMBEDDINGS_CACHE_HITS))

DERIVED: Final[tuple[Derived, ...]] = (
    Derived(Role.TASK, metrics.WORKFLOW_DURATION, _SECONDS),
    Derived(Role.TASK, metrics.TASK_EXECUTIONS, _ONE, defaults={attr.TASK_VERIFICATION: "not_verified"}),
    Derived(Role.AGENT, metrics.AGENT_DURATION, _SECONDS),
    Derived(Role.PLAN, metrics.PLAN_DURATION, _SECONDS),
    _attribute(Role.PLAN, metrics.PLAN_STEPS, attr.PLAN_STEP_COUNT),
    Derived(Role.STEP, metrics.STEP_DURATION, _SECONDS),
    Derived(
        Role.STEP,
        metrics.STEP_RETRIES,
        _ONE,
        (_is_number(attr.STEP_ATTEMPT), f"{_path(attr.STEP_ATTEMPT)} > 1"),
    ),
    Derived(Role.TOOL, metrics.TOOL_DURATION, _SECONDS),
    Derived(Role.TOOL, metrics.SKILL_EXECUTIONS, _ONE, (_has(attr.GEN_AI_SKILL_NAME),)),
    Derived(
        Role.TOOL,
        metrics.SKILL_SELECTIONS,
        _ONE,
        (_has(attr.GEN_AI_SKILL_NAME),),
        {attr.SKILL_SELECTION: "chosen"},
    ),
    Derived(Role.INFERENCE, metrics.INFERENCE_DURATION, _SECONDS, _LIVE),
    *_usage(metrics.USAGE_INPUT_TOKENS, attr.GEN_AI_USAGE_INPUT_TOKENS),
    *_usage(metrics.USAGE_OUTPUT_TOKENS, attr.GEN_AI_USAGE_OUTPUT_TOKENS),
    *_usage(metrics.USAGE_CACHE_READ_TOKENS, attr.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
    *_usage(metrics.USAGE_CACHE_WRITE_TOKENS, attr.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS),
    *_usage(metrics.USAGE_REASONING_TOKENS, attr.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS),
    _attribute(Role.INFERENCE, metrics.INFERENCE_INPUT_TOKENS, attr.GEN_AI_USAGE_INPUT_TOKENS, *_LIVE),
    _attribute(Role.INFERENCE, metrics.INFERENCE_OUTPUT_TOKENS, attr.GEN_AI_USAGE_OUTPUT_TOKENS, *_LIVE),
    _attribute(
        Role.INFERENCE,
        metrics.LLM_RETRIES,
        attr.LLM_RETRY_COUNT,
        *_LIVE,
        f"{_path(attr.LLM_RETRY_COUNT)} > 0",
    ),
    *_calls(Role.INFERENCE, f"({_SAYS_UNKNOWN} or {_SAYS_NOTHING})"),
    Derived(Role.EMBEDDINGS, metrics.OPERATION_DURATION, _SECONDS),
    Derived(
        Role.EMBEDDINGS,
        metrics.EMBEDDINGS_CACHE_LOOKUPS,
        f"Double({_HITS})",
        _LOOKUPS,
        {attr.CACHE_RESULT: "hit"},
    ),
    Derived(
        Role.EMBEDDINGS,
        metrics.EMBEDDINGS_CACHE_LOOKUPS,
        f"Double({_INPUTS}) - Double({_HITS})",
        (*_LOOKUPS, f"{_INPUTS} >= {_HITS}"),
        {attr.CACHE_RESULT: "miss"},
    ),
    Derived(
        Role.EMBEDDINGS,
        metrics.EMBEDDINGS_CACHE_LOOKUPS,
        _ZERO,
        (*_LOOKUPS, f"{_INPUTS} < {_HITS}"),
        {attr.CACHE_RESULT: "miss"},
    ),
    *_calls(Role.EMBEDDINGS, _SAYS_UNKNOWN),
    Derived(Role.RETRIEVAL, metrics.OPERATION_DURATION, _SECONDS),
    _attribute(Role.RETRIEVAL, metrics.RETRIEVAL_RESULTS, attr.RETRIEVAL_RESULTS, _has(attr.RETRIEVAL_MODE)),
    Derived(Role.MEMORY, metrics.OPERATION_DURATION, _SECONDS),
    Derived(Role.STAGE, metrics.RETRIEVAL_STAGE_DURATION, _SECONDS),
    Derived(Role.STAGE, metrics.DB_DURATION, _SECONDS, (_has(attr.DB_SYSTEM_NAME),)),
)
"""One entry for each rule; several of one metric and the same labels are added up."""


def build() -> dict[str, Any]:
    """The part of the gateway's configuration."""
    return {
        "connectors": {
            "forward/foreign": {},
            "span_metrics": _span_metrics(),
            "signal_to_metrics/foreign": {
                "error_mode": "ignore",
                "spans": [_definition(one) for one in DERIVED],
            },
        },
        "processors": {
            "filter/foreign": _filter(
                f'resource.attributes["telemetry.distro.name"] == "taskscope"'
                f" or resource.attributes[{_quoted(attr.STORE_ID)}] != nil"
            ),
            "transform/foreign": {
                "error_mode": "ignore",
                "trace_statements": [{"context": "span", "statements": list(_prepare())}],
            },
            "filter/uncounted": _filter(" and ".join(f"{_role(role)} == nil" for role in _counted())),
            "batch/serialise": {"timeout": "200ms", "send_batch_size": 1000},
            "transform/derived": _transform_derived(),
            # A series that is forgotten begins anew at 0: only after its exporter has forgotten it as well,
            # or Prometheus would not see that it did.
            "deltatocumulative/derived": {"max_stale": "25h", "max_streams": STREAMS_LIMIT},
        },
        "service": {"pipelines": _pipelines()},
    }


def _pipelines() -> dict[str, Any]:
    return {
        "traces/foreign": {
            "receivers": ["forward/foreign"],
            "processors": ["filter/foreign", "transform/foreign", "filter/uncounted"],
            "exporters": ["signal_to_metrics/foreign"],
        },
        "metrics/derived": {
            "receivers": ["span_metrics", "signal_to_metrics/foreign"],
            "processors": ["batch/serialise", "transform/derived", "deltatocumulative/derived"],
            "exporters": ["prometheus/derived"],
        },
    }


def _filter(dropped: str) -> dict[str, Any]:
    return {"error_mode": "ignore", "traces": {"span": [dropped]}}


def _span_metrics() -> dict[str, Any]:
    return {
        "histogram": {
            "unit": "s",
            "explicit": {"buckets": [f"{round(bound * 1000)}ms" for bound in _SPAN_BUCKETS]},
        },
        "dimensions": [{"name": key} for key in _DIMENSIONS],
        "exclude_dimensions": ["span.name"],
        "aggregation_cardinality_limit": CARDINALITY_LIMIT,
        "metrics_flush_interval": "1s",
        "series_expiration": "24h",
        "resource_metrics_key_attributes": list(_WHO),
        "exemplars": {"enabled": True, "max_per_data_point": 2},
    }


def _counted() -> list[Role]:
    """Roles that anything is derived from, each once."""
    return list(dict.fromkeys(one.role for one in DERIVED))


def _role(role: Role) -> str:
    return _path(ROLES + role.name.lower())


def _prepare() -> Iterable[str]:
    """Statements that make a foreign span ready to be counted: its role, its labels."""
    operation = _path(attr.GEN_AI_OPERATION_NAME)
    yield f"delete_matching_keys(span.attributes, {_quoted('^' + re.escape(ROLES))})"
    for role in _counted():
        names = [name for name, its_role in BY_OPERATION.items() if its_role is role]
        if names:
            choices = " or ".join(f"{operation} == {_quoted(str(name))}" for name in names)
            yield f'set({_role(role)}, "") where {choices}'
    for place, (key, role) in enumerate(BY_KEY):
        if role in _counted():
            # The first of the keys that it has tells the role of a span without an operation.
            absent = [f"{_path(earlier)} == nil" for earlier, _ in BY_KEY[:place]]
            conditions = " and ".join([f"not IsString({operation})", *absent, _has(key)])
            yield f'set({_role(role)}, "") where {conditions}'
    # As our receiver reads it: a clock that stepped back made no time.
    yield "set(span.end_time, span.start_time) where span.end_time_unix_nano < span.start_time_unix_nano"
    fixed = {key for one in DERIVED for key in one.fixed}
    for key in sorted(fixed):
        yield f"delete_key(span.attributes, {_quoted(key)})"
    for key in sorted({label for one in DERIVED for label in one.metric.labels} - fixed):
        yield _hold(key)


def _hold(label: str) -> str:
    """Hold a label to its closed set, as our receiver does, or to its length."""
    path = _path(label)
    closed = spans.CLOSED_SETS.get(label)
    if closed is not None and label.startswith("taskscope."):
        known = " or ".join(f"{path} == {_quoted(value)}" for value in closed)
        return f"set({path}, {_quoted(spans.OTHER)}) where {path} != nil and not ({known})"
    # In bytes, whole characters: no longer than what our receiver lets stand.
    return (
        f"set({path}, Substring({path}, 0, {LABEL_LENGTH}, true))"
        f" where IsString({path}) and Len({path}) > {LABEL_LENGTH}"
    )


def _definition(one: Derived) -> dict[str, Any]:
    metric = one.metric
    counted: dict[str, Any]
    if metric.instrument == "histogram":
        counted = {"histogram": {"buckets": list(metric.buckets), "value": one.value}}
    else:
        counted = {"sum": {"value": one.value, "monotonic": True}}
    return {
        "name": metric.name,
        "description": metric.description,
        "unit": metric.unit,
        **({"conditions": [" and ".join(one.conditions)]} if one.conditions else {}),
        "include_resource_attributes": [{"key": key, "optional": True} for key in _WHO],
        "attributes": [{"key": ROLES + one.role.name.lower()}, *(_label(one, key) for key in metric.labels)],
        **counted,
    }


def _label(one: Derived, key: str) -> dict[str, Any]:
    value = one.fixed.get(key) or one.defaults.get(key)
    return {"key": key, "optional": True} if value is None else {"key": key, "default_value": value}


def _transform_derived() -> dict[str, Any]:
    """Derived series belong to the gateway, not to the process whose span came first."""
    instance = 'resource.attributes["signal_to_metrics.service.instance.id"]'
    keys = ", ".join(_quoted(key) for key in (*_WHO, "collector.instance.id"))
    return {
        "error_mode": "ignore",
        "metric_statements": [
            {
                "context": "resource",
                "statements": [
                    f'set(resource.attributes["collector.instance.id"], {instance}) where {instance} != nil',
                    f"keep_keys(resource.attributes, [{keys}])",
                ],
            },
            {
                "context": "datapoint",
                "conditions": ["metric.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA"],
                "statements": [
                    f"delete_matching_keys(datapoint.attributes, {_quoted('^' + re.escape(ROLES))})",
                    # The connector takes its time before the payloads are in order, and says no start.
                    "set(datapoint.time, Now())",
                    'set(datapoint.start_time, datapoint.time - Duration("1s"))',
                ],
            },
        ],
    }
