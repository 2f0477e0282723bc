"""What a host program pays before its first span: import and set-up, as whole processes."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from .measurement import ratios, spread_of, take_turns, time_process
from .results import Goal, Row, tell_spread

if TYPE_CHECKING:
    from .scene import Scene

TITLE = "Import and set-up, whole processes"
_FLOOR = "python -c pass"
_RAW = "raw SDK set up: batch processor, OTLP/HTTP"
_CONFIGURED = "import taskscope; taskscope.configure()"
_GOAL = Goal(0.6, is_ratio=True)
_PROGRAMS = {
    _FLOOR: "pass",
    _RAW: """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter("http://127.0.0.1:9/v1/traces")))
trace.set_tracer_provider(provider)
""",
    "import taskscope": "import taskscope",
    _CONFIGURED: _CONFIGURED,
    "the same, and one task stored": """
import taskscope
taskscope.configure()
with taskscope.task("answer"): pass
assert taskscope.flush(10)
""",
}


def measure(scene: Scene) -> list[Row]:
    """Time the programs by turns; each is compared with the raw SDK's.

    Compiled files are kept, as those of an installed package are: the first round makes them.
    """
    environment = scene.environment(scene.folder / "home")
    run = partial(time_process, environment=environment, folder=scene.folder)
    variants = {name: partial(run, [sys.executable, "-c", text]) for name, text in _PROGRAMS.items()}
    take_turns(variants, scene.pick(full=1, quick=1, tiny=0))
    samples = take_turns(variants, scene.pick(full=15, quick=4, tiny=1))
    rows = []
    for clock in ("wall", "cpu"):
        times = {name: [1e3 * getattr(one, clock) for one in of_name] for name, of_name in samples.items()}
        floor, raw = times.pop(_FLOOR), times.pop(_RAW)
        beside = f"{_RAW} {tell_spread(spread_of(raw))} ms"
        rows += [
            Row(
                f"{name}, {clock}",
                spread_of(ours),
                "ms",
                beside,
                ratios(ours, raw),
                _GOAL if name == _CONFIGURED else None,
            )
            for name, ours in times.items()
        ]
        rows.append(Row(f"{_FLOOR}, {clock}", spread_of(floor), "ms", beside, ratios(floor, raw)))
    return rows
