"""An agent without Taskscope: OpenTelemetry's stock SDK, in the words of one dialect, as a process.

`python -m tests.stack.crew DIALECT MODEL CALLS END`; where it sends to stands in OTEL_EXPORTER_OTLP_ENDPOINT.
With the end `killed` it dies by SIGKILL in the midst of a call, its finished ones being sent.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

INPUT: Final = 100
"""Tokens of each call; half of them from the cache."""
OUTPUT: Final = 7
COST: Final = 250
"""Micro-dollars of each call, where the dialect has a word for it."""

Attributes = Mapping[str, str | int]


def _say_openinference(model: str, calls: int) -> tuple[Attributes, Attributes, Attributes]:
    task: Attributes = {"openinference.span.kind": "CHAIN"}
    agent: Attributes = {
        "openinference.span.kind": "AGENT",
        "agent.name": "crew",
        # As frameworks do: the sum of the calls, said once more.
        "llm.token_count.prompt": INPUT * calls,
        "llm.token_count.completion": OUTPUT * calls,
    }
    call: Attributes = {
        "openinference.span.kind": "LLM",
        "llm.model_name": model,
        "llm.provider": "openai",
        "llm.token_count.prompt": INPUT,
        "llm.token_count.completion": OUTPUT,
        "llm.token_count.prompt_details.cache_read": INPUT // 2,
    }
    return task, agent, call


def _say_gen_ai(model: str, calls: int) -> tuple[Attributes, Attributes, Attributes]:
    task: Attributes = {"gen_ai.operation.name": "invoke_workflow", "taskscope.task.outcome": "failed"}
    agent: Attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "crew",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": INPUT * calls,
        "gen_ai.usage.output_tokens": OUTPUT * calls,
    }
    call: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": INPUT,
        "gen_ai.usage.output_tokens": OUTPUT,
        "gen_ai.usage.cache_read.input_tokens": INPUT // 2,
        "taskscope.cost.micro_usd": COST,
        "taskscope.cost.status": "known",
    }
    return task, agent, call


DIALECTS: Final[Mapping[str, Callable[[str, int], tuple[Attributes, Attributes, Attributes]]]] = {
    "openinference": _say_openinference,
    "gen_ai": _say_gen_ai,
}


def main(dialect: str, model: str, number: str, end: str) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "crew"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("crew")
    task, agent, call = DIALECTS[dialect](model, int(number))
    with (
        tracer.start_as_current_span("task", attributes=task),
        tracer.start_as_current_span("agent", attributes=agent),
    ):
        for _ in range(int(number)):
            with tracer.start_as_current_span("call", attributes=call):
                pass
        if end == "killed":
            die(provider, tracer, call)
    provider.shutdown()


def die(provider: TracerProvider, tracer: Tracer, call: Attributes) -> None:
    with tracer.start_as_current_span("call", attributes=call):
        assert provider.force_flush()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
