"""Backends that are away or answer badly: all is delivered when they are back, next to nothing twice."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from benchmarks.measurement import LoadError
from tests.taskscope.otlp_sink import Fault

from .arrivals import OtlpSink, count_arrived, ship
from .findings import Finding, all_of

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "Backends that are away or answer badly"
MUST = (
    "Collector down 20 s of 60 s at 2,000 spans/s; answers 503, hangs, resets, half replies, partial "
    "success: 100 % delivered after recovery, duplicates < 0.1 %."
)
_SECONDS = 60.0
_PER_SECOND = 2_000
_DOWN = (1 / 3, 2 / 3)
"""From when to when it is away, of the whole."""
_TWICE = 0.001
_FAULTS = {
    "503": Fault("status", status=503, times=3),
    "429 and Retry-After": Fault("status", status=429, headers={"Retry-After": "1"}, times=2),
    "hangs": Fault("hang", times=2),
    "resets": Fault("reset", times=3),
    "half replies": Fault("torn", times=3),
    "closed connections": Fault("close", times=3),
    "a web page": Fault("page", times=2),
    "partial success": Fault("partial", rejected=0, body="slow down", times=3),
}
_QUICK = ("503", "resets", "half replies", "partial success")
"""Those that cost no waiting, for a small scale."""
_WHOLE = 0.01
_ROUNDS = 12


def prove(stage: Stage) -> list[Finding]:
    """One real outage, then each bad answer."""
    findings = _prove_outage(stage)
    for words in _FAULTS if stage.scale >= _WHOLE else _QUICK:
        fault = _FAULTS[words]
        home = stage.folder / words.replace(" ", "-")
        made = stage.ask("steady", stage.count(20_000, 100), 1 << 30, home=home)["made"]
        with OtlpSink() as sink:
            sink.fail(fault)
            ship(stage, home, sink, rounds=_ROUNDS, OTEL_EXPORTER_OTLP_TIMEOUT="1")
            arrived, again = count_arrived([sink])
        findings += _tell(f"answers: {words}", made, arrived, again)
    return findings


def _prove_outage(stage: Stage) -> list[Finding]:
    seconds = max(_SECONDS * stage.scale, 1.5)
    home = stage.folder / "outage"
    first = OtlpSink()
    port = first.port
    made: list[int] = []

    def work() -> None:
        spans, url = int(seconds * _PER_SECOND), f"http://127.0.0.1:{port}"
        answer = stage.ask("steady", spans, _PER_SECOND, home=home, OTEL_EXPORTER_OTLP_ENDPOINT=url)
        made.append(answer["made"])

    worker = threading.Thread(target=work)
    with first:
        worker.start()
        time.sleep(seconds * _DOWN[0])
    time.sleep(seconds * (_DOWN[1] - _DOWN[0]))
    with OtlpSink(port=port) as second:
        worker.join()
        if not made:
            msg = "the process that met the outage failed"
            raise LoadError(msg)
        ship(stage, home, second, rounds=_ROUNDS)
        arrived, again = count_arrived([first, second])
    return _tell(f"away for {seconds / 3:.3g} s of {seconds:.3g} s", made[0], arrived, again)


def _tell(words: str, made: int, arrived: int, again: int) -> list[Finding]:
    return [
        all_of(f"{words}: spans delivered", arrived, made),
        Finding(f"{words}: spans that came again", again, made, most=int(made * _TWICE)),
    ]
