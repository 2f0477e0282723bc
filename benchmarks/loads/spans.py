"""Many pairs of nested spans in a fresh process, and what they took of the main thread and of the process.

    python -m benchmarks.loads.spans VARIANT PAIRS ATTRIBUTES PER_SECOND [SINK]

Variants: `noop` (OTel API without provider), `off` (Taskscope, disabled), `sdk` (no processor), `raw` (batch
processor and OTLP/HTTP to SINK), `tracer` (our tracer, nobody records), `stage` (Taskscope, recorded at the
end), `tool` (Taskscope, recorded at start and end). PER_SECOND 0 is as fast as it goes, flushed after each
part so that nothing is dropped.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._answer import answer

if TYPE_CHECKING:
    from collections.abc import Callable

_PART = 250
"""Pairs between two flushes: 500 spans, which the batch processor's queue of 2,048 holds."""
_FLUSH_S = 30.0
_OWN = 3
"""Attributes that our tool span has by itself; the stage's two get one more."""


def main() -> None:
    """Answer `main_us` and `process_us` per span, and how many spans arrived of those that were made."""
    variant, pairs, attributes, per_second = sys.argv[1], *map(int, sys.argv[2:5])
    pair, flush, count = _VARIANTS[variant](attributes, sys.argv[5] if len(sys.argv) > 5 else "")  # noqa: PLR2004
    for number in range(_PART):
        pair(number)
    flush()
    arrived = count()
    main_s, process_s = _run_paced(pair, flush, pairs, per_second) if per_second else _run(pair, flush, pairs)
    spans = 2 * pairs
    answer(
        main_us=main_s / spans * 1e6,
        process_us=process_s / spans * 1e6,
        arrived=count() - arrived,
        made=spans,
    )


def _run(pair: Callable[[int], None], flush: Callable[[], object], pairs: int) -> tuple[float, float]:
    main_s, process_began = 0.0, time.process_time()
    for start in range(0, pairs, _PART):
        began = time.thread_time()
        for number in range(start, min(start + _PART, pairs)):
            pair(number)
        main_s += time.thread_time() - began
        flush()
    return main_s, time.process_time() - process_began


def _run_paced(
    pair: Callable[[int], None], flush: Callable[[], object], pairs: int, per_second: int
) -> tuple[float, float]:
    """Make two spans at a time, as often as told: what an agent does all day."""
    main_s, process_began, began = 0.0, time.process_time(), time.perf_counter()
    for number in range(pairs):
        time.sleep(max(began + 2 * number / per_second - time.perf_counter(), 0))
        thread_began = time.thread_time()
        pair(number)
        main_s += time.thread_time() - thread_began
    flush()
    return main_s, time.process_time() - process_began


def _extra(count: int, number: int) -> dict[str, Any]:
    """Attributes as agents have them; a text and a number are new each time, so that no cache knows them."""
    values = {
        "app.path": f"src/shop/orders_{number}.py",
        "app.line": number,
        "app.mode": "incremental",
        "app.score": 0.75,
        "app.found": True,
        "app.size": 4096 + number,
        "app.note": "the second of three attempts, after the linter had nothing to say",
        "app.host": "localhost",
    }
    return dict(list(values.items())[:count])


def _make_api_pair(attributes: int) -> Callable[[int], None]:
    """Pairs by the OTel API, with the very attributes of our tool span."""
    from opentelemetry import trace

    tracer = trace.get_tracer("bench")
    own = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.type": "function",
    }
    extra = attributes - _OWN

    def pair(number: int) -> None:
        with tracer.start_as_current_span("execute_tool search", attributes=own) as outer:
            outer.set_attributes(_extra(extra, number))
            with tracer.start_as_current_span("execute_tool search", attributes=own) as inner:
                inner.set_attributes(_extra(extra, number))

    return pair


def _make_plain_pair(attributes: int) -> Callable[[int], None]:
    """Pairs by the OTel API, of no role in the contract: recorded at their end."""
    from opentelemetry import trace

    tracer = trace.get_tracer("bench")
    own = {"app.operation": "search", "app.tool": "grep", "app.type": "function"}
    extra = attributes - _OWN

    def pair(number: int) -> None:
        with tracer.start_as_current_span("search", attributes=own) as outer:
            outer.set_attributes(_extra(extra, number))
            with tracer.start_as_current_span("search", attributes=own) as inner:
                inner.set_attributes(_extra(extra, number))

    return pair


def _make_tool_pair(attributes: int) -> Callable[[int], None]:
    from taskscope.telemetry import spans

    extra = attributes - _OWN

    def pair(number: int) -> None:
        with spans.tool("search") as outer:
            outer.update(_extra(extra, number))
            with spans.tool("search") as inner:
                inner.update(_extra(extra, number))

    return pair


def _make_stage_pair(attributes: int) -> Callable[[int], None]:
    from taskscope.telemetry import spans

    extra = attributes - _OWN + 1

    def pair(number: int) -> None:
        with spans.bm25("codebase") as outer:
            outer.update(_extra(extra, number))
            with spans.bm25("codebase") as inner:
                inner.update(_extra(extra, number))

    return pair


def _prepare_noop(attributes: int, _sink: str) -> tuple[Any, Any, Any]:
    return _make_api_pair(attributes), _do_nothing, _do_nothing


def _prepare_sdk(attributes: int, _sink: str) -> tuple[Any, Any, Any]:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    return _make_api_pair(attributes), _do_nothing, _do_nothing


def _prepare_tracer(attributes: int, _sink: str) -> tuple[Any, Any, Any]:
    from opentelemetry import trace

    from taskscope.recorder.provider import RecordingTracerProvider

    trace.set_tracer_provider(RecordingTracerProvider())
    return _make_api_pair(attributes), _do_nothing, _do_nothing


def _prepare_raw(attributes: int, sink: str) -> tuple[Any, Any, Any]:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{sink}/v1/traces")))
    trace.set_tracer_provider(provider)
    return _make_api_pair(attributes), provider.force_flush, lambda: _count_sent(sink)


def _prepare_off(attributes: int, _sink: str) -> tuple[Any, Any, Any]:
    import taskscope

    taskscope.configure({**os.environ, "TASKSCOPE_DISABLED": "1"})
    return _make_tool_pair(attributes), taskscope.flush, _do_nothing


def _prepare_tool(attributes: int, _sink: str) -> tuple[Any, Any, Any]:
    flush, count = _configure()
    return _make_tool_pair(attributes), flush, count


def _prepare_plain(attributes: int, _sink: str) -> tuple[Any, Any, Any]:
    flush, count = _configure()
    return _make_plain_pair(attributes), flush, count


def _prepare_api(attributes: int, _sink: str) -> tuple[Any, Any, Any]:
    flush, count = _configure()
    return _make_api_pair(attributes), flush, count


def _prepare_stage(attributes: int, _sink: str) -> tuple[Any, Any, Any]:
    flush, count = _configure()
    return _make_stage_pair(attributes), flush, count


def _configure() -> tuple[Callable[[], object], Callable[[], int]]:
    import taskscope

    store = taskscope.configure().store_path
    return lambda: taskscope.flush(_FLUSH_S), lambda: _count_stored(store)


def _count_stored(store: Path) -> int:
    connection = sqlite3.connect(store)
    (count,) = connection.execute("SELECT count(*) FROM span").fetchone()
    connection.close()
    return int(count)


def _count_sent(sink: str) -> int:
    with urllib.request.urlopen(sink) as response:  # noqa: S310  our own sink
        return int(response.read())


def _do_nothing() -> int:
    return 0


_VARIANTS = {
    "noop": _prepare_noop,
    "off": _prepare_off,
    "sdk": _prepare_sdk,
    "raw": _prepare_raw,
    "tracer": _prepare_tracer,
    "plain": _prepare_plain,
    "api": _prepare_api,
    "stage": _prepare_stage,
    "tool": _prepare_tool,
}


if __name__ == "__main__":
    main()
