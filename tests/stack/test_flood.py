"""More than the tiers can hold: it is refused, counted by both sides, and nobody dies."""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from benchmarks.memory import peak_bytes
from stack.programs import find_collector_configs

from .senders import Span, encode_spans
from .sinks import Sinks

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.instance import Instance

    from .conftest import MakeInstance

MEBIBYTE: Final = 1 << 20
SPANS: Final = 250
"""Of one request, which is 1 MiB."""
SENDERS: Final = 64
PATIENCE: Final = 1.0
"""Seconds that a sender waits for an answer: a full queue gives none, it waits for room."""
QUEUE_BYTES: Final = 3 << 20
TASKSCOPE: Final = Path(sys.executable).parent / "taskscope"


class Tier(NamedTuple):
    """Who is flooded."""

    name: str
    exporter: str
    """Whose queue is full soon."""
    programs: tuple[str, ...]
    """What has to run, when the flood is over, for what was taken to arrive."""
    flood_mib: int
    memory_mib: int
    """The most that it may ever have taken; the flood is larger. Go is told four fifths of it, as
    collector/README.md says; `memory_limiter` (300 and 800 MiB of heap) looks five times a second."""


AGENT: Final = Tier("agent", "otlp_grpc/gateway", ("gateway",), flood_mib=1024, memory_mib=900)
GATEWAY: Final = Tier("gateway", "otlp_grpc/tempo", (), flood_mib=1536, memory_mib=1300)

TASKS: Final = 1000
STAYS: Final = 3
"""Exit code of `taskscope ship --once` when something stays."""

_PROGRAM: Final = f"""
import taskscope
taskscope.configure()
for number in range({TASKS}):
    with taskscope.task("answer"):
        pass
assert taskscope.shutdown(60)
"""


def start_with_small_queues(make_instance: MakeInstance, folder: Path, tier: Tier = AGENT) -> Instance:
    """A tier whose queue is full soon, and nobody who takes from it."""
    overlay = folder / "small.yaml"
    overlay.write_text(
        json.dumps({"exporters": {tier.exporter: {"sending_queue": {"queue_size": QUEUE_BYTES}}}})
    )
    instance = make_instance(
        configs={tier.name: (*find_collector_configs(tier.name), overlay)},
        environment={"GOMEMLIMIT": f"{tier.memory_mib * 4 // 5}MiB"},
    )
    instance.start(tier.name)
    return instance


def read_sum(instance: Instance, metric: str, tier: Tier = AGENT) -> int:
    with urllib.request.urlopen(instance.url(tier.name, "metrics") + "/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(int(float(value)) for value in re.findall(rf"(?m)^{metric}(?:\{{.*\}})? (\S+)$", text))


def read_counts(instance: Instance, tier: Tier) -> tuple[int, int]:
    """Spans that a tier accepted, and refused."""
    return (
        read_sum(instance, "otelcol_receiver_accepted_spans", tier),
        read_sum(instance, "otelcol_receiver_refused_spans", tier),
    )


def hand_over(instance: Instance, body: bytes, tier: Tier = AGENT) -> int:
    """The status of a request that the tier got whole, however long that takes; 0 when it is silent then."""
    connection = http.client.HTTPConnection(instance.address(tier.name, "otlp_http"), timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        connection.sock.settimeout(PATIENCE)
        try:
            return connection.getresponse().status
        except TimeoutError:
            return 0


def read_peak_mib(instance: Instance, tier: Tier) -> int:
    """The most memory that a tier ever had in use."""
    return peak_bytes(instance.processes[tier.name].pid) >> 20


@pytest.mark.parametrize("tier", [AGENT, GATEWAY], ids=lambda tier: tier.name)
def test_a_flood_of_a_gigabyte_ends_in_refusals_that_are_counted(
    make_instance: MakeInstance, tmp_path: Path, tier: Tier
) -> None:
    """All that was sent is accepted or refused, what was taken arrives, memory stays bounded."""
    instance = start_with_small_queues(make_instance, tmp_path, tier)
    pid = instance.processes[tier.name].pid
    filling = encode_spans(Span(attributes={"n": os.urandom(2048).hex()}) for _ in range(SPANS - 1))
    marks = [Span("mark") for _ in range(tier.flood_mib * MEBIBYTE // len(filling) + 1)]

    def offer(mark: Span) -> int:
        # Requests that are strung together are one request in protobuf.
        return hand_over(instance, filling + encode_spans([mark]), tier)

    with ThreadPoolExecutor(SENDERS) as pool:
        answers = dict(zip((mark.span_id.hex() for mark in marks), pool.map(offer, marks), strict=True))
    heard = collections.Counter(answers.values())
    assert set(heard) <= {0, http.HTTPStatus.OK, http.HTTPStatus.SERVICE_UNAVAILABLE}, heard
    # Those of whom the last senders heard nothing are still being counted.
    wait_until(lambda: sum(read_counts(instance, tier)) == len(marks) * SPANS)
    accepted, refused = read_counts(instance, tier)
    assert accepted >= heard[http.HTTPStatus.OK] * SPANS
    assert refused >= heard[http.HTTPStatus.SERVICE_UNAVAILABLE] * SPANS
    assert refused > len(marks) // 2 * SPANS
    assert instance.processes[tier.name].pid == pid
    assert read_peak_mib(instance, tier) < tier.memory_mib
    taken = {mark for mark, status in answers.items() if status == http.HTTPStatus.OK}
    with Sinks(instance) as sinks:
        if tier.programs:
            instance.start(*tier.programs)
        assert sinks.wait_for({"traces": taken, "logs": set(), "metrics": set()}, 120)["traces"] == set()


def ask(home: Path, *words: str, endpoint: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "TASKSCOPE_HOME": str(home),
        "AGENT_HOME": str(home),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3000",
        "OTEL_METRICS_EXPORTER": "none",
    }
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)


def read_records(home: Path, endpoint: str) -> dict[str, dict[str, Any]]:
    """What `taskscope records` says of the destination, by signal."""
    rows = json.loads(ask(home, str(TASKSCOPE), "records", "--json", endpoint=endpoint).stdout)
    return {row["signal"]: row for row in rows if row["destination"] == "otlp"}


def test_our_own_sender_keeps_what_a_full_tier_refuses_and_its_account_agrees(
    make_instance: MakeInstance, tmp_path: Path
) -> None:
    """Pending while the tier is full, delivered when it is not; the backend has each span."""
    instance = start_with_small_queues(make_instance, tmp_path)
    endpoint, home = instance.url("agent", "otlp_http"), tmp_path / "home"
    for spans in (SPANS, 1):
        filling = encode_spans(Span("filling", {"n": os.urandom(2048).hex()}) for _ in range(spans))
        while hand_over(instance, filling) == http.HTTPStatus.OK:
            pass
    made = ask(home, sys.executable, "-c", _PROGRAM, endpoint=endpoint)
    assert made.returncode == 0, made.stderr
    assert ask(home, str(TASKSCOPE), "ship", "--once", endpoint=endpoint).returncode == STAYS
    full = read_records(home, endpoint)
    for row in full.values():
        assert row["emitted"] == row["delivered"] + row["pending"] + sum(row["dropped"].values())
        assert row["dropped"] == {}
    assert full["traces"]["emitted"] == TASKS
    assert full["traces"]["pending"] == TASKS
    with Sinks(instance) as sinks:
        instance.start("gateway")
        wait_until(lambda: ask(home, str(TASKSCOPE), "ship", "--once", endpoint=endpoint).returncode == 0)
        for row in read_records(home, endpoint).values():
            assert (row["delivered"], row["pending"], row["dropped"]) == (row["emitted"], 0, {})
        wait_until(lambda: len({span.span_id for span in sinks.spans if span.name != "filling"}) >= TASKS)
        arrived = {span.span_id for span in sinks.spans if span.name != "filling"}
    assert len(arrived) == TASKS
    refused = read_sum(instance, "otelcol_receiver_refused_spans")
    assert refused >= full["traces"]["pending"]


def wait_until(is_true: Callable[[], bool], patience: float = 120.0) -> None:
    deadline = time.monotonic() + patience
    while not is_true():
        assert time.monotonic() < deadline, f"not after {patience:.0f} s"
        time.sleep(0.1)
