"""The nested spans of `spans.py` by another library, sent to a sink on this host and nowhere else.

    python -m benchmarks.loads.peers ddtrace|langfuse|logfire PAIRS ATTRIBUTES SINK

Runs in the peers' own environment, without Taskscope. Each is set up as its documentation says for another
backend; checks of versions and usage that would go out to the network are switched off.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

from .spans import Variant, count_sent, extra_attributes, measure

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN = {"app.operation": "search", "app.tool": "grep", "app.type": "function"}


def main() -> None:
    """Answer as `spans.py` does."""
    peer, pairs, attributes, sink = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    measure(_PEERS[peer](attributes - len(_OWN), sink), pairs)


def _prepare_ddtrace(extra: int, sink: str) -> Variant:
    """Traces go to an agent's address, as MessagePack; it counts traces, each of which is a pair here."""
    os.environ |= {
        "DD_TRACE_AGENT_URL": sink,
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_TRACE_STARTUP_LOGS": "false",
    }
    from ddtrace.trace import tracer  # type: ignore[import-not-found]  # of another environment

    def pair(number: int) -> None:
        with tracer.trace("search") as outer:
            outer.set_tags({**_OWN, **extra_attributes(extra, number)})
            with tracer.trace("search") as inner:
                inner.set_tags({**_OWN, **extra_attributes(extra, number)})

    return Variant(pair, tracer.flush, lambda: 2 * _count_traces(sink))


def _count_traces(sink: str) -> int:
    with urllib.request.urlopen(f"{sink}/traces") as response:  # noqa: S310  our own sink
        return int(response.read())


def _prepare_langfuse(extra: int, sink: str) -> Variant:
    """Attributes are its metadata; media and scores are not used."""
    from langfuse import Langfuse  # type: ignore[import-not-found]  # of another environment

    client: Any = Langfuse(public_key="pk-lf-bench", secret_key="sk-lf-bench", base_url=sink)  # noqa: S106

    def pair(number: int) -> None:
        with client.start_as_current_observation(name="search", metadata=_OWN) as outer:
            outer.update(metadata=extra_attributes(extra, number))
            with client.start_as_current_observation(name="search", metadata=_OWN) as inner:
                inner.update(metadata=extra_attributes(extra, number))

    return Variant(pair, client.flush, lambda: count_sent(sink))


def _prepare_logfire(extra: int, sink: str) -> Variant:
    """Nothing goes to its own backend or the console; scrubbing stays on, as it comes."""
    import logfire  # type: ignore[import-not-found]  # of another environment
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    processor = BatchSpanProcessor(OTLPSpanExporter(f"{sink}/v1/traces"))
    logfire.configure(
        send_to_logfire=False, console=False, metrics=False, additional_span_processors=[processor]
    )

    def pair(number: int) -> None:
        with logfire.span("search", **_OWN) as outer:
            outer.set_attributes(extra_attributes(extra, number))
            with logfire.span("search", **_OWN) as inner:
                inner.set_attributes(extra_attributes(extra, number))

    return Variant(pair, logfire.force_flush, lambda: count_sent(sink))


_PEERS: dict[str, Callable[[int, str], Variant]] = {
    "ddtrace": _prepare_ddtrace,
    "langfuse": _prepare_langfuse,
    "logfire": _prepare_logfire,
}


if __name__ == "__main__":
    main()
