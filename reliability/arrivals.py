"""A real OTLP sink beside a proof, what is sent to it by `taskscope ship`, and what arrived there."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.measurement import LoadError, time_process
from benchmarks.scene import ROOT
from tests.taskscope.otlp_sink import OtlpSink

if TYPE_CHECKING:
    from pathlib import Path

    from .stage import Stage

__all__ = ["ENDPOINT", "OtlpSink", "count_arrived", "ship"]

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def ship(stage: Stage, home: Path, sink: OtlpSink, *, rounds: int = 1, **more: str) -> bool:
    """Bring home and send what is stored, in as many rounds as are needed; whether nothing is left."""
    environment = stage.environment(home, **{ENDPOINT: sink.url}, **more)
    command = [sys.executable, "-m", "taskscope", "ship", "--once"]
    for _ in range(rounds):
        try:
            time_process(command, environment=environment, folder=ROOT)
        except LoadError:  # something is left, or was refused
            continue
        return True
    return False


def count_arrived(sinks: list[OtlpSink], name: str = "work") -> tuple[int, int]:
    """Different spans of a name that arrived, and how many of them came again."""
    ids = Counter(span.span_id for sink in sinks for span in sink.spans if span.name == name)
    return len(ids), sum(ids.values()) - len(ids)
