"""The variables above the pages; each narrows every panel that has its label."""

from __future__ import annotations

from typing import Final

from grafana.mixin.panels import Variable
from grafana.mixin.queries import HOST, SCOPE, SERVICE
from taskscope.semconv.attributes import GEN_AI_AGENT_NAME, GEN_AI_REQUEST_MODEL, TASK_ID, TASK_KIND
from taskscope.semconv.metrics import (
    AGENT_DURATION,
    INFERENCE_DURATION,
    OPERATION_DURATION,
    RECORDER_FILE_SIZE,
    TASK_EXECUTIONS,
    prometheus_label,
)

SPAN_CALLS: Final = "traces_span_metrics_calls_total"
"""What the gateway counts from the spans of every sender."""
_SENDERS: Final = f'{{__name__=~"{RECORDER_FILE_SIZE.prometheus_name}|{SPAN_CALLS}"}}'

JOB: Final = Variable(
    HOST[0],
    "Service",
    _SENDERS,
    HOST[0],
    every=".+",
    description="Who reports: hosts with Taskscope, and other senders as the gateway counts them.",
)
INSTANCE: Final = Variable(
    HOST[1],
    "Host",
    f'{{__name__=~"{RECORDER_FILE_SIZE.prometheus_name}|{SPAN_CALLS}", job=~"$job"}}',
    HOST[1],
    every=".+",
    description="A host is named by its store; other senders are all behind the gateway that counts them.",
)
SERVICE_NAME: Final = Variable(
    SERVICE,
    "service.name",
    f'{SPAN_CALLS}{{job=~"$job"}}',
    "service_name",
    every=".+",
    is_hidden=True,
    description="As traces and logs know the chosen services, without their namespace.",
)
KIND: Final = Variable(
    "kind",
    "Task kind",
    f"{TASK_EXECUTIONS.prometheus_name}{{{SCOPE}}}",
    prometheus_label(TASK_KIND),
    description="What kind of task, such as repair.",
)
AGENT: Final = Variable(
    "agent",
    "Agent",
    f"{AGENT_DURATION.prometheus_name}_count{{{SCOPE}}}",
    prometheus_label(GEN_AI_AGENT_NAME),
    description="The role of an agent.",
)
MODEL: Final = Variable(
    "model",
    "Model",
    f"{INFERENCE_DURATION.prometheus_name}_count{{{SCOPE}}}",
    prometheus_label(GEN_AI_REQUEST_MODEL),
    description="The model that was asked for.",
)
TASK: Final = Variable(
    "task",
    "Task",
    key=TASK_ID,
    every="",
    description="One task, by its id; `taskscope history` names them too.",
)
TRACE: Final = Variable(
    "trace",
    "Trace",
    every="",
    is_free=True,
    description="Its trace, for the waterfall; a click in a table of tasks fills it in.",
)
EMBEDDER: Final = Variable(
    "model",
    "Embedding model",
    f'{OPERATION_DURATION.prometheus_name}_count{{{SCOPE}, gen_ai_operation_name="embeddings"}}',
    prometheus_label(GEN_AI_REQUEST_MODEL),
    description="Which embedder; operations without one are shown under All only.",
)
HOSTS: Final = (JOB, INSTANCE)
"""Above pages of numbers."""
EVERYWHERE: Final = (*HOSTS, SERVICE_NAME)
"""Above pages that show traces or lines too."""
