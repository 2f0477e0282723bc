"""One span with an attribute far beyond any limit, among others; told is what the application got back.

python -m reliability.loads.fat SPANS MEGABYTES
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

from opentelemetry import trace

import taskscope
from benchmarks.loads._answer import answer
from taskscope.semconv import attributes as attr
from taskscope.store.wire import SpanBody

_FLUSH_S = 60.0


def main() -> None:
    """Answer how many spans are stored, and what the fat one looks like."""
    spans, size = int(sys.argv[1]), int(sys.argv[2]) * 1_000_000
    recording = taskscope.configure()
    tracer = trace.get_tracer("fat")
    text = "all work and no play "
    fat = (text * (size // len(text) + 1))[:size]
    for number in range(spans):
        with tracer.start_as_current_span("fat" if number == spans // 2 else "work") as span:
            span.set_attribute("app.text", fat if number == spans // 2 else text)
    is_flushed = taskscope.flush(_FLUSH_S)
    with closing(sqlite3.connect(recording.store_path)) as connection:
        rows = [SpanBody(body) for (body,) in connection.execute("SELECT body FROM span")]
    (found,) = [row for row in rows if row.name == "fat"]
    kept = found.attributes["app.text"]
    answer(
        stored=len(rows),
        is_flushed=is_flushed,
        kept_bytes=len(kept),
        is_beginning=fat.startswith(kept),
        is_marked=found.attributes.get(attr.CONTENT_TRUNCATED) == ["app.text"],
        told_size=found.attributes.get(attr.CONTENT_ORIGINAL_SIZES, [0])[0],
    )


if __name__ == "__main__":
    main()
