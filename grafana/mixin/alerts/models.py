"""Calls of language models, and the retrieval before them: failing, limited, repeated, slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics, spans

from .alert import Alert, Group, Recording
from .promql import count_recent, differ, duration, labels, match, select, total

if TYPE_CHECKING:
    from grafana.mixin.config import Config

CALLS_RECENT: Final = "taskscope:llm_calls:recent"
"""Live calls within the window, by all labels of the histogram."""
RETRIES_RECENT: Final = "taskscope:llm_retries:recent"
"""Repeated requests within the window, by all labels of the counter."""
RETRIEVALS_RECENT: Final = "taskscope:retrieval_duration_seconds_bucket:recent"
"""Whole retrievals within the window, by bucket and host."""
_BY_MODEL: Final = labels(attr.GEN_AI_PROVIDER_NAME, attr.GEN_AI_REQUEST_MODEL)
_MODEL: Final = "{{ $labels.gen_ai_provider_name }} {{ $labels.gen_ai_request_model }}"
_RATE_LIMITED: Final = "429"


def build_group(config: Config) -> Group:
    """The rules about models and retrieval."""
    windows = config.windows
    calls = select(metrics.INFERENCE_DURATION, part="count")
    retrieval = match(attr.GEN_AI_OPERATION_NAME, spans.RETRIEVAL)
    buckets = count_recent(
        select(metrics.OPERATION_DURATION, retrieval, part="bucket"), windows.retrieval_s, windows
    )
    return Group(
        "taskscope-models",
        (_failing(config), _rate_limited(config), _retrying(config), _retrieval_slow(config)),
        (
            Recording(CALLS_RECENT, count_recent(calls, windows.calls_s, windows)),
            Recording(RETRIES_RECENT, count_recent(select(metrics.LLM_RETRIES), windows.calls_s, windows)),
            Recording(RETRIEVALS_RECENT, total(buckets, ("le", *labels()))),
        ),
    )


def _failing(config: Config) -> Alert:
    failed = total(f"{CALLS_RECENT}{{{differ(attr.ERROR_TYPE, '')}}}", _BY_MODEL)
    made = total(CALLS_RECENT, _BY_MODEL)
    return Alert(
        name="TaskscopeLlmCallsFailing",
        value=failed,
        limit=config.limits.llm_failed,
        guard=f"and\n{failed} / {made} >= {config.limits.llm_failed_share:g}",
        severity="error",
        summary=f"{{{{ $labels.job }}}}: {{{{ $value }}}} calls of {_MODEL} failed",
        description=(
            f"Within {duration(config.windows.calls_s)} at least {config.limits.llm_failed_share:.0%} "
            f"of the calls on "
            "{{ $labels.instance }} failed, after the client's own retries."
        ),
    )


def _rate_limited(config: Config) -> Alert:
    limited = f"{CALLS_RECENT}{{{match(attr.ERROR_TYPE, _RATE_LIMITED)}}}"
    return Alert(
        name="TaskscopeLlmRateLimited",
        value=total(limited, _BY_MODEL),
        limit=config.limits.llm_rate_limited,
        severity="warning",
        summary=f"{{{{ $labels.job }}}}: {_MODEL} refused {{{{ $value }}}} calls with HTTP 429",
        description=(
            "The provider limits the rate of {{ $labels.instance }}, or its account is empty; waiting and "
            "repeating did not help."
        ),
    )


def _retrying(config: Config) -> Alert:
    return Alert(
        name="TaskscopeLlmRetrying",
        value=total(RETRIES_RECENT, _BY_MODEL),
        limit=config.limits.llm_retries,
        severity="warning",
        summary=f"{{{{ $labels.job }}}}: {{{{ $value }}}} requests to {_MODEL} had to be repeated",
        description=(
            f"Within {duration(config.windows.calls_s)}, on {{{{ $labels.instance }}}}: the provider "
            f"is overloaded or "
            "limits the rate. Tasks take longer; calls may fail next."
        ),
    )


def _retrieval_slow(config: Config) -> Alert:
    number = total(f'{RETRIEVALS_RECENT}{{le="+Inf"}}', labels())
    return Alert(
        name="TaskscopeRetrievalSlow",
        value=f"histogram_quantile(0.95, {RETRIEVALS_RECENT})",
        limit=config.limits.retrieval_p95_s,
        comparison=">",
        guard=f"and\n{number} >= {config.limits.retrievals:g}",
        severity="warning",
        summary="{{ $labels.job }}: one retrieval in twenty takes more than {{ $value | humanizeDuration }}",
        description="On {{ $labels.instance }}: the embedder, the vector store or the index is slow.",
    )
