"""Many pairs of nested spans in a fresh process, and what they took of the main thread and of the process.

    python -m benchmarks.loads.spans VARIANT PAIRS ATTRIBUTES PER_SECOND [SINK]

Variants: `off` (Taskscope, disabled), `sdk` (no processor), `raw` (batch processor and OTLP/HTTP to SINK),
`tracer` (our tracer, nobody records), `plain` (by the OTel API, recorded at the end), `api` (the same, of a
role that is recorded at start and end), `tool` (that by our own call), `shipped` (as `plain`, and sent to
SINK). PER_SECOND 0 is as fast as it goes, flushed after each part so that nothing is dropped.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._answer import answer

if TYPE_CHECKING:
    from pathlib import Path

_PART = 250
"""Pairs between two flushes: 500 spans, which the batch processor's queue of 2,048 holds."""
_FLUSH_S = 30.0
_ARRIVAL_S = 20.0
_OWN = 3
"""Attributes that each span has from its start, those of a tool."""


def _do_nothing() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Variant:
    """What is measured."""

    pair: Callable[[int], None]
    flush: Callable[[], object] = _do_nothing
    """After each part."""
    count: Callable[[], int] = _do_nothing
    """How many spans are where they belong."""
    finish: Callable[[], object] = _do_nothing
    """After the last part, for what a flush does not wait for."""
    is_late: bool = False
    """Whether spans arrive some time after a flush."""


def main() -> None:
    """Answer `main_us` and `process_us` per span, and how many spans arrived of those that were made."""
    name, pairs, attributes, per_second = sys.argv[1], *map(int, sys.argv[2:5])
    variant = _VARIANTS[name](attributes, sys.argv[5] if len(sys.argv) > 5 else "")  # noqa: PLR2004
    measure(variant, pairs, per_second)


def measure(variant: Variant, pairs: int, per_second: int = 0) -> None:
    """Run and answer."""
    before = variant.count()
    warm = _PART if pairs > _PART else 0
    for number in range(warm):
        variant.pair(number)
    variant.flush()
    if variant.is_late:
        _wait_for(variant.count, before + 2 * warm)
    arrived = variant.count()
    process_began = time.process_time()
    main_s = _run_paced(variant, pairs, per_second) if per_second else _run(variant, pairs)
    variant.finish()
    process_s = time.process_time() - process_began
    spans = 2 * pairs
    answer(
        main_us=main_s / spans * 1e6,
        process_us=process_s / spans * 1e6,
        arrived=variant.count() - arrived,
        made=spans,
    )


def _wait_for(count: Callable[[], int], wanted: int) -> None:
    """Let what is loaded for the first batch alone be loaded: a program sends more than one."""
    deadline = time.monotonic() + _ARRIVAL_S
    while count() < wanted:
        if time.monotonic() > deadline:
            sys.exit(f"{count()} of {wanted} spans arrived in {_ARRIVAL_S} s")
        time.sleep(0.05)


def _run(variant: Variant, pairs: int) -> float:
    main_s = 0.0
    for start in range(0, pairs, _PART):
        began = time.thread_time()
        for number in range(start, min(start + _PART, pairs)):
            variant.pair(number)
        main_s += time.thread_time() - began
        variant.flush()
    return main_s


def _run_paced(variant: Variant, pairs: int, per_second: int) -> float:
    """Make two spans at a time, as often as told: what an agent does all day."""
    main_s, began = 0.0, time.perf_counter()
    for number in range(pairs):
        time.sleep(max(began + 2 * number / per_second - time.perf_counter(), 0))
        thread_began = time.thread_time()
        variant.pair(number)
        main_s += time.thread_time() - thread_began
    variant.flush()
    return main_s


def extra_attributes(count: int, number: int) -> dict[str, Any]:
    """Return attributes as agents have them; a text and numbers are new each time, unknown to caches."""
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
            outer.set_attributes(extra_attributes(extra, number))
            with tracer.start_as_current_span("execute_tool search", attributes=own) as inner:
                inner.set_attributes(extra_attributes(extra, number))

    return pair


def _make_plain_pair(attributes: int) -> Callable[[int], None]:
    """Pairs by the OTel API, of no role in the contract: recorded at their end."""
    from opentelemetry import trace

    tracer = trace.get_tracer("bench")
    own = {"app.operation": "search", "app.tool": "grep", "app.type": "function"}
    extra = attributes - _OWN

    def pair(number: int) -> None:
        with tracer.start_as_current_span("search", attributes=own) as outer:
            outer.set_attributes(extra_attributes(extra, number))
            with tracer.start_as_current_span("search", attributes=own) as inner:
                inner.set_attributes(extra_attributes(extra, number))

    return pair


def _make_tool_pair(attributes: int) -> Callable[[int], None]:
    from taskscope.telemetry import spans

    extra = attributes - _OWN

    def pair(number: int) -> None:
        with spans.tool("search") as outer:
            outer.update(extra_attributes(extra, number))
            with spans.tool("search") as inner:
                inner.update(extra_attributes(extra, number))

    return pair


def _prepare_sdk(attributes: int, _sink: str) -> Variant:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    return Variant(_make_plain_pair(attributes))


def _prepare_tracer(attributes: int, _sink: str) -> Variant:
    from opentelemetry import trace

    from taskscope.recorder.provider import RecordingTracerProvider

    trace.set_tracer_provider(RecordingTracerProvider())
    return Variant(_make_plain_pair(attributes))


def _prepare_raw(attributes: int, sink: str) -> Variant:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{sink}/v1/traces")))
    trace.set_tracer_provider(provider)
    return Variant(_make_plain_pair(attributes), provider.force_flush, lambda: count_sent(sink))


def _prepare_off(attributes: int, _sink: str) -> Variant:
    import taskscope

    taskscope.configure({**os.environ, "TASKSCOPE_DISABLED": "1"})
    return Variant(_make_tool_pair(attributes))


def _prepare_tool(attributes: int, _sink: str) -> Variant:
    return Variant(_make_tool_pair(attributes), *_configure())


def _prepare_plain(attributes: int, _sink: str) -> Variant:
    return Variant(_make_plain_pair(attributes), *_configure())


def _prepare_api(attributes: int, _sink: str) -> Variant:
    return Variant(_make_api_pair(attributes), *_configure())


def _prepare_shipped(attributes: int, sink: str) -> Variant:
    import taskscope

    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = sink
    os.environ["OTEL_METRICS_EXPORTER"] = "none"  # the raw SDK beside it sends spans alone
    recording = taskscope.configure()
    return Variant(
        _make_plain_pair(attributes),
        lambda: taskscope.flush(_FLUSH_S),
        lambda: count_sent(sink),
        lambda: _wait_for_delivery(recording.store_path),
        is_late=True,
    )


def _wait_for_delivery(store: Path) -> None:
    """Let the shipper come to the end of the store; asked seldom, so that asking costs nothing."""
    deadline = time.monotonic() + _ARRIVAL_S
    with closing(sqlite3.connect(store)) as connection:
        (last,) = connection.execute("SELECT max(seq) FROM span").fetchone()
        while True:
            cursor = connection.execute("SELECT seq FROM cursor WHERE signal = 'traces'").fetchone()
            if cursor is not None and cursor[0] >= last:
                return
            if time.monotonic() > deadline:
                sys.exit(f"not all of {last} spans were sent in {_ARRIVAL_S} s: the cursor is {cursor}")
            time.sleep(0.1)


def _configure() -> tuple[Callable[[], object], Callable[[], int]]:
    import taskscope

    store = taskscope.configure().store_path
    return lambda: taskscope.flush(_FLUSH_S), lambda: _count_stored(store)


def _count_stored(store: Path) -> int:
    if not store.exists():
        return 0
    connection = sqlite3.connect(store)
    (count,) = connection.execute("SELECT count(*) FROM span").fetchone()
    connection.close()
    return int(count)


def count_sent(sink: str) -> int:
    """Return how many spans a sink has got."""
    with urllib.request.urlopen(sink) as response:  # noqa: S310  our own sink
        return int(response.read())


_VARIANTS: dict[str, Callable[[int, str], Variant]] = {
    "off": _prepare_off,
    "sdk": _prepare_sdk,
    "raw": _prepare_raw,
    "tracer": _prepare_tracer,
    "plain": _prepare_plain,
    "api": _prepare_api,
    "tool": _prepare_tool,
    "shipped": _prepare_shipped,
}


if __name__ == "__main__":
    main()
