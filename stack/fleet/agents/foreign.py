"""An agent that knows nothing of Taskscope, on OpenTelemetry's own SDK: `foreign.py DIALECT [error]`.

It sends where the environment says, in the words of one family of instrumentations, and prints its trace.
"""

import json
import sys

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

INPUT, OUTPUT = 420, 17
DIALECTS: dict[str, tuple[dict[str, str | int], ...]] = {
    "genai": (
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer"},
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-5",
            "gen_ai.usage.input_tokens": INPUT,
            "gen_ai.usage.output_tokens": OUTPUT,
        },
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
    ),
    "older-genai": (
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer"},
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4",
            "gen_ai.usage.prompt_tokens": INPUT,
            "gen_ai.usage.completion_tokens": OUTPUT,
        },
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
    ),
    "openinference": (
        {"openinference.span.kind": "AGENT", "agent.name": "writer"},
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "claude-9",
            "llm.provider": "anthropic",
            "llm.token_count.prompt": INPUT,
            "llm.token_count.completion": OUTPUT,
        },
        {"openinference.span.kind": "TOOL", "tool.name": "search"},
    ),
    "openllmetry": (
        {"traceloop.span.kind": "agent", "traceloop.entity.name": "writer"},
        {
            "llm.request.type": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.prompt_tokens": INPUT,
            "gen_ai.usage.completion_tokens": OUTPUT,
        },
        {"traceloop.span.kind": "tool", "traceloop.entity.name": "search"},
    ),
    "vercel": (
        {"ai.operationId": "ai.generateText", "ai.telemetry.functionId": "writer"},
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.model.provider": "openai.chat",
            "ai.model.id": "gpt-4o",
            "ai.usage.inputTokens": INPUT,
            "ai.usage.outputTokens": OUTPUT,
        },
        {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "search"},
    ),
    "pydantic-ai": (
        {"logfire.msg": "run", "gen_ai.operation.name": "invoke_agent", "agent_name": "writer"},
        {
            "logfire.msg": "call",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "model_name": "gpt-5",
            "gen_ai.usage.input_tokens": INPUT,
            "gen_ai.usage.output_tokens": OUTPUT,
        },
        {"logfire.msg": "use", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
    ),
}
"""What the spans of agent, model call and tool say in each."""


def work(dialect: str, *, fails: bool) -> str:
    """Do the work once; the trace's id."""
    agent, call, tool = DIALECTS[dialect]
    tracer = trace.get_tracer(f"foreign.{dialect}")
    with tracer.start_as_current_span("run", attributes=agent) as root:
        with tracer.start_as_current_span("model", kind=trace.SpanKind.CLIENT, attributes=call):
            get_logger("foreign").emit(
                LogRecord(severity_number=SeverityNumber.WARN, severity_text="WARN", body="a short answer")
            )
        with tracer.start_as_current_span("tool", attributes=tool) as span:
            if fails:
                span.set_attribute("error.type", "TimeoutError")
                span.set_status(trace.StatusCode.ERROR, "the search took too long")
    metrics.get_meter("foreign").create_counter("pages.written").add(1, {"language": "en"})
    return f"{root.get_span_context().trace_id:032x}"


def main() -> None:
    """Set OpenTelemetry up as its own documentation does, work, and say what was done."""
    traces = TracerProvider()
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(traces)
    logs = LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(logs)
    numbers = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    metrics.set_meter_provider(numbers)
    trace_id = work(sys.argv[1], fails="error" in sys.argv[2:])
    for provider in (traces, logs, numbers):
        provider.shutdown()
    sys.stdout.write(json.dumps({"trace_id": trace_id, "input": INPUT, "output": OUTPUT}) + "\n")


if __name__ == "__main__":
    main()
