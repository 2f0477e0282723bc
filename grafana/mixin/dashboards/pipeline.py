"""The way of the telemetry itself: recorders, Collectors, sampling, backends; whether to trust the numbers.

The Collector's and the backends' metrics are not of our contract: names are those of the pinned versions, the
Collector's without type suffix. One long declaration on purpose, read from top to bottom like the page.
"""

from __future__ import annotations

from typing import Final

from grafana.mixin.builders import chart, instant, stat, table, timeline
from grafana.mixin.config import CONFIG
from grafana.mixin.panels import Page, Query, Row, Step
from grafana.mixin.queries import HOST, grown, is_set, or_zero, p95, rate, ratio, select, total
from grafana.mixin.variables import HOSTS
from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics

_NONE: Final = "no hosts"
_WAY: Final = (attr.SIGNAL, attr.DESTINATION)
_WAY_COLUMNS: Final = (("taskscope_signal", "Signal"), ("taskscope_destination", "Destination"))
_WAY_LEGEND: Final = "{{taskscope_signal}} to {{taskscope_destination}}"
_DROPPED: Final = select(metrics.RECORDS_DROPPED)
_REQUESTS: Final = select(metrics.SHIPPER_REQUEST_DURATION, part="count")
_FAILED_REQUESTS: Final = select(metrics.SHIPPER_REQUEST_DURATION, is_set(attr.ERROR_TYPE), part="count")
_USED: Final = f"{select(metrics.RECORDER_FILE_SIZE)} - {select(metrics.RECORDER_FILE_FREE)}"
_ACCOUNTED: Final = " + ".join(
    total(select(metric), *HOST, *_WAY)
    for metric in (metrics.RECORDS_DELIVERED, metrics.RECORDS_DROPPED, metrics.RECORDS_PENDING)
)
_TIERS: Final = 'job=~"collector-agent|collector-gateway"'
_ITEMS: Final = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}
_SAMPLING_PREFIX: Final = "otelcol_processor_tail_sampling"
_BACKENDS: Final = (
    'job=~"prometheus|tempo|loki|alertmanager|collector-agent|collector-gateway|gateway-derived"'
)


def _of_way(name: str, metric: metrics.Metric) -> Query:
    return instant(total(select(metric), *_WAY), name, *_WAY)


def _grow(counter: str, more: str = "") -> str:
    """Growth in a second of one of the Collector's counters, in both tiers."""
    return rate(f"{counter}{{{_TIERS}{more}}}")


def _name_signal(expr: str, signal: str) -> str:
    """The Collector says the signal in a counter's name only; here it becomes a label."""
    return f'label_replace({expr}, "signal", "{signal}", "", "")'


def _by_signal(counter: str, *keys: str) -> str:
    """The counters of all three signals."""
    grown_by = (
        (total(_grow(f"{counter}_{items}"), "job", *keys), signal) for signal, items in _ITEMS.items()
    )
    return " or ".join(_name_signal(expr, signal) for expr, signal in grown_by)


def _failures(counter: str) -> str:
    """A failure counter is absent before the first failure: who has sent and failed nothing has failed 0."""
    by = ("job", "exporter")
    found = []
    for signal, items in _ITEMS.items():
        failed, sent = (total(_grow(f"{name}_{items}"), *by) for name in (counter, "otelcol_exporter_sent"))
        found.append(_name_signal(or_zero(failed, sent), signal))
    return " or ".join(found)


_RECORDS: Final = Row(
    "Does every record arrive?",
    (
        table(
            "Accounting",
            instant(
                total(select(metrics.RECORDS_EMITTED), attr.SIGNAL)
                + " * on (taskscope_signal) group_right () "
                + total(select(metrics.RECORDS_DELIVERED), *_WAY, operator="group"),
                "Emitted",
                *_WAY,
            ),
            _of_way("Delivered", metrics.RECORDS_DELIVERED),
            _of_way("Dropped", metrics.RECORDS_DROPPED),
            _of_way("Pending", metrics.RECORDS_PENDING),
            _of_way("of these in quarantine", metrics.RECORDS_QUARANTINED),
            description=(
                "Since the stores were made: emitted = delivered + dropped + pending, there is no fourth "
                "place."
            ),
            bad="Dropped, unless it is `expired`; quarantine waits for a person.",
            empty=_NONE,
            columns=_WAY_COLUMNS,
            alerts=("TaskscopeRecordsDropped", "TaskscopeRecordsQuarantined"),
        ),
        stat(
            "Unaccounted for",
            Query(
                "max(abs("
                f"{total(select(metrics.RECORDS_EMITTED), *HOST, attr.SIGNAL)}"
                f" - on (job, instance, taskscope_signal) group_right () ({_ACCOUNTED})))",
            ),
            description="The greatest gap in the equation above, over all hosts, signals and destinations.",
            bad="Anything but 0 is a fault of ours.",
            empty=_NONE,
            steps=(Step(CONFIG.marks.records_unaccounted, "red"),),
            height=8,
        ),
        chart(
            "Dropped records",
            Query(
                f"{total(rate(_DROPPED), attr.DROP_REASON)} * 3600",
                "{{taskscope_drop_reason}}",
            ),
            description="Records per hour that will not arrive, and why.",
            bad="All but `expired`, which left a store by age or size and was promised to nobody.",
            unit="suffix:/h",
            empty=_NONE,
            width=8,
            alerts=("TaskscopeRecordsDropped",),
        ),
        chart(
            "Records that wait",
            Query(total(select(metrics.RECORDS_PENDING), *_WAY), _WAY_LEGEND),
            description="Recorded, and not yet taken by the backend; quarantined ones included.",
            bad="A line that rises: the backend is down or refuses, or nothing on the host sends.",
            unit="none",
            empty=_NONE,
            alerts=("TaskscopeRecordsWaiting",),
        ),
        chart(
            "Time since a backend took something",
            Query(
                f"time() - {total(select(metrics.SHIPPER_SUCCESS_TIMESTAMP), *_WAY, operator='max')}",
                _WAY_LEGEND,
            ),
            Query(
                f"time() - {total(select(metrics.RECORDS_OLDEST_PENDING), *_WAY, operator='min')}",
                f"oldest that waits: {_WAY_LEGEND}",
            ),
            description="Of the host that sent last; and the age of the oldest record that waits anywhere.",
            bad="The oldest that waits gets older: see the backend, then `taskscope records`.",
            unit="s",
            empty="nothing was sent yet",
            steps=(Step(CONFIG.windows.pending_age_s, "red"),),
            alerts=("TaskscopeRecordsWaiting",),
        ),
        chart(
            "Requests to backends",
            Query(
                p95(metrics.SHIPPER_REQUEST_DURATION, *_WAY),
                f"p95 {_WAY_LEGEND}",
            ),
            description="95 % of the requests of the hosts' shippers take at most this.",
            bad="Near the timeout: what succeeds after it arrives twice.",
            unit="s",
            empty="no requests",
        ),
        chart(
            "Failed requests to backends",
            Query(
                or_zero(
                    total(rate(_FAILED_REQUESTS), attr.DESTINATION, attr.ERROR_TYPE) + " * 3600",
                    total(rate(_REQUESTS), attr.DESTINATION),
                ),
                "{{taskscope_destination}} {{error_type}}",
                optional=("error_type",),
            ),
            description="Requests per hour that failed and are repeated, by HTTP status or exception.",
            bad="401, 403, 404: the address or the key. 429, 5xx, no connection: the backend.",
            unit="suffix:/h",
            empty="no failed requests",
        ),
        chart(
            "The stores",
            Query(
                ratio(
                    total(_USED, *HOST, operator="max"),
                    total(select(metrics.RECORDER_FILE_LIMIT), *HOST, operator="max"),
                ),
                "{{job}} {{instance}}",
            ),
            description="What the store of each host holds, of what it may take.",
            bad="Above 90 % for long: retention does not keep up; when it is full, new records are dropped.",
            unit="percentunit",
            empty=_NONE,
            steps=(Step(CONFIG.limits.store_share, "red"),),
            alerts=("TaskscopeStoreFilling",),
        ),
        chart(
            "The writers",
            Query(p95(metrics.RECORDER_WRITE_DURATION), "p95 of a transaction"),
            description="95 % of the transactions into a store take at most this.",
            bad="Seconds: the disk is slow or full; records wait in the journal meanwhile.",
            unit="s",
            empty="nothing was written",
        ),
        table(
            "Recovered spans, errors of ours",
            instant(
                total(grown(select(metrics.RECORDS_RECOVERED)), *HOST),
                "Spans brought home from dead processes",
                *HOST,
            ),
            instant(total(grown(select(metrics.INTERNAL_ERRORS)), *HOST), "Errors inside Taskscope", *HOST),
            description="In the chosen time, by host.",
            bad="Recovered spans: processes die. Errors inside Taskscope: 0 is the only good value.",
            empty=_NONE,
            columns=(("job", "Service"), ("instance", "Host")),
            alerts=("TaskscopeInternalErrors", "TaskscopeTasksInterrupted"),
        ),
    ),
)

_COLLECTOR: Final = Row(
    "Does the Collector keep up?",
    (
        chart(
            "Received",
            Query(_by_signal("otelcol_receiver_accepted"), "{{job}} {{signal}}"),
            description="Spans, log records and metric points per second, by tier.",
            bad="The gateway takes less than the agent tier for long: a queue fills between them.",
            unit="cps",
            empty="no Collector",
        ),
        chart(
            "Refused at the door",
            Query(_by_signal("otelcol_receiver_refused"), "{{job}} {{signal}}"),
            description=(
                "Items per second that a receiver refused: the memory limit, or a full queue behind it."
            ),
            bad="Senders repeat what is refused; nothing is lost, but it comes late.",
            unit="cps",
            empty="no Collector",
            alerts=("TaskscopeCollectorRefusing",),
        ),
        chart(
            "Queues",
            Query(
                f"max by (job, exporter, data_type) (otelcol_exporter_queue_size{{{_TIERS}}})"
                f" / max by (job, exporter, data_type) (otelcol_exporter_queue_capacity{{{_TIERS}}})",
                "{{job}} {{exporter}} {{data_type}}",
            ),
            description="How full each persistent queue is.",
            bad="What it sends to is down or slow. When it is full, senders have to wait.",
            unit="percentunit",
            empty="no Collector",
            steps=(Step(CONFIG.limits.collector_queue_share, "red"),),
            alerts=("TaskscopeCollectorQueueFilling",),
        ),
        chart(
            "Sent on",
            Query(_by_signal("otelcol_exporter_sent", "exporter"), "{{job}} {{exporter}} {{signal}}"),
            description="Items per second that the next one took.",
            bad="Nothing, while something is received.",
            unit="cps",
            empty="no Collector",
        ),
        chart(
            "Given up after sending",
            Query(_failures("otelcol_exporter_send_failed"), "{{job}} {{exporter}} {{signal}}"),
            description="Items per second that the next one refused for good.",
            bad="Anything above 0 is lost.",
            unit="cps",
            empty="no Collector",
            alerts=("TaskscopeCollectorDropping",),
        ),
        chart(
            "Not taken by a queue",
            Query(_failures("otelcol_exporter_enqueue_failed"), "{{job}} {{exporter}} {{signal}}"),
            description="Items per second that an exporter's queue did not take.",
            bad="Anything above 0 is lost, unless its sender repeats it.",
            unit="cps",
            empty="no Collector",
            alerts=("TaskscopeCollectorDropping",),
        ),
        chart(
            "Points of derived metrics that were not added",
            Query(
                or_zero(
                    total(_grow("otelcol_deltatocumulative_datapoints", ', error!=""'), "job", "error"),
                    total(f"otelcol_deltatocumulative_streams_tracked{{{_TIERS}}}", "job"),
                ),
                "{{job}} {{error}}",
                optional=("error",),
            ),
            description="What the gateway counts from the spans of other senders, and could not add up.",
            bad="Tokens, cost and outcomes of senders without Taskscope are too low from then on.",
            unit="cps",
            empty="no Collector",
            alerts=("TaskscopeDerivedMetricsWrong",),
        ),
        chart(
            "Memory",
            Query(f"max by (job) (otelcol_process_memory_rss{{{_TIERS}}})", "{{job}}"),
            description="Resident memory of each tier.",
            bad="At its limit a tier refuses what comes, until there is room.",
            unit="bytes",
            empty="no Collector",
            alerts=("TaskscopeCollectorRefusing",),
        ),
    ),
)

_DROPPED_EARLY: Final = total(_grow(f"{_SAMPLING_PREFIX}_sampling_trace_dropped_too_early"))
_DROPPED_LARGE: Final = total(_grow(f"{_SAMPLING_PREFIX}_traces_dropped_too_large"))
_SAMPLING: Final = Row(
    "What does sampling keep?",
    (
        chart(
            "Decisions, by policy",
            Query(
                total(_grow(f"{_SAMPLING_PREFIX}_count_traces_sampled"), "policy", "decision") + " * 60",
                "{{policy}}: {{decision}}",
            ),
            description=(
                "What each policy said of the traces, per minute; one that says yes is enough. Scale "
                "overlay only."
            ),
            bad="`errors` keeps most: see Fleet.",
            unit="suffix:/min",
            empty="no sampling: every trace is kept (the scale overlay samples)",
        ),
        chart(
            "Kept traces",
            Query(
                total(_grow(f"{_SAMPLING_PREFIX}_global_count_traces_sampled"), "decision") + " * 60",
                "{{decision}}",
            ),
            Query(
                f"({_DROPPED_EARLY} + {or_zero(_DROPPED_LARGE, _DROPPED_EARLY)}) * 60",
                "dropped before a decision",
            ),
            description="Traces per minute by decision. Metrics count all of them, whatever is decided.",
            bad="Dropped before a decision: more traces than the gateway can hold, or one too large.",
            unit="suffix:/min",
            empty="no sampling: every trace is kept (the scale overlay samples)",
            alerts=("TaskscopeSamplingLosing",),
        ),
        chart(
            "Traces that wait for a decision",
            Query(
                f"max by (job, instance) ({_SAMPLING_PREFIX}_sampling_traces_on_memory{{{_TIERS}}})",
                "{{instance}}",
            ),
            description="In the memory of each gateway.",
            bad="At `num_traces` of collector/overlays/scale.yaml senders wait.",
            unit="short",
            empty="no sampling: every trace is kept (the scale overlay samples)",
            steps=(Step(CONFIG.limits.sampling_waiting, "orange"),),
            alerts=("TaskscopeSamplingFull",),
        ),
    ),
)

_STORES: Final = Row(
    "Are the backends up?",
    (
        timeline(
            "Up",
            Query(f"max by (job, instance) (up{{{_BACKENDS}}})", "{{job}}", labels=("job", "instance")),
            description="Whether Prometheus can read the metrics of each program of the pipeline.",
            bad="Down: senders keep what they cannot deliver and send it later.",
            empty="Prometheus scrapes nothing",
            states=((0.0, "down", "red"), (1.0, "up", "green")),
            alerts=("TaskscopeBackendDown",),
        ),
        chart(
            "What the backends take",
            Query(
                'sum(rate(tempo_distributor_spans_received_total{job="tempo"}[$__rate_interval]))',
                "Tempo: spans",
            ),
            Query(
                'sum(rate(loki_distributor_lines_received_total{job="loki"}[$__rate_interval]))',
                "Loki: lines",
            ),
            Query(
                'sum(rate(prometheus_tsdb_head_samples_appended_total{job="prometheus"}[$__rate_interval]))',
                "Prometheus: samples",
            ),
            description="Per second, by their own count.",
            bad="One that falls to nothing while the gateway sends.",
            unit="cps",
            empty="no backends",
            alerts=(
                "TaskscopePrometheusNotStoring",
                "TaskscopePrometheusLosing",
                "TaskscopeTempoNotFlushing",
            ),
        ),
        chart(
            "Series in Prometheus",
            Query('max by (instance) (prometheus_tsdb_head_series{job="prometheus"})', "{{instance}}"),
            description="Series in memory.",
            bad="A line that rises without end: a label holds ids.",
            unit="short",
            empty="no Prometheus",
        ),
    ),
)

PAGE: Final = Page(
    uid="taskscope-pipeline",
    title="Taskscope / Pipeline",
    question="Does every record arrive, and can these numbers be trusted?",
    rows=(_RECORDS, _COLLECTOR, _SAMPLING, _STORES),
    variables=HOSTS,
)
