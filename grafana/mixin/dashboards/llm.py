"""Language models and money."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from grafana.mixin.builders import chart, grown_by, instant, lines, log, percentiles, stat, table
from grafana.mixin.config import CONFIG
from grafana.mixin.panels import Page, Query, Row, Step
from grafana.mixin.queries import (
    HOST,
    MICRO,
    RANGE,
    among,
    beside,
    events,
    grown,
    is_set,
    p95,
    positive,
    rate,
    ratio,
    select,
    split,
    total,
    where_called,
)
from grafana.mixin.variables import AGENT, EVERYWHERE, KIND, MODEL
from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.semconv.events import CLIENT_EXCEPTION
from taskscope.semconv.spans import EMBEDDINGS

_NONE: Final = "no LLM calls"
_CALLS: Final = select(metrics.INFERENCE_DURATION, part="count")
_EMBEDDED: Final = select(
    metrics.OPERATION_DURATION, among(attr.GEN_AI_OPERATION_NAME, EMBEDDINGS), part="count"
)
_BUCKETS: Final = select(metrics.INFERENCE_DURATION, part="bucket")
_FAILED: Final = select(metrics.INFERENCE_DURATION, is_set(attr.ERROR_TYPE), part="count")
_COST: Final = select(metrics.LLM_COST)
_UNPRICED: Final = select(metrics.LLM_UNPRICED_CALLS)
_INPUT: Final = select(metrics.USAGE_INPUT_TOKENS)
_OUTPUT: Final = select(metrics.USAGE_OUTPUT_TOKENS)
_READ: Final = select(metrics.USAGE_CACHE_READ_TOKENS)
_WRITTEN: Final = select(metrics.USAGE_CACHE_WRITE_TOKENS)
_REASONING: Final = select(metrics.USAGE_REASONING_TOKENS)
_BY_MODEL: Final = (attr.GEN_AI_PROVIDER_NAME, attr.GEN_AI_REQUEST_MODEL)
_BY_WORK: Final = (attr.GEN_AI_AGENT_NAME, attr.TASK_KIND)
_MODEL_COLUMNS: Final = (("gen_ai_provider_name", "Provider"), ("gen_ai_request_model", "Model"))
_WORK_COLUMNS: Final = (("gen_ai_agent_name", "Agent"), ("taskscope_task_kind", "Task kind"))
_CAP_STEPS: Final = (Step(CONFIG.limits.cap_near, "yellow"), Step(CONFIG.limits.cap_reached, "red"))
_CAP_ALERTS: Final = ("TaskscopeCostNearCap", "TaskscopeCostCapReached", "TaskscopeCostForecast")
_USED: Final = ratio(
    total(select(metrics.BUDGET_USAGE), *HOST, operator="max"),
    total(select(metrics.BUDGET_LIMIT), *HOST, operator="max"),
)


def _sum(expr: str, name: str) -> Query:
    """Tokens; a 0 is what a provider told."""
    calls = total(grown(_CALLS), *_BY_MODEL)
    expr = where_called(total(grown(expr), *_BY_MODEL), calls, *_BY_MODEL)
    return instant(expr, name, *_BY_MODEL, unit="short")


def _known(growth: Callable[[str], str], factor: str, *keys: str) -> str:
    """Known cost that was added; of calls that nobody knows a price of there is none, and not 0.

    Calls are told apart by their model alone: beside another agent's calls one without any has 0.
    """
    by_model = tuple(key for key in keys if key in _BY_MODEL)
    priced = total(_priced(growth), *by_model)
    return where_called(f"{total(growth(_COST), *keys)} {factor}", priced, *by_model)


def _priced(growth: Callable[[str], str]) -> str:
    """Calls less those of unknown cost, of the models that have a cost: one in the process has none."""
    known = f"({growth(_CALLS)} or {growth(_EMBEDDED)} or -{growth(_UNPRICED)})"
    return beside(known, f"last_over_time({_COST}[{RANGE}])", *_BY_MODEL)


def _dollars(name: str, *keys: str) -> Query:
    return instant(_known(grown, f"/ {MICRO}", *keys), name, *keys, unit="currencyUSD")


_MONEY: Final = Row(
    "What does it cost?",
    (
        stat(
            "Known cost",
            Query(_known(grown, f"/ {MICRO}")),
            description="What the priced calls of the chosen time cost together.",
            bad="More than the work is worth. Beside calls of unknown cost it is too low.",
            unit="currencyUSD",
            empty="no known cost",
        ),
        stat(
            "Calls of unknown cost",
            Query(positive(total(grown(_UNPRICED)))),
            description="Live calls that no price or no usage is known of; they are in no sum of cost.",
            bad="One is enough: every cost here is too low by it, and the daily cap does not see it.",
            empty="none unknown",
            steps=(Step(CONFIG.limits.unpriced_calls, "orange"),),
            alerts=("TaskscopeCallsUnpriced",),
        ),
        stat(
            "Calls",
            Query(positive(total(grown(_CALLS)))),
            description="Live calls of language models in the chosen time; replayed ones do not count.",
            bad="Many more than tasks: the plans do not work out.",
            empty=_NONE,
        ),
        stat(
            "Cached share of input",
            Query(ratio(total(grown(_READ)), total(grown(_INPUT)))),
            description="Input tokens that came out of the provider's cache, of all input tokens.",
            bad=(
                "Low with long prompts: their beginning changes from call to call, and all of it is paid "
                "in full."
            ),
            unit="percentunit",
            empty=_NONE,
        ),
        chart(
            "Spent of the daily cap",
            Query(_USED, "{{job}} {{instance}}"),
            description="Known cost of the UTC day of each host that has a cap, as a share of it.",
            bad="From 1 on no live call is made until midnight UTC.",
            unit="percentunit",
            empty="no cap is set",
            width=8,
            height=5,
            steps=_CAP_STEPS,
            alerts=_CAP_ALERTS,
        ),
        chart(
            "Burn, by model",
            Query(
                _known(rate, f"/ {MICRO} * 3600", attr.GEN_AI_REQUEST_MODEL),
                "{{gen_ai_request_model}}",
            ),
            description="Dollars per hour, by the model that was asked for.",
            bad="A line that rises without more tasks: a loop, a longer prompt, or a dearer model.",
            unit="currencyUSD",
            empty="no known cost",
            is_stacked=True,
            alerts=("TaskscopeCostForecast",),
        ),
        chart(
            "Calls of unknown cost, by reason",
            Query(
                positive(
                    f"{total(rate(_UNPRICED), attr.GEN_AI_REQUEST_MODEL, attr.COST_UNKNOWN_REASON)} * 3600"
                ),
                "{{gen_ai_request_model}} {{taskscope_cost_unknown_reason}}",
            ),
            description="Live calls per hour whose cost nobody knows, and why.",
            bad=(
                "`unknown_model`, `local_model`: name it in the prices file. `missing_usage`: the provider "
                "told none. `call_failed`: mostly free."
            ),
            unit="suffix:/h",
            empty="none unknown",
            alerts=("TaskscopeCallsUnpriced",),
        ),
        table(
            "By agent and kind of task",
            _dollars("Known cost", *_BY_WORK),
            grown_by(_UNPRICED, "Calls of unknown cost", *_BY_WORK),
            description="Whose work the money went into, in the chosen time.",
            bad="An agent that costs more than its tasks are worth.",
            empty=_NONE,
            columns=_WORK_COLUMNS,
            alerts=("TaskscopeCallsUnpriced",),
        ),
        table(
            "Today, by host",
            instant(
                f"{total(select(metrics.BUDGET_USAGE), *HOST, operator='max')} / {MICRO}",
                "Known cost today",
                *HOST,
                unit="currencyUSD",
            ),
            instant(
                f"{total(select(metrics.BUDGET_LIMIT), *HOST, operator='max')} / {MICRO}",
                "Daily cap",
                *HOST,
                unit="currencyUSD",
            ),
            description="Known cost since midnight UTC, and the cap of those hosts that have one.",
            bad="A host without a cap spends without end.",
            empty="no hosts",
            columns=(("job", "Service"), ("instance", "Host")),
            alerts=_CAP_ALERTS,
        ),
    ),
)

_MODELS: Final = Row(
    "Which models, and how much of them?",
    (
        table(
            "By model",
            grown_by(_CALLS, "Calls", *_BY_MODEL),
            grown_by(_FAILED, "Failed", *_BY_MODEL),
            _sum(_INPUT, "Input tokens"),
            _sum(_READ, "of these from cache"),
            _sum(_WRITTEN, "written to cache"),
            _sum(_OUTPUT, "Output tokens"),
            _sum(_REASONING, "of these reasoning"),
            _dollars("Known cost", *_BY_MODEL),
            grown_by(_UNPRICED, "Calls of unknown cost", *_BY_MODEL),
            description="Everything about each model in the chosen time; an empty cell is none.",
            bad="A model with calls and without cost is not priced.",
            empty=_NONE,
            width=24,
            columns=_MODEL_COLUMNS,
        ),
        chart(
            "Tokens",
            Query(positive(total(rate(_INPUT))), "input"),
            Query(positive(total(rate(_READ))), "of these from cache"),
            Query(positive(total(rate(_OUTPUT))), "output"),
            description="Tokens per second of live calls. Input counts cached ones too.",
            bad="Input that rises at the same number of calls: prompts grow.",
            unit="short",
            empty=_NONE,
        ),
        chart(
            "Size of a call",
            Query(
                p95(metrics.INFERENCE_INPUT_TOKENS, attr.GEN_AI_REQUEST_MODEL),
                "p95 input {{gen_ai_request_model}}",
            ),
            Query(
                p95(metrics.INFERENCE_OUTPUT_TOKENS, attr.GEN_AI_REQUEST_MODEL),
                "p95 output {{gen_ai_request_model}}",
            ),
            description="95 % of the calls have at most so many tokens; calls without usage do not count.",
            bad="Input near the model's window: the next step is an error.",
            unit="short",
            empty=_NONE,
        ),
    ),
)

_ANSWERS: Final = Row(
    "Do they answer?",
    (
        chart(
            "How long a call takes",
            *percentiles(_BUCKETS, "{{gen_ai_request_model}}", attr.GEN_AI_REQUEST_MODEL),
            description="Half and 95 % of the live calls take at most this, retries included.",
            bad="p95 far above the median: the provider limits, or the client repeats.",
            unit="s",
            empty=_NONE,
        ),
        chart(
            "Failed calls",
            Query(
                split(
                    total(rate(_FAILED), attr.GEN_AI_REQUEST_MODEL, attr.ERROR_TYPE),
                    total(rate(_CALLS), attr.GEN_AI_REQUEST_MODEL),
                    attr.GEN_AI_REQUEST_MODEL,
                ),
                "{{gen_ai_request_model}} {{error_type}}",
            ),
            description="Share of the calls that failed after the client's own retries, by error.",
            bad="429: the provider limits you. 401, 403: the key. A timeout: the network or the provider.",
            unit="percentunit",
            empty="no failed calls",
            steps=(Step(CONFIG.limits.llm_failed_share, "red"),),
            alerts=("TaskscopeLlmCallsFailing", "TaskscopeLlmRateLimited"),
        ),
        chart(
            "Repeated requests",
            Query(
                positive(f"{total(rate(select(metrics.LLM_RETRIES)), attr.GEN_AI_REQUEST_MODEL)} * 3600"),
                "{{gen_ai_request_model}}",
            ),
            description="Requests per hour that the client had to repeat.",
            bad="The provider is slow or limits, before calls fail.",
            unit="suffix:/h",
            empty="no retries",
            alerts=("TaskscopeLlmRetrying",),
        ),
        chart(
            "Calls in one agent's work",
            Query(
                p95(metrics.AGENT_INFERENCE_CALLS, attr.GEN_AI_AGENT_NAME),
                "p95 {{gen_ai_agent_name}}",
            ),
            description="95 % of the works of an agent make at most so many calls; works by rules make none.",
            bad="A number that rises: the agent needs more attempts for the same work.",
            unit="none",
            empty=_NONE,
        ),
    ),
)

_EXCEPTIONS: Final = Row(
    "What did the providers say?",
    (
        log(
            "Exceptions of clients",
            lines(events(CLIENT_EXCEPTION), "event_name", attr.ERROR_TYPE),
            description="Each call that ended with an exception, with its text, redacted, and a hint.",
            bad="Every line; its trace id leads to the task that it hit.",
            empty="no exceptions",
            alerts=("TaskscopeLlmCallsFailing", "TaskscopeLlmRateLimited"),
        ),
    ),
)

PAGE: Final = Page(
    uid="taskscope-llm",
    title="Taskscope / LLM and cost",
    question="Which models are called, do they answer, and what does it cost?",
    rows=(_MONEY, _MODELS, _ANSWERS, _EXCEPTIONS),
    variables=(*EVERYWHERE, MODEL, AGENT, KIND),
)
