"""What was open when its process was killed arrives at a plain OTLP backend, closed and in its place."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from .arrivals import OtlpSink, ship
from .findings import Finding, all_of, none_of

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "Killed, and delivered over plain OTLP"
MUST = "kill -9 with task, step and tool open: 3 of 3 arrive, ERROR, `error.type=interrupted`, right parents."
_PARENTS = {"execute_tool search": "step edit", "step edit": "invoke_workflow answer"}
_ERROR = 2


def prove(stage: Stage) -> list[Finding]:
    """Kill, ship, and look at what the backend has; a few times."""
    rounds = stage.count(20)
    sums = {"arrived": 0, "interrupted": 0, "placed": 0, "again": 0}
    for number in range(rounds):
        home = stage.folder / f"held-{number}"
        stage.ask("held", home=home, expected=-signal.SIGKILL)
        with OtlpSink() as sink:
            ship(stage, home, sink)
            for name, value in _look(sink.spans).items():
                sums[name] += value
    return [
        all_of("spans that arrived", sums["arrived"], 3 * rounds),
        none_of("spans that came twice", sums["again"], 3 * rounds),
        all_of("of them ERROR and interrupted", sums["interrupted"], 3 * rounds),
        all_of("of them with the right parent", sums["placed"], 3 * rounds),
    ]


def _look(spans: list[Any]) -> dict[str, int]:
    names = {span.span_id: span.name for span in spans}
    return {
        "arrived": len(names),
        "again": len(spans) - len(names),
        "interrupted": sum(
            span.status.code == _ERROR and _error_type(span) == "interrupted" for span in spans
        ),
        "placed": sum(names.get(span.parent_span_id) == _PARENTS.get(span.name) for span in spans),
    }


def _error_type(span: Any) -> str:
    """The last one given: protobuf's repeated fields are appended to."""
    found = [one.value.string_value for one in span.attributes if one.key == "error.type"]
    return found[-1] if found else ""
