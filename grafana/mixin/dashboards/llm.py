"""Language models and money."""

from __future__ import annotations

from typing import Final

from grafana.mixin.config import CONFIG
from grafana.mixin.panels import Page, Panel, Query, Row, Step
from grafana.mixin.queries import (
    HOST,
    MICRO,
    events,
    grown,
    is_set,
    positive,
    quantile,
    rate,
    ratio,
    select,
    split,
    total,
)
from grafana.mixin.variables import AGENT, EVERYWHERE, KIND, MODEL
from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.semconv.events import CLIENT_EXCEPTION

_NONE: Final = "no LLM calls"
_CALLS: Final = select(metrics.INFERENCE_DURATION, part="count")
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


def _instant(expr: str, name: str, *keys: str, unit: str = "none") -> Query:
    return Query(positive(total(grown(expr), *keys)), name, kind="instant", labels=keys, unit=unit)


def _sum(expr: str, name: str) -> Query:
    """Tokens; a 0 is what a provider told."""
    return Query(total(grown(expr), *_BY_MODEL), name, kind="instant", labels=_BY_MODEL, unit="short")


def _dollars(name: str, *keys: str) -> Query:
    expr = f"{total(grown(_COST), *keys)} / {MICRO}"
    return Query(expr, name, kind="instant", labels=keys, unit="currencyUSD")


_MONEY: Final = Row(
    "What does it cost?",
    (
        Panel(
            title="Known cost",
            view="stat",
            queries=(Query(f"{total(grown(_COST))} / {MICRO}"),),
            description="What the priced calls of the chosen time cost together.",
            bad="More than the work is worth. Beside calls of unknown cost it is too low.",
            unit="currencyUSD",
            empty=_NONE,
            width=4,
            height=5,
        ),
        Panel(
            title="Calls of unknown cost",
            view="stat",
            queries=(Query(positive(total(grown(_UNPRICED)))),),
            description="Live calls that no price or no usage is known of; they are in no sum of cost.",
            bad="One is enough: every cost here is too low by it, and the daily cap does not see it.",
            unit="none",
            empty="none unknown",
            width=4,
            height=5,
            steps=(Step(CONFIG.limits.unpriced_calls, "orange"),),
            alerts=("TaskscopeCallsUnpriced",),
        ),
        Panel(
            title="Calls",
            view="stat",
            queries=(Query(positive(total(grown(_CALLS)))),),
            description="Live calls of language models in the chosen time; replayed ones do not count.",
            bad="Many more than tasks: the plans do not work out.",
            unit="none",
            empty=_NONE,
            width=4,
            height=5,
        ),
        Panel(
            title="Cached share of input",
            view="stat",
            queries=(Query(ratio(total(grown(_READ)), total(grown(_INPUT)))),),
            description="Input tokens that came out of the provider's cache, of all input tokens.",
            bad=(
                "Low with long prompts: their beginning changes from call to call, and all of it is paid "
                "in full."
            ),
            unit="percentunit",
            empty=_NONE,
            width=4,
            height=5,
        ),
        Panel(
            title="Spent of the daily cap",
            view="timeseries",
            queries=(Query(_USED, "{{job}} {{instance}}"),),
            description="Known cost of the UTC day of each host that has a cap, as a share of it.",
            bad="From 1 on no live call is made until midnight UTC.",
            unit="percentunit",
            empty="no cap is set",
            width=8,
            height=5,
            steps=_CAP_STEPS,
            alerts=_CAP_ALERTS,
            minimum=0,
        ),
        Panel(
            title="Burn, by model",
            view="timeseries",
            queries=(
                Query(
                    f"{total(rate(_COST), attr.GEN_AI_REQUEST_MODEL)} / {MICRO} * 3600",
                    "{{gen_ai_request_model}}",
                ),
            ),
            description="Dollars per hour, by the model that was asked for.",
            bad="A line that rises without more tasks: a loop, a longer prompt, or a dearer model.",
            unit="currencyUSD",
            empty=_NONE,
            is_stacked=True,
            minimum=0,
            alerts=("TaskscopeCostForecast",),
        ),
        Panel(
            title="Calls of unknown cost, by reason",
            view="timeseries",
            queries=(
                Query(
                    f"{total(rate(_UNPRICED), attr.GEN_AI_REQUEST_MODEL, attr.COST_UNKNOWN_REASON)} * 3600",
                    "{{gen_ai_request_model}} {{taskscope_cost_unknown_reason}}",
                ),
            ),
            description="Live calls per hour whose cost nobody knows, and why.",
            bad=(
                "`unknown_model`, `local_model`: name it in the prices file. `missing_usage`: the provider "
                "told none. `call_failed`: mostly free."
            ),
            unit="suffix:/h",
            empty="none unknown",
            minimum=0,
            alerts=("TaskscopeCallsUnpriced",),
        ),
        Panel(
            title="By agent and kind of task",
            view="table",
            queries=(
                _dollars("Known cost", *_BY_WORK),
                _instant(_UNPRICED, "Calls of unknown cost", *_BY_WORK),
            ),
            description="Whose work the money went into, in the chosen time.",
            bad="An agent that costs more than its tasks are worth.",
            unit="none",
            empty=_NONE,
            columns=_WORK_COLUMNS,
            alerts=("TaskscopeCallsUnpriced",),
        ),
        Panel(
            title="Today, by host",
            view="table",
            queries=(
                Query(
                    f"{total(select(metrics.BUDGET_USAGE), *HOST, operator='max')} / {MICRO}",
                    "Known cost today",
                    kind="instant",
                    labels=HOST,
                    unit="currencyUSD",
                ),
                Query(
                    f"{total(select(metrics.BUDGET_LIMIT), *HOST, operator='max')} / {MICRO}",
                    "Daily cap",
                    kind="instant",
                    labels=HOST,
                    unit="currencyUSD",
                ),
            ),
            description="Known cost since midnight UTC, and the cap of those hosts that have one.",
            bad="A host without a cap spends without end.",
            unit="none",
            empty="no hosts",
            columns=(("job", "Service"), ("instance", "Host")),
            alerts=_CAP_ALERTS,
        ),
    ),
)

_MODELS: Final = Row(
    "Which models, and how much of them?",
    (
        Panel(
            title="By model",
            view="table",
            queries=(
                _instant(_CALLS, "Calls", *_BY_MODEL),
                _instant(_FAILED, "Failed", *_BY_MODEL),
                _sum(_INPUT, "Input tokens"),
                _sum(_READ, "of these from cache"),
                _sum(_WRITTEN, "written to cache"),
                _sum(_OUTPUT, "Output tokens"),
                _sum(_REASONING, "of these reasoning"),
                _dollars("Known cost", *_BY_MODEL),
                _instant(_UNPRICED, "Calls of unknown cost", *_BY_MODEL),
            ),
            description="Everything about each model in the chosen time; an empty cell is none.",
            bad="A model with calls and without cost is not priced.",
            unit="none",
            empty=_NONE,
            width=24,
            columns=_MODEL_COLUMNS,
        ),
        Panel(
            title="Tokens",
            view="timeseries",
            queries=(
                Query(positive(total(rate(_INPUT))), "input"),
                Query(positive(total(rate(_READ))), "of these from cache"),
                Query(positive(total(rate(_OUTPUT))), "output"),
            ),
            description="Tokens per second of live calls. Input counts cached ones too.",
            bad="Input that rises at the same number of calls: prompts grow.",
            unit="short",
            empty=_NONE,
            minimum=0,
        ),
        Panel(
            title="Size of a call",
            view="timeseries",
            queries=(
                Query(
                    quantile(
                        0.95,
                        rate(select(metrics.INFERENCE_INPUT_TOKENS, part="bucket")),
                        attr.GEN_AI_REQUEST_MODEL,
                    ),
                    "p95 input {{gen_ai_request_model}}",
                ),
                Query(
                    quantile(
                        0.95,
                        rate(select(metrics.INFERENCE_OUTPUT_TOKENS, part="bucket")),
                        attr.GEN_AI_REQUEST_MODEL,
                    ),
                    "p95 output {{gen_ai_request_model}}",
                ),
            ),
            description="95 % of the calls have at most so many tokens; calls without usage do not count.",
            bad="Input near the model's window: the next step is an error.",
            unit="short",
            empty=_NONE,
            minimum=0,
        ),
    ),
)

_ANSWERS: Final = Row(
    "Do they answer?",
    (
        Panel(
            title="How long a call takes",
            view="timeseries",
            queries=tuple(
                Query(
                    quantile(share, rate(_BUCKETS), attr.GEN_AI_REQUEST_MODEL),
                    f"p{share * 100:.0f} {{{{gen_ai_request_model}}}}",
                )
                for share in (0.5, 0.95)
            ),
            description="Half and 95 % of the live calls take at most this, retries included.",
            bad="p95 far above the median: the provider limits, or the client repeats.",
            unit="s",
            empty=_NONE,
            minimum=0,
        ),
        Panel(
            title="Failed calls",
            view="timeseries",
            queries=(
                Query(
                    split(
                        total(rate(_FAILED), attr.GEN_AI_REQUEST_MODEL, attr.ERROR_TYPE),
                        total(rate(_CALLS), attr.GEN_AI_REQUEST_MODEL),
                        attr.GEN_AI_REQUEST_MODEL,
                    ),
                    "{{gen_ai_request_model}} {{error_type}}",
                ),
            ),
            description="Share of the calls that failed after the client's own retries, by error.",
            bad="429: the provider limits you. 401, 403: the key. A timeout: the network or the provider.",
            unit="percentunit",
            empty="no failed calls",
            minimum=0,
            steps=(Step(CONFIG.limits.llm_failed_share, "red"),),
            alerts=("TaskscopeLlmCallsFailing", "TaskscopeLlmRateLimited"),
        ),
        Panel(
            title="Repeated requests",
            view="timeseries",
            queries=(
                Query(
                    f"{total(rate(select(metrics.LLM_RETRIES)), attr.GEN_AI_REQUEST_MODEL)} * 3600",
                    "{{gen_ai_request_model}}",
                ),
            ),
            description="Requests per hour that the client had to repeat.",
            bad="The provider is slow or limits, before calls fail.",
            unit="suffix:/h",
            empty="no retries",
            minimum=0,
            alerts=("TaskscopeLlmRetrying",),
        ),
        Panel(
            title="Calls in one agent's work",
            view="timeseries",
            queries=(
                Query(
                    quantile(
                        0.95,
                        rate(select(metrics.AGENT_INFERENCE_CALLS, part="bucket")),
                        attr.GEN_AI_AGENT_NAME,
                    ),
                    "p95 {{gen_ai_agent_name}}",
                ),
            ),
            description="95 % of the works of an agent make at most so many calls; works by rules make none.",
            bad="A number that rises: the agent needs more attempts for the same work.",
            unit="none",
            empty=_NONE,
            minimum=0,
        ),
    ),
)

_EXCEPTIONS: Final = Row(
    "What did the providers say?",
    (
        Panel(
            title="Exceptions of clients",
            view="logs",
            queries=(Query(events(CLIENT_EXCEPTION), kind="logs", labels=("event_name", attr.ERROR_TYPE)),),
            description="Each call that ended with an exception, with its text, redacted, and a hint.",
            bad="Every line; its trace id leads to the task that it hit.",
            unit="none",
            empty="no exceptions",
            width=24,
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
