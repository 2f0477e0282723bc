"""A program's end does not wait for a backend that does not answer."""

from __future__ import annotations

import socket
import statistics
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from tests.taskscope.otlp_sink import Fault

from .arrivals import OtlpSink
from .findings import Finding, all_of, how_many

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .stage import Stage

TITLE = "Exits while the backend does not answer"
MUST = "Collector refusing, hanging, slow: <= 100 ms more than without telemetry, 1,000 of 1,000."
_LIMIT_MS = 100
_SPANS = 3
"""Of each program: task, step, tool."""
_OFTEN = 100_000


def prove(stage: Stage) -> list[Finding]:
    """A third of the ends with each kind of backend; without telemetry, the middle of as many."""
    count = stage.count(334, 4)
    plain = statistics.median(_measure(stage, count, "off")["ends_ms"])
    findings = [Finding("without telemetry, median", round(plain, 1), unit="ms")]
    with ExitStack() as stack:
        backends = {
            "refusing": f"http://127.0.0.1:{_find_closed_port()}",
            "hanging": _start(stack, Fault("hang", times=_OFTEN)),
            "slow": _start(stack, Fault("drip", times=_OFTEN)),
        }
        for words, url in backends.items():
            answer = _measure(stage, count, url)
            ends = [end - plain for end in answer["ends_ms"]]
            in_time = sum(end <= _LIMIT_MS for end in ends)
            findings += [
                all_of(f"{words}: spans in the store", answer["stored"], _SPANS * count),
                all_of(f"{words}: ends with <= {_LIMIT_MS} ms more", in_time, len(ends)),
                how_many(f"{words}: the longest, ms more", round(max(ends), 1)),
                how_many(f"{words}: median, ms more", round(statistics.median(ends), 1)),
            ]
    return findings


def _measure(stage: Stage, count: int, url: str) -> Mapping[str, Any]:
    # One at a time: two would wait for each other's processor.
    words = url.rpartition(":")[2]
    return stage.ask("goodbyes", count, 0, url, home=stage.folder / f"goodbyes-{words}")


def _start(stack: ExitStack, fault: Fault) -> str:
    sink = stack.enter_context(OtlpSink())
    sink.fail(fault)
    return sink.url


def _find_closed_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
