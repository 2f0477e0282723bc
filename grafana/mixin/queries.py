"""Queries of the panels: PromQL, TraceQL and LogQL, from the declarations of `taskscope.semconv`.

Every PromQL selector names the chosen services and hosts. For what a host's recorder sends, `job` is the
service (with its namespace before a slash) and `instance` the host's store; for what the gateway derives from
the spans of other senders `job` is the same, since the scrape honours it.
"""

from __future__ import annotations

from typing import Final

from taskscope.semconv.attributes import GEN_AI_AGENT_NAME, GEN_AI_REQUEST_MODEL, TASK_KIND
from taskscope.semconv.metrics import RECORDER_FILE_SIZE, Metric, prometheus_label

HOST: Final = ("job", "instance")
"""Who says so."""
SCOPE: Final = 'job=~"$job", instance=~"$instance"'
"""What every selector of a host's metrics holds: the linter's target-job-rule and target-instance-rule."""
VARIABLES: Final = {TASK_KIND: "kind", GEN_AI_AGENT_NAME: "agent", GEN_AI_REQUEST_MODEL: "model"}
"""Attribute to the variable that narrows it; its "all" is any value and none."""
SERVICE: Final = "service"
"""The hidden variable with the `service.name` of each chosen job: a job has the namespace before it."""
RANGE: Final = "$__range"
MEMORY: Final = "1d"
"""How far back the last value of a counter is looked for."""
LINE: Final = (
    "line_format `{{__line__}}  {{.taskscope_task_id}} {{.taskscope_task_outcome}} {{.taskscope_plan_reason}}"
    " {{.gen_ai_skill_name}} {{.taskscope_drop_reason}} {{.error_type}} {{.exception_message}}"
    " {{.taskscope_error_hint}}`"
)
"""A line and what an event says; events have no text, the gateway writes their name there."""
MICRO: Final = 1_000_000


def select(metric: Metric, *matchers: str, part: str = "") -> str:
    """A selector of a metric's series on the chosen hosts, narrowed by each variable that has a label."""
    name = f"{metric.prometheus_name}_{part}" if part else metric.prometheus_name
    narrowed = [
        f'{prometheus_label(key)}=~"${name}"' for key, name in VARIABLES.items() if key in metric.labels
    ]
    return f"{name}{{{', '.join((SCOPE, *narrowed, *matchers))}}}"


def among(key: str, *values: str) -> str:
    """A matcher: the attribute has one of these values."""
    return f'{prometheus_label(key)}=~"{"|".join(values)}"'


def is_set(key: str) -> str:
    """A matcher: the attribute has any value."""
    return f'{prometheus_label(key)}!=""'


def total(expr: str, *keys: str, operator: str = "sum") -> str:
    """An aggregation by attributes or labels; without any over all."""
    by = f" by ({', '.join(map(prometheus_label, keys))})" if keys else ""
    return f"{operator}{by} ({expr})"


def rate(selector: str) -> str:
    """Growth in a second, by Grafana's window of at least four sendings."""
    return f"rate({selector}[$__rate_interval])"


def grown(selector: str, window: str = RANGE) -> str:
    """How much a counter grew within a window, exactly, for each series.

    `increase()` extrapolates (one task may be 0.9 or 1.4) and sees nothing of a program that sent once. A
    series seen before the window: what came on top. A new one of a host that was seen before: all of it. A
    new host: what came after its first sample, which is the zero of its start time when it is really new, and
    not when a store of last week is connected for the first time.
    """
    now = f"last_over_time({selector}[{window}])"
    known = f"last_over_time({RECORDER_FILE_SIZE.prometheus_name}{{{SCOPE}}}[{MEMORY}] offset {window})"
    return (
        f"({now} - last_over_time({selector}[{MEMORY}] offset {window}) >= 0"
        f" or {now} and on (job, instance) {known}"
        f" or {now} - min_over_time({selector}[{window}]))"
    )


def quantile(share: float, buckets: str, *keys: str) -> str:
    """A quantile of a histogram from growing or grown buckets."""
    return f"histogram_quantile({share:g}, {total(buckets, 'le', *keys)})"


def p95(metric: Metric, *keys: str) -> str:
    """What 95 % of a histogram's measurements are at most, over time."""
    return quantile(0.95, rate(select(metric, part="bucket")), *keys)


def ratio(part: str, whole: str) -> str:
    """A share; nothing where there is no whole, instead of a division by 0."""
    return f"{part} / ({whole} > 0)"


def split(part: str, whole: str, key: str) -> str:
    """Shares of a whole that has only this one of the parts' labels."""
    return f"{part} / on ({prometheus_label(key)}) group_left () ({whole} > 0)"


def or_zero(failed: str, tried: str) -> str:
    """A count of failures that is absent before the first one: who tried and failed nothing has failed 0."""
    return f"{failed} or {tried} * 0"


def positive(expr: str) -> str:
    """The same where it is above 0, so that nothing is shown as nothing."""
    return f"{expr} > 0"


def where_called(amount: str, calls: str, *keys: str) -> str:
    """An amount of what calls brought; its 0 only where there were calls, by the labels that both have.

    A counter that was there before and did not grow says 0 as well when nothing was called, which is to be
    shown as nothing; calls at a price of 0 cost 0, which is to be shown as 0. What is above 0 is never
    hidden.
    """
    return f"{positive(amount)} or {beside(amount, f'({positive(calls)})', *keys)}"


def beside(expr: str, others: str, *keys: str) -> str:
    """Those of an expression that stand beside one of the others, by the labels that both have."""
    return f"{expr} and on ({', '.join(map(prometheus_label, keys))}) {others}"


def spans(*conditions: str) -> str:
    """A TraceQL filter of spans of the chosen services."""
    chosen = f'resource.service.name =~ "${SERVICE}"'
    return f"{{ {' && '.join((chosen, *conditions))} }}"


def span(key: str) -> str:
    """An attribute of a span in TraceQL."""
    return f"span.{key}"


def equals(key: str, *values: str) -> str:
    """A condition in TraceQL: the attribute has one of these values."""
    if len(values) == 1:
        return f'{span(key)} = "{values[0]}"'
    return f'{span(key)} =~ "{"|".join(values)}"'


def selected(query: str, *keys: str) -> str:
    """The same, with attributes of each span found."""
    return f"{query} | select({', '.join(map(span, keys))})"


def logs(*filters: str) -> str:
    """A LogQL pipeline over the chosen services; attributes are structured metadata, never parsed JSON."""
    return " ".join((f'{{service_name=~"${SERVICE}"}}', *(f"| {one}" for one in filters)))


def events(*names: str) -> str:
    """LogQL for events by their names, which the gateway keeps as attributes: Loki has no place for them."""
    return logs(f'event_name =~ "{"|".join(names)}"') + f" | {LINE}"


def field(key: str, value: str, operator: str = "=") -> str:
    """A filter by an attribute of a log record, spelt as Loki spells it."""
    return f'{prometheus_label(key)} {operator} "{value}"'
