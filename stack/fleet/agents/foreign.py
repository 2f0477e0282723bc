"""An agent that knows nothing of Taskscope, on OpenTelemetry's own SDK, in the words of one dialect.

It sends where the environment says and prints its traces. With `--end killed` it dies by SIGKILL in the midst
of a call, its finished ones being sent.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack

from opentelemetry import metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger, set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

INPUT, CACHED, OUTPUT = 420, 210, 17
"""Tokens of each call; the cached ones are of the input."""
COST = 250
"""Micro-dollars of each call, where the dialect has a word for it."""
DIALECTS: dict[str, dict[str, dict[str, str | int]]] = {
    "genai": {
        "task": {"gen_ai.operation.name": "invoke_workflow", "taskscope.task.outcome": "succeeded"},
        "agent": {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "writer",
            "gen_ai.request.model": "gpt-5",
            "gen_ai.usage.input_tokens": INPUT,
            "gen_ai.usage.output_tokens": OUTPUT,
        },
        "call": {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-5",
            "gen_ai.usage.input_tokens": INPUT,
            "gen_ai.usage.output_tokens": OUTPUT,
            "gen_ai.usage.cache_read.input_tokens": CACHED,
            "taskscope.cost.micro_usd": COST,
            "taskscope.cost.status": "known",
        },
        "tool": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
    },
    "older-genai": {
        "agent": {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer"},
        "call": {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4",
            "gen_ai.usage.prompt_tokens": INPUT,
            "gen_ai.usage.completion_tokens": OUTPUT,
        },
        "tool": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
    },
    "openinference": {
        "task": {"openinference.span.kind": "CHAIN"},
        "agent": {
            "openinference.span.kind": "AGENT",
            "agent.name": "writer",
            "llm.token_count.prompt": INPUT,
            "llm.token_count.completion": OUTPUT,
        },
        "call": {
            "openinference.span.kind": "LLM",
            "llm.model_name": "claude-9",
            "llm.provider": "anthropic",
            "llm.token_count.prompt": INPUT,
            "llm.token_count.completion": OUTPUT,
            "llm.token_count.prompt_details.cache_read": CACHED,
        },
        "tool": {"openinference.span.kind": "TOOL", "tool.name": "search"},
    },
    "openllmetry": {
        "agent": {"traceloop.span.kind": "agent", "traceloop.entity.name": "writer"},
        "call": {
            "llm.request.type": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.prompt_tokens": INPUT,
            "gen_ai.usage.completion_tokens": OUTPUT,
        },
        "tool": {"traceloop.span.kind": "tool", "traceloop.entity.name": "search"},
    },
    "vercel": {
        "agent": {"ai.operationId": "ai.generateText", "ai.telemetry.functionId": "writer"},
        "call": {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.model.provider": "openai.chat",
            "ai.model.id": "gpt-4o",
            "ai.usage.inputTokens": INPUT,
            "ai.usage.outputTokens": OUTPUT,
        },
        "tool": {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "search"},
    },
    "pydantic-ai": {
        "agent": {"logfire.msg": "run", "gen_ai.operation.name": "invoke_agent", "agent_name": "writer"},
        "call": {
            "logfire.msg": "call",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "model_name": "gpt-5",
            "gen_ai.usage.input_tokens": INPUT,
            "gen_ai.usage.output_tokens": OUTPUT,
        },
        "tool": {
            "logfire.msg": "use",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "search",
        },
    },
}
"""What the spans of task, agent, model call and tool say in each; not all have a word for a task."""


def work(dialect: str, calls: int, end: str) -> str:
    """Do one task; the trace's id."""
    words = DIALECTS[dialect]
    tracer = trace.get_tracer(f"foreign.{dialect}")
    with ExitStack() as opened:
        spans = [
            opened.enter_context(tracer.start_as_current_span(role, attributes=_sum_up(words[role], calls)))
            for role in ("task", "agent")
            if role in words
        ]
        for _ in range(calls):
            call(tracer, words["call"])
        if end == "killed":
            die(tracer, words["call"])
        with tracer.start_as_current_span("tool", attributes=words["tool"]) as tool:
            if end == "failed":
                for span in (*spans, tool):
                    span.set_attribute("error.type", "TimeoutError")
                    span.set_status(trace.StatusCode.ERROR, "the search took too long")
    metrics.get_meter("foreign").create_counter("pages.written").add(1, {"language": "en"})
    return f"{spans[0].get_span_context().trace_id:032x}"


def _sum_up(attributes: Mapping[str, str | int], calls: int) -> dict[str, str | int]:
    """As frameworks do: the sum of the calls, said once more."""
    return {key: value * calls if isinstance(value, int) else value for key, value in attributes.items()}


def call(tracer: trace.Tracer, attributes: Mapping[str, str | int]) -> None:
    """Call a model, and log a line about it."""
    with tracer.start_as_current_span("model", kind=trace.SpanKind.CLIENT, attributes=attributes):
        get_logger("foreign").emit(
            LogRecord(severity_number=SeverityNumber.WARN, severity_text="WARN", body="a short answer")
        )


def die(tracer: trace.Tracer, attributes: Mapping[str, str | int]) -> None:
    """End in the midst of a call, as by the kernel's hand."""
    provider = trace.get_tracer_provider()
    with tracer.start_as_current_span("model", kind=trace.SpanKind.CLIENT, attributes=attributes):
        assert isinstance(provider, TracerProvider)
        assert provider.force_flush()
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Set OpenTelemetry up as its own documentation does, work, and say what was done."""
    options = read_options()
    traces = TracerProvider()
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(traces)
    logs = LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(logs)
    numbers = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    metrics.set_meter_provider(numbers)
    done = [work(options.dialect, options.calls, options.end) for _ in range(options.tasks)]
    for provider in (traces, logs, numbers):
        provider.shutdown()
    said = {"traces": done, "input": INPUT * options.calls, "output": OUTPUT * options.calls}
    sys.stdout.write(json.dumps(said) + "\n")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dialect", choices=DIALECTS)
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--calls", type=int, default=1, help="of each task")
    parser.add_argument("--end", choices=("ended", "failed", "killed"), default="ended")
    return parser.parse_args()


if __name__ == "__main__":
    main()
