"""An agent on OpenTelemetry's own SDK and exporters, told by the environment alone where to send."""

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

traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(traces)
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
set_logger_provider(logs)
numbers = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
metrics.set_meter_provider(numbers)

tracer = trace.get_tracer("stock.agent")
agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer"}
call = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5"}
with tracer.start_as_current_span("invoke_agent writer", attributes=agent):
    with tracer.start_as_current_span("chat gpt-5", attributes=call) as span:
        span.set_attribute("gen_ai.usage.input_tokens", 420)
        span.set_attribute("gen_ai.usage.output_tokens", 17)
        warning = LogRecord(
            severity_number=SeverityNumber.WARN, severity_text="WARN", body="the answer was short"
        )
        get_logger("writer").emit(warning)
    metrics.get_meter("stock.agent").create_counter("pages.written").add(3, {"language": "en"})
for provider in (traces, logs, numbers):
    provider.shutdown()
