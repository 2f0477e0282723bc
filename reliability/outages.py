"""Collectors that are away, or answer badly: all arrives once they are well, and both sides agree on it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.scene import ROOT

from .collector import Arrived, Collector
from .commands import ENDPOINT, read_account, ship
from .findings import Finding, all_of, how_many, none_of
from .loads.counting import count_all

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "A collector that is away or answers badly"
MUST = (
    "Down 20 s of 60 s at 2,000 spans/s; down for an hour (compressed clock); answers 503, hangs, resets, "
    "half replies, partial success: 100 % delivered after recovery, duplicates < 0.1 %."
)
_TWICE_SHARE = 0.001
_COMPRESSION = 60
_KILLS = 20
_LIVES_S = (1.0, 3.0)
_ROUNDS = 12
"""More than the faults that can be left when the application has ended."""
_REFUSED = 7
_TIMES = 3
_ANSWERS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "503": ("answers 503", {"status": 503}),
    "429": ("answers 429, Retry-After 1 s", {"status": 429, "headers": {"Retry-After": "1"}}),
    "hang": ("hangs, given up after 0.5 s", {"kind": "hang"}),
    "reset": ("resets the connection", {"kind": "reset"}),
    "close": ("closes it without an answer", {"kind": "close"}),
    "torn": ("half a reply", {"kind": "torn"}),
    "page": ("200 and a web page", {"kind": "page"}),
    "partial": ("partial success", {"kind": "partial", "rejected": _REFUSED, "body": "too old"}),
    "taken_torn": ("takes all, then half a reply", {"kind": "taken_torn"}),
    "taken_reset": ("takes all, then resets", {"kind": "taken_reset"}),
}
_TAKEN_ONCE = ("taken_torn", "taken_reset")
"""Where only one request is spoilt: what it held is sent again, there is no other way."""
_QUICK = ("503", "partial", "taken_torn")
"""Those of a small form, which has no hour either: the tests of the shipper have all of them."""
_WHOLE = 0.01
"""The least scale of a form that is not small."""
_TRACES_ONLY = {"OTEL_LOGS_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
_IMPATIENT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "500"}
"""For who hangs alone: elsewhere a busy machine would make it give up what was taken, and send it twice."""

Pace = tuple[int, float, int]
"""Spans a second, for so many seconds, and how much faster than real time it is for the shipper."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an application made, and what both sides know of it after all was sent."""

    made: int
    left: int
    """Records that were still to be sent when the application had ended."""
    account: Mapping[str, Any]
    arrived: Arrived


def prove(stage: Stage) -> list[Finding]:
    """The long ones beside each other, as they mostly wait; the answers one after the other.

    In small all at once: an application is then little more than its start.
    """
    with ThreadPoolExecutor(4) as pool:
        parts = [pool.submit(_be_away_for_a_while, stage)]
        if stage.scale < _WHOLE:
            parts += [pool.submit(_answer_badly, stage, kind) for kind in _QUICK]
        else:
            parts += [pool.submit(_be_away_for_long, stage), pool.submit(_kill_senders, stage)]
            parts.append(pool.submit(_answer_badly_by_turns, stage))
        return [one for part in parts for one in part.result()]


def _be_away_for_a_while(stage: Stage) -> list[Finding]:
    """The collector is killed for the middle third of the time."""
    seconds = stage.count(60, 3)
    outcome = _be_away(stage, "down", (stage.count(2_000, 400), seconds, 1), away_s=seconds / 3)
    return _tell("down 20 s of 60 s", outcome)


def _be_away_for_long(stage: Stage) -> list[Finding]:
    """The collector is killed for an hour, which is a minute for everybody."""
    seconds = stage.count(70, 4)
    pace = stage.count(1_800, 400), seconds, _COMPRESSION
    outcome = _be_away(stage, "hour", pace, away_s=seconds * 6 / 7)
    return _tell("down for an hour, 30 spans/s, clock 60 times as fast", outcome)


def _be_away(stage: Stage, name: str, pace: Pace, away_s: float) -> Outcome:
    def spoil(collector: Collector) -> None:
        time.sleep((pace[1] - away_s) / 2)
        collector.kill()
        time.sleep(away_s)
        collector.start()

    return _run(stage, name, pace, spoil)


def _kill_senders(stage: Stage) -> list[Finding]:
    """Applications in one home, two at a time, killed while they send; what the store has must arrive."""
    home, chance = stage.folder / "killed" / "home", random.Random(4)
    command = [sys.executable, "-m", "reliability.loads.steady", "1500", "60", "1"]
    with Collector(stage.folder / "killed" / "collector") as collector:
        environment = stage.environment(home, **{ENDPOINT: collector.url})
        for _ in range(stage.count(_KILLS)):
            senders = [subprocess.Popen(command, cwd=ROOT, env=environment) for _ in range(2)]
            time.sleep(chance.uniform(*_LIVES_S))
            for sender in senders:
                sender.kill()
                sender.wait()
        ship(stage, home, collector.url, rounds=_ROUNDS)
        stored, again = count_all(home / "taskscope.db")
        outcome = Outcome(stored, 0, read_account(stage, home), collector.read())
    words = f"senders killed, {2 * stage.count(_KILLS)}"
    note = "a request that was on its way; the ids are the same"
    return [
        none_of(f"{words}: spans twice in the store", again, stored),
        all_of(f"{words}: spans of the store that arrived", len(outcome.arrived.spans), stored),
        Finding(f"{words}: spans that came twice", outcome.arrived.twice, stored, note=note),
        _tell_account(words, outcome, refused=0),
    ]


def _answer_badly_by_turns(stage: Stage) -> list[Finding]:
    return [one for kind in _ANSWERS for one in _answer_badly(stage, kind)]


def _answer_badly(stage: Stage, kind: str) -> list[Finding]:
    """The collector is well at first, then spoils some requests, then is well again."""
    seconds = stage.count(4, 1)
    times = 1 if kind in _TAKEN_ONCE else _TIMES

    def spoil(collector: Collector) -> None:
        time.sleep(seconds / 3)
        collector.fail({**_ANSWERS[kind][1], "times": times})

    pace = stage.count(1_000, 200), seconds, 1
    patience = _IMPATIENT if kind == "hang" else {}
    return _tell_answer(kind, _run(stage, kind, pace, spoil, **_TRACES_ONLY, **patience))


def _run(
    stage: Stage,
    name: str,
    pace: Pace,
    spoil: Callable[[Collector], None],
    **more: str,
) -> Outcome:
    """An application at a pace, with a collector that is spoilt meanwhile; then all that is left is sent."""
    home = stage.folder / name / "home"
    with Collector(stage.folder / name / "collector") as collector, ThreadPoolExecutor(1) as pool:
        spoilt = pool.submit(spoil, collector)
        told = stage.ask("steady", *pace, home=home, expected=0, **{ENDPOINT: collector.url}, **more)
        spoilt.result()
        left = read_account(stage, home)["pending"]
        ship(stage, home, collector.url, rounds=_ROUNDS, **more)
        return Outcome(told["made"], left, read_account(stage, home), collector.read())


def _tell(words: str, outcome: Outcome) -> list[Finding]:
    made, arrived = outcome.made, outcome.arrived
    return [
        all_of(f"{words}: spans that arrived", len(arrived.spans), made),
        Finding(f"{words}: spans that came twice", arrived.twice, made, most=int(made * _TWICE_SHARE)),
        _tell_account(words, outcome, refused=0),
        how_many(f"{words}: left to `ship --once` when the application had ended", outcome.left),
    ]


def _tell_answer(kind: str, outcome: Outcome) -> list[Finding]:
    words, made, arrived = _ANSWERS[kind][0], outcome.made, outcome.arrived
    refused = made - len(arrived.spans) if kind == "partial" else 0
    twice = none_of(f"{words}: spans that came twice", arrived.twice, made)
    if kind in _TAKEN_ONCE:
        note = "one request: nobody can tell that it was taken; the ids are the same"
        twice = Finding(f"{words}: spans that came twice", arrived.twice, made, note=note)
    found = [
        all_of(f"{words}: spans that arrived", len(arrived.spans), made - refused),
        twice,
        _tell_account(words, outcome, refused=refused),
    ]
    if kind == "partial":
        found[0] = how_many(f"{words}: spans that arrived", len(arrived.spans))
        least = Finding(f"{words}: spans refused, {_REFUSED} of a request", refused, least=_REFUSED)
        found += [
            least,
            none_of(f"{words}: refused ones that are no such number", refused % _REFUSED, refused),
        ]
    return found


def _tell_account(words: str, outcome: Outcome, *, refused: int) -> Finding:
    """What `taskscope records` says, held against what application and collector counted themselves."""
    account = outcome.account
    dropped = {"refused": refused} if refused else {}
    expected = {
        "emitted": outcome.made,
        "delivered": len(outcome.arrived.spans),
        "dropped": dropped,
        "pending": 0,
        "quarantined": 0,
    }
    wrong = sum(account[name] != value for name, value in expected.items())
    return none_of(f"{words}: numbers of `records` that differ from our own count", wrong, len(expected))
