"""What each alert is to do, told in samples and times by hand: no number here comes from the code.

A series' text is promtool's: `3x40` is 41 samples of 3, one a minute, but `_x40` is 40 times none. At each
time of `states` exactly the things of its list fire; a thing is told by some of its labels. The end is quiet:
what fired has resolved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

HOST = 'job="shop",instance="store-1"'
KNOWN = {f"taskscope_recorder_file_size_bytes{{{HOST}}}": "1x3000"}
"""A host that has been sending for long."""
IT = {"job": "shop"}
"""The one host of most cases, when nothing more is asked."""


@dataclass(frozen=True, slots=True)
class Case:
    alert: str
    law: str
    series: Mapping[str, str]
    states: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    is_of_days: bool = False
    """Evaluated each five minutes, since it is long: a case of how far back counters are remembered."""


def tasks(outcome: str, kind: str = "repair", host: str = HOST) -> str:
    labels = f'taskscope_task_kind="{kind}",taskscope_task_outcome="{outcome}"'
    return f"taskscope_task_executions_total{{{host},{labels}}}"


def tasks_without_outcome(error: str) -> str:
    error_label = f',error_type="{error}"' if error else ""
    return f'taskscope_task_executions_total{{job="shop/cart",instance="127.0.0.1:24889"{error_label}}}'


def calls(error: str = "") -> str:
    error_label = f',error_type="{error}"' if error else ""
    model = 'gen_ai_provider_name="openai",gen_ai_request_model="m"'
    return f"gen_ai_client_inference_duration_seconds_count{{{HOST},{model}{error_label}}}"


def retrievals(bound: str) -> str:
    labels = f'{HOST},gen_ai_operation_name="retrieval",le="{bound}"'
    return f"gen_ai_client_operation_duration_seconds_bucket{{{labels}}}"


def slow(all_of_them: str, fast_ones: str) -> Mapping[str, str]:
    bounds = {"2.56": fast_ones, "5.12": all_of_them, "+Inf": all_of_them}
    return {**KNOWN, **{retrievals(bound): values for bound, values in bounds.items()}}


def dropped(reason: str) -> str:
    way = 'taskscope_signal="traces",taskscope_destination="otlp"'
    return f'taskscope_records_dropped_total{{{HOST},{way},taskscope_drop_reason="{reason}"}}'


def waiting(what: str) -> str:
    return f'taskscope_records_{what}{{{HOST},taskscope_signal="logs",taskscope_destination="otlp"}}'


def of_gateway(metric: str, labels: str = "") -> str:
    return f'{metric}{{job="gateway",instance="127.0.0.1:24888"{labels}}}'


REPAIR = {"job": "shop", "instance": "store-1", "taskscope_task_kind": "repair"}
FAILED, SUCCEEDED, INTERRUPTED = tasks("failed"), tasks("succeeded"), tasks("interrupted")
USAGE = f"taskscope_budget_usage_micro_usd{{{HOST}}}"
CAP = f"taskscope_budget_limit_micro_usd{{{HOST}}}"
COST = f'taskscope_llm_cost_micro_usd_total{{{HOST},gen_ai_request_model="m"}}'
UNPRICED = (
    f'taskscope_llm_unpriced_calls_total{{{HOST},gen_ai_provider_name="openai",gen_ai_request_model="m"}}'
)
RETRIES = f'taskscope_llm_retries_total{{{HOST},gen_ai_provider_name="openai",gen_ai_request_model="m"}}'
SILENCE = f"taskscope_task_silence_max_seconds{{{HOST}}}"
IN_A_ROW = f'taskscope_task_consecutive_failures{{{HOST},taskscope_task_kind="repair"}}'
ERRORS = f'taskscope_internal_errors_total{{{HOST},taskscope_component="shipper",error_type="OSError"}}'
FILE, FILE_FREE, FILE_LIMIT = (
    f"taskscope_recorder_file_{what}_bytes{{{HOST}}}" for what in ("size", "free", "limit")
)
REFUSED = of_gateway("otelcol_receiver_refused_spans", ',receiver="otlp",transport="http"')
SEND_FAILED = of_gateway("otelcol_exporter_send_failed_log_records", ',exporter="otlp_http/loki"')
ENQUEUE_FAILED = of_gateway("otelcol_exporter_enqueue_failed_spans", ',exporter="otlp_grpc/tempo"')
DELTAS = "otelcol_deltatocumulative_datapoints"
SAMPLING = "otelcol_processor_tail_sampling"
LOKI = ',exporter="otlp_http/loki",data_type="logs"'


def of_prometheus(metric: str, labels: str = "") -> str:
    return f'{metric}{{job="prometheus",instance="127.0.0.1:29090"{labels}}}'


def of_tempo(metric: str) -> str:
    return f'{metric}{{job="tempo",instance="127.0.0.1:23200"}}'


def health(status: str) -> str:
    check = 'taskscope_health_check="index",taskscope_health_group="ready"'
    return f'taskscope_health_status{{{HOST},{check},taskscope_health_status="{status}"}}'


TASKS = (
    Case(
        "TaskscopeTasksFailing",
        "three of six within fifteen minutes fire, as long as they are that young",
        {**KNOWN, FAILED: "0x20 3x40", SUCCEEDED: "0x20 3x40"},
        {"20m": [], "21m": [REPAIR], "35m": [REPAIR], "36m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "two are chance",
        {**KNOWN, FAILED: "0x20 2x40"},
        {"21m": [], "30m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "six of thirteen are a hard day, not a broken agent",
        {**KNOWN, FAILED: "0x20 6x40", SUCCEEDED: "0x20 7x40"},
        {"21m": [], "30m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "those whose process died count as failed",
        {**KNOWN, FAILED: "0x20 2x40", INTERRUPTED: "0x20 1x40"},
        {"20m": [], "21m": [REPAIR], "36m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "kinds of tasks are counted apart",
        {**KNOWN, FAILED: "0x20 2x40", tasks("failed", "review"): "0x20 3x40"},
        {"20m": [], "21m": [{"taskscope_task_kind": "review"}], "36m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "a new host's first three count: before them stands the zero of its start time",
        {FAILED: "_x5 0 3x40", f"taskscope_recorder_file_size_bytes{{{HOST}}}": "_x6 1x40"},
        {"5m": [], "6m": [REPAIR], "20m": [REPAIR], "21m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "the first failures of a known host count, though no zero stands before them",
        {**KNOWN, FAILED: "_x21 3x40"},
        {"20m": [], "21m": [REPAIR], "35m": [REPAIR], "36m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "the failures of last week do not fire when their store is connected for the first time",
        {FAILED: "_x5 500x60", f"taskscope_recorder_file_size_bytes{{{HOST}}}": "_x5 1x60"},
        {"5m": [], "6m": [], "15m": [], "30m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "a counter that began anew has what it has",
        {**KNOWN, FAILED: "100x20 3x40"},
        {"20m": [], "21m": [REPAIR], "36m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "a host that fails and ends is seen for the whole window",
        {**KNOWN, FAILED: "0x20 3"},
        {"20m": [], "30m": [REPAIR], "35m": [REPAIR], "36m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "a host that was off for thirteen hours is the same host, and only what is new counts",
        {
            FAILED: "7x10 _x784 10x40",
            f"taskscope_recorder_file_size_bytes{{{HOST}}}": "1x10 _x784 1x40",
        },
        {"790m": [], "795m": [REPAIR], "810m": []},
        is_of_days=True,
    ),
    Case(
        "TaskscopeTasksFailing",
        "after twenty-five hours nobody knows when its failures were",
        {
            FAILED: "7x10 _x1504 10x40",
            f"taskscope_recorder_file_size_bytes{{{HOST}}}": "1x10 _x1504 1x40",
        },
        {"1515m": [], "1520m": [], "1550m": []},
        is_of_days=True,
    ),
    Case(
        "TaskscopeTasksFailing",
        "senders without Taskscope are seen by what the gateway derives",
        {tasks("failed", host='job="shop/cart",instance="127.0.0.1:24889"'): "_x5 0 3x40"},
        {"5m": [], "6m": [{"job": "shop/cart", "instance": "127.0.0.1:24889"}], "21m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "a sender that says no outcome fails by its error, among those that had none",
        {tasks_without_outcome("TimeoutError"): "_x5 0 3x40", tasks_without_outcome(""): "_x5 0 3x40"},
        {"5m": [], "6m": [{"job": "shop/cart"}], "20m": [{"job": "shop/cart"}], "21m": []},
    ),
    Case(
        "TaskscopeTasksFailing",
        "a task that was stopped has an error too, and did not fail",
        {**KNOWN, tasks("stopped").replace("}", ',error_type="cancelled"}'): "0x20 9x40"},
        {"21m": []},
    ),
    Case("TaskscopeTasksFailing", "no tasks are no failures", KNOWN, {"0m": [], "30m": []}),
    Case(
        "TaskscopeTasksFailingInARow",
        "three in a row fire until one succeeds",
        {IN_A_ROW: "2x5 3x5 0x10"},
        {"5m": [], "6m": [REPAIR], "11m": [REPAIR], "12m": []},
    ),
    Case(
        "TaskscopeTasksFailingInARow",
        "the last word of a host that ended counts for an hour",
        {IN_A_ROW: "3"},
        {"0m": [REPAIR], "59m": [REPAIR], "60m": []},
    ),
    Case(
        "TaskscopeTaskSilent",
        "above fifteen minutes",
        {SILENCE: "900x5 901x5 0x5"},
        {"5m": [], "6m": [IT], "11m": [IT], "12m": []},
    ),
    Case(
        "TaskscopeTasksInterrupted",
        "one is enough, and it is seen for fifteen minutes",
        {**KNOWN, INTERRUPTED: "_x21 1x40"},
        {"20m": [], "21m": [REPAIR], "35m": [REPAIR], "36m": []},
    ),
    Case(
        "TaskscopeTasksInterrupted",
        "tasks that failed ended by themselves",
        {**KNOWN, FAILED: "_x21 9x40"},
        {"21m": [], "30m": []},
    ),
    Case(
        "TaskscopeHostSilent",
        "ten minutes without a word from a host with an open task fire, two hours long",
        {SILENCE: "42x10"},
        {"19m": [], "20m": [IT], "129m": [IT], "130m": []},
    ),
    Case(
        "TaskscopeHostSilent",
        "a host that comes back has resolved it",
        {SILENCE: "42x10 _x20 3x5"},
        {"19m": [], "30m": [IT], "32m": []},
    ),
    Case("TaskscopeHostSilent", "a host that went to sleep idle is fine", {SILENCE: "42x5 0x5"}, {"30m": []}),
)

COSTS = (
    Case(
        "TaskscopeCostNearCap",
        "from 80 % on, until the cap takes over",
        {USAGE: "799999x5 800000x5 1000000x5", CAP: "1000000x20"},
        {"5m": [], "6m": [IT], "11m": [IT], "12m": []},
    ),
    Case(
        "TaskscopeCostCapReached",
        "from 100 % on, until midnight",
        {USAGE: "999999x5 1000000x5 0x5", CAP: "1000000x20"},
        {"5m": [], "6m": [IT], "11m": [IT], "12m": []},
    ),
    Case("TaskscopeCostCapReached", "without a cap nothing is reached", {USAGE: "9000000x20"}, {"10m": []}),
    Case(
        "TaskscopeCostCapReached",
        "a cap of 0 forbids live calls; nothing was spent",
        {USAGE: "0x20", CAP: "0x20"},
        {"10m": []},
    ),
    Case(
        "TaskscopeCostForecast",
        "a day that will end at 1.06 caps fires, until spending stops",
        {COST: "0+400x120 48000x90", USAGE: "480000+400x120 528000x90", CAP: "1000000x210"},
        {"60m": [], "75m": [IT], "110m": [IT], "140m": []},
    ),
    Case(
        "TaskscopeCostForecast",
        "0.96 caps are within the cap",
        {COST: "0+400x130", USAGE: "380000+400x130", CAP: "1000000x130"},
        {"75m": [], "130m": []},
    ),
    Case(
        "TaskscopeCostForecast",
        "nothing is foreseen before a quarter of the cap is spent, and then not for fifteen minutes",
        {COST: "0+4000x70 280000x90", USAGE: "0+4000x70 280000x90", CAP: "1000000x160"},
        {"77m": [], "78m": [IT], "131m": []},
    ),
    Case(
        "TaskscopeCostForecast",
        "at the cap there is nothing to foresee",
        {COST: "0+10000x110", USAGE: "0+10000x110", CAP: "1000000x110"},
        {"39m": [], "40m": [IT], "99m": [IT], "100m": []},
    ),
    Case(
        "TaskscopeCallsUnpriced",
        "one call is enough, and it is seen for an hour",
        {**KNOWN, UNPRICED: "_x71 1x100"},
        {"70m": [], "71m": [{"gen_ai_request_model": "m"}], "130m": [IT], "131m": []},
    ),
    Case(
        "TaskscopeCallsUnpriced",
        "a call that failed is not one: it is mostly free",
        {**KNOWN, UNPRICED[:-1] + ',taskscope_cost_unknown_reason="call_failed"}': "_x71 1x100"},
        {"71m": [], "130m": []},
    ),
)

MODELS = (
    Case(
        "TaskscopeLlmCallsFailing",
        "five of fifty fire",
        {**KNOWN, calls(): "0x20 45x40", calls("500"): "0x20 5x40"},
        {"20m": [], "21m": [{"gen_ai_request_model": "m"}], "35m": [IT], "36m": []},
    ),
    Case(
        "TaskscopeLlmCallsFailing",
        "five of fifty-one are below a tenth",
        {**KNOWN, calls(): "0x20 46x40", calls("500"): "0x20 5x40"},
        {"21m": []},
    ),
    Case("TaskscopeLlmCallsFailing", "four are few", {**KNOWN, calls("500"): "0x20 4x40"}, {"21m": []}),
    Case(
        "TaskscopeLlmRateLimited",
        "three calls that end with 429 fire",
        {**KNOWN, calls("429"): "_x21 3x40"},
        {"20m": [], "21m": [{"gen_ai_request_model": "m"}], "35m": [IT], "36m": []},
    ),
    Case("TaskscopeLlmRateLimited", "two are few", {**KNOWN, calls("429"): "_x21 2x40"}, {"21m": []}),
    Case("TaskscopeLlmRateLimited", "no other error", {**KNOWN, calls("500"): "_x21 9x40"}, {"21m": []}),
    Case(
        "TaskscopeLlmRetrying",
        "ten repeated requests fire",
        {**KNOWN, RETRIES: "_x21 9x4 10x40"},
        {"25m": [], "26m": [{"gen_ai_request_model": "m"}], "35m": [IT], "36m": []},
    ),
    Case(
        "TaskscopeRetrievalSlow",
        "fifty-one of a thousand above 2.56 s fire, for fifteen minutes",
        slow("0x20 1000x40", "0x20 949x40"),
        {"20m": [], "21m": [IT], "35m": [IT], "36m": []},
    ),
    Case(
        "TaskscopeRetrievalSlow", "one in twenty is at 2.56 s", slow("0x20 100x40", "0x20 95x40"), {"21m": []}
    ),
    Case(
        "TaskscopeRetrievalSlow", "ten are enough", slow("0x20 10x40", "0x20 0x40"), {"21m": [IT], "36m": []}
    ),
    Case("TaskscopeRetrievalSlow", "nine are few", slow("0x20 9x40", "0x20 0x40"), {"21m": []}),
)

HEALTH = (
    Case(
        "TaskscopeHealthFailing",
        "two minutes of fail fire",
        {health("fail"): "0x5 1x9 0x5", health("pass"): "1x5 0x9 1x5"},
        {"7m": [], "8m": [{"taskscope_health_check": "index"}], "15m": [IT], "16m": []},
    ),
    Case(
        "TaskscopeHealthFailing",
        "a warning is no failure",
        {health("fail"): "0x20", health("warn"): "1x20"},
        {"10m": []},
    ),
)

TELEMETRY = (
    Case(
        "TaskscopeRecordsDropped",
        "one record fires, for fifteen minutes",
        {**KNOWN, dropped("queue_full"): "0x20 1x40"},
        {"20m": [], "21m": [{"taskscope_drop_reason": "queue_full"}], "35m": [IT], "36m": []},
    ),
    Case(
        "TaskscopeRecordsDropped",
        "what expired is no loss",
        {**KNOWN, dropped("expired"): "0+9x40"},
        {"30m": []},
    ),
    Case(
        "TaskscopeInternalErrors",
        "one error fires, for fifteen minutes",
        {**KNOWN, ERRORS: "_x21 1x40"},
        {"20m": [], "21m": [{"taskscope_component": "shipper"}], "35m": [IT], "36m": []},
    ),
    Case(
        "TaskscopeRecordsQuarantined",
        "one record fires until somebody saw to it",
        {waiting("quarantined"): "0x5 1x5 0x5"},
        {"5m": [], "6m": [{"taskscope_signal": "logs"}], "11m": [IT], "12m": []},
    ),
    Case(
        "TaskscopeRecordsWaiting",
        "above fifteen minutes, until all is sent",
        {waiting("oldest_pending_timestamp_seconds"): "60x30", waiting("pending"): "5x20 0x10"},
        {"16m": [], "17m": [{"taskscope_signal": "logs"}], "20m": [IT], "21m": []},
    ),
    Case(
        "TaskscopeStoreFilling",
        "ten minutes at 95 % fire",
        {FILE: "96x5 97x20 92x5", FILE_FREE: "2x40", FILE_LIMIT: "100x40"},
        {"15m": [], "16m": [IT], "26m": [IT], "27m": []},
    ),
    Case(
        "TaskscopeStoreFilling",
        "94 % are retention at work, in a file that was full once",
        {FILE: "101x40", FILE_FREE: "7x40", FILE_LIMIT: "100x40"},
        {"30m": []},
    ),
)

COLLECTOR = (
    Case(
        "TaskscopeCollectorRefusing",
        "two minutes of refusing fire, five minutes after the last it is over",
        {REFUSED: "_x6 1+1x9 10x20"},
        {"7m": [], "8m": [{"job": "gateway", "signal": "traces"}], "19m": [{"job": "gateway"}], "20m": []},
    ),
    Case(
        "TaskscopeCollectorDropping",
        "the first item that a backend refused for good fires, though its counter was not there before",
        {SEND_FAILED: "_x21 1x20"},
        {
            "20m": [],
            "21m": [{"exporter": "otlp_http/loki", "signal": "logs"}],
            "25m": [{"signal": "logs"}],
            "26m": [],
        },
    ),
    Case(
        "TaskscopeCollectorDropping",
        "what a queue did not take fires, also after a restart of the Collector",
        {ENQUEUE_FAILED: "100x20 1x20"},
        {"20m": [], "21m": [{"exporter": "otlp_grpc/tempo", "signal": "traces"}], "26m": []},
    ),
    Case(
        "TaskscopeCollectorQueueFilling",
        "a minute at half of the capacity fires",
        {
            of_gateway("otelcol_exporter_queue_size", LOKI): "49x5 50x5 0x5",
            of_gateway("otelcol_exporter_queue_capacity", LOKI): "100x20",
        },
        {
            "6m30s": [],
            "7m": [{"exporter": "otlp_http/loki", "data_type": "logs"}],
            "11m": [{"job": "gateway"}],
            "12m": [],
        },
    ),
    Case(
        "TaskscopeCollectorQueueFilling",
        "just below half is quiet",
        {
            of_gateway("otelcol_exporter_queue_size", LOKI): "49x20",
            of_gateway("otelcol_exporter_queue_capacity", LOKI): "100x20",
        },
        {"10m": []},
    ),
    Case(
        "TaskscopeDerivedMetricsWrong",
        "one point that was not added fires; those that were do not",
        {of_gateway(DELTAS): "0+9x40", of_gateway(DELTAS, ',error="delta.OutOfOrderError"'): "_x21 1x20"},
        {"20m": [], "21m": [{"error": "delta.OutOfOrderError"}], "25m": [{"job": "gateway"}], "26m": []},
    ),
    Case(
        "TaskscopeSamplingLosing",
        "one trace that is too large fires, for five minutes",
        {of_gateway(f"{SAMPLING}_traces_dropped_too_large"): "_x21 1x20"},
        {
            "20m": [],
            "21m": [{"job": "gateway", "reason": "too_large"}],
            "25m": [{"job": "gateway"}],
            "26m": [],
        },
    ),
    Case(
        "TaskscopeSamplingLosing",
        "one that had to go before its time does too; that none had is quiet",
        {of_gateway(f"{SAMPLING}_sampling_trace_dropped_too_early"): "0x20 1x20"},
        {
            "20m": [],
            "21m": [{"job": "gateway", "reason": "too_early"}],
            "25m": [{"job": "gateway"}],
            "26m": [],
        },
    ),
    Case(
        "TaskscopeSamplingFull",
        "a minute at four fifths of num_traces fires",
        {of_gateway(f"{SAMPLING}_sampling_traces_on_memory"): "79999x5 80000x5 0x5"},
        {"6m30s": [], "7m": [{"job": "gateway"}], "11m": [{"job": "gateway"}], "12m": []},
    ),
)

BACKENDS = (
    Case(
        "TaskscopeBackendDown",
        "a minute of silence fires, for the one that is silent",
        {'up{job="tempo",instance="t"}': "1x5 0x5 1x5", 'up{job="loki",instance="l"}': "1x20"},
        {"6m30s": [], "7m": [{"job": "tempo"}], "11m": [{"job": "tempo"}], "12m": []},
    ),
    Case(
        "TaskscopePrometheusNotStoring",
        "three minutes without a sample fire after three more; the first sample ends it",
        {of_prometheus("up"): "1x5 _x14 1x5"},
        {"10m30s": [], "11m": [{}], "19m": [{}], "20m": []},
    ),
    Case(
        "TaskscopePrometheusLosing",
        "one write that failed fires, for five minutes",
        {of_prometheus("prometheus_tsdb_wal_writes_failed_total"): "0x20 1x20"},
        {"20m": [], "21m": [{"job": "prometheus", "reason": "wal"}], "25m": [{"reason": "wal"}], "26m": []},
    ),
    Case(
        "TaskscopeTempoNotFlushing",
        "one block that could not be written fires, for five minutes",
        {of_tempo("tempo_ingester_failed_flushes_total"): "0x20 1x20"},
        {"20m": [], "21m": [{"job": "tempo"}], "25m": [{"job": "tempo"}], "26m": []},
    ),
    Case(
        "TaskscopePrometheusLosing",
        "one to the file of late samples too",
        {of_prometheus("prometheus_tsdb_out_of_order_wbl_writes_failed_total"): "0x20 1x20"},
        {"20m": [], "21m": [{"job": "prometheus", "reason": "wal"}], "25m": [{"reason": "wal"}], "26m": []},
    ),
    Case(
        "TaskscopePrometheusLosing",
        "one sample that is too old fires",
        {of_prometheus("prometheus_tsdb_too_old_samples_total", ',type="float"'): "0x20 1x20"},
        {
            "20m": [],
            "21m": [{"job": "prometheus", "reason": "too_old"}],
            "25m": [{"job": "prometheus"}],
            "26m": [],
        },
    ),
    Case("TaskscopeWatchdog", "always fires", KNOWN, {"0m": [{}], "60m": [{}]}),
)

CASES = (*TASKS, *COSTS, *MODELS, *HEALTH, *TELEMETRY, *COLLECTOR, *BACKENDS)
