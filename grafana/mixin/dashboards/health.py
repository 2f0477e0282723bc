"""Health checks of the hosts, and the service that answers for them."""

from __future__ import annotations

from typing import Final

from grafana.mixin.builders import chart, instant, lines, log, search, table, timeline
from grafana.mixin.panels import Page, Query, Row
from grafana.mixin.queries import among, logs, p95, rate, select, selected, spans, total
from grafana.mixin.tables import TO_TRACE_ALONE, columns
from grafana.mixin.variables import EVERYWHERE
from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.semconv.events import HEALTH_STATUS_CHANGED

_NONE: Final = "no health checks run"
_CHECK: Final = ("instance", attr.HEALTH_CHECK)
_SAID: Final = (
    attr.HEALTH_CHECK,
    attr.HEALTH_GROUP,
    attr.HEALTH_STATUS,
    attr.HEALTH_CONSECUTIVE_FAILURES,
    attr.ERROR_TYPE,
)
"""What a run of a check says."""
_OF_CHECK: Final = ("job", *_CHECK, attr.HEALTH_GROUP, attr.HEALTH_STATUS)
_STATUS: Final = metrics.HEALTH_STATUS
_STATES: Final = ((0.0, "pass", "green"), (1.0, "warn", "yellow"), (2.0, "fail", "red"))


def _is(*statuses: str) -> str:
    """1 for each check of a host that has one of these, else 0."""
    return select(_STATUS, among(attr.HEALTH_STATUS, *statuses))


_NOW: Final = (
    f"{total(_is('fail'), *_CHECK, operator='max')} * 2"
    " + on (instance, taskscope_health_check) "
    f"{total(_is('warn'), *_CHECK, operator='max')}"
)
"""0 passes, 1 warns, 2 fails: a check has one status at a time."""

_WELL: Final = Row(
    "Is every host well?",
    (
        timeline(
            "Checks over time",
            Query(_NOW, "{{taskscope_health_check}} {{instance}}"),
            description="The status of each check of each host.",
            bad="Red: what it needs is missing; the text of the last run stands in its trace below.",
            empty=_NONE,
            height=14,
            states=_STATES,
            alerts=("TaskscopeHealthFailing",),
        ),
        table(
            "Checks that do not pass now",
            instant(
                f"{total(_is('warn', 'fail'), *_OF_CHECK, operator='max')} == 1",
                "Now",
                attr.HEALTH_CHECK,
                attr.HEALTH_STATUS,
            ),
            description="By host: the check, its group (`ready` takes a host out of work) and its status.",
            bad="Any row. `warn` works on, with less.",
            empty="all checks pass",
            columns=(
                ("job", "Service"),
                ("instance", "Host"),
                ("taskscope_health_check", "Check"),
                ("taskscope_health_group", "Group"),
                ("taskscope_health_status", "Status"),
            ),
            alerts=("TaskscopeHealthFailing",),
        ),
        chart(
            "Time since the last run",
            Query(
                f"time() - {total(select(metrics.HEALTH_CHECK_TIMESTAMP), *_CHECK, operator='max')}",
                "{{taskscope_health_check}} {{instance}}",
            ),
            description="How old the word of each check is.",
            bad="A line that rises: the monitor is not running, so that the status above is an old one.",
            unit="s",
            empty=_NONE,
        ),
        chart(
            "How long a check takes",
            Query(
                p95(metrics.HEALTH_CHECK_DURATION, attr.HEALTH_CHECK),
                "p95 {{taskscope_health_check}}",
            ),
            description="95 % of the runs of a check take at most this.",
            bad="A check that gets slow will fail next: a disk, a database, a program that hangs.",
            unit="s",
            empty=_NONE,
        ),
        table(
            "Runs that did not pass",
            search(
                selected(
                    spans(f'span.{attr.HEALTH_STATUS} =~ "warn|fail"'),
                    *_SAID,
                ),
                attr.HEALTH_CHECK,
                attr.HEALTH_STATUS,
            ),
            description="The newest runs with `warn` or `fail`; those that pass are not kept as traces.",
            bad="Many in a row: it does not come back by itself.",
            empty="all checks passed",
            columns=columns("time", *_SAID),
            links=TO_TRACE_ALONE,
        ),
        log(
            "Changes of status",
            lines(
                logs(f'event_name = "{HEALTH_STATUS_CHANGED}"')
                + " | line_format `{{.taskscope_health_check}}: {{.taskscope_health_previous_status}} ->"
                " {{.taskscope_health_status}}`",
                "taskscope_health_check",
                "taskscope_health_status",
            ),
            description="Each time that a check changed its mind.",
            bad="One that goes to and fro: it is at its limit.",
            empty="no changes",
        ),
    ),
)

_SERVICE: Final = Row(
    "Does `serve` answer?",
    (
        chart(
            "Requests",
            Query(
                total(
                    rate(select(metrics.HTTP_SERVER_DURATION, part="count")),
                    attr.HTTP_REQUEST_METHOD,
                    attr.HTTP_ROUTE,
                    attr.HTTP_RESPONSE_STATUS_CODE,
                ),
                "{{http_request_method}} {{http_route}} {{http_response_status_code}}",
            ),
            description="Requests per second that `taskscope serve` answered, by route and status.",
            bad="5xx: it fails; 4xx: somebody asks wrongly; 429, 503: it is full.",
            unit="reqps",
            empty="no requests",
        ),
        chart(
            "How long an answer takes",
            Query(
                p95(metrics.HTTP_SERVER_DURATION, attr.HTTP_ROUTE),
                "p95 {{http_route}}",
            ),
            description="95 % of the answers of a route take at most this.",
            bad="Seconds: the store is large, or its disk slow.",
            unit="s",
            empty="no requests",
        ),
    ),
)

PAGE: Final = Page(
    uid="taskscope-health",
    title="Taskscope / Health",
    question="Is every host well, and since when not?",
    rows=(_WELL, _SERVICE),
    variables=EVERYWHERE,
)
