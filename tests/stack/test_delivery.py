"""What a tier has taken arrives, whatever is killed, stopped, full or down: ids sent are ids found."""

from __future__ import annotations

import collections
import functools
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

import pytest

from stack.programs import find_collector_configs

from .senders import SIGNALS, Sender, make_requests
from .sinks import Sinks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stack.instance import Instance

    from .conftest import MakeInstance

ITEMS, REQUESTS, KILLS = 50, 6, 8
NOTHING: dict[str, set[str]] = {signal: set() for signal in SIGNALS}


@pytest.fixture
def sinks(instance: Instance) -> Iterator[Sinks]:
    with Sinks(instance) as sinks:
        yield sinks


def sender_to(instance: Instance, tier: str = "agent") -> Sender:
    return Sender(instance.url(tier, "otlp_http"))


def read_queue_bytes(instance: Instance, tier: str) -> dict[str, float]:
    """What waits in each queue of a tier, by signal."""
    with urllib.request.urlopen(instance.url(tier, "metrics") + "/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    sizes: dict[str, float] = collections.defaultdict(float)
    for line in lines:
        if line.startswith("otelcol_exporter_queue_size{"):
            signal = line.partition('data_type="')[2].partition('"')[0]
            sizes[signal] += float(line.rpartition(" ")[2])
    return sizes


def wait_until(is_true: Callable[[], object], what: str, patience: float = 60.0) -> None:
    deadline = time.monotonic() + patience
    while not is_true():
        assert time.monotonic() < deadline, f"{what}: not after {patience:.0f} s"
        time.sleep(0.05)


def wait_drained(instance: Instance, tier: str = "agent") -> None:
    """Wait until a tier has handed on all that it took."""
    wait_until(
        lambda: not any(read_queue_bytes(instance, tier).values()), f"the queue of the {tier} is empty"
    )


def has_taken(sender: Sender, requests: int) -> bool:
    return sender.taken >= requests


def test_an_agent_tier_that_is_killed_while_the_gateway_is_down_loses_nothing(
    instance: Instance, sinks: Sinks
) -> None:
    """What it had taken arrives after both are back."""
    instance.start("agent")
    sender = sender_to(instance)
    sender.send(ITEMS, requests=REQUESTS)
    instance.kill("agent")
    instance.start("gateway", "agent")
    assert sinks.wait_for(sender.sent) == NOTHING


def test_a_gateway_that_is_killed_while_all_backends_are_down_loses_nothing(
    instance: Instance, sinks: Sinks
) -> None:
    """What it had taken arrives after it and the backends are back; the agent tier holds none of it."""
    sinks.down()
    instance.start("gateway", "agent")
    sender = sender_to(instance)
    sender.send(ITEMS, requests=REQUESTS)
    wait_drained(instance)
    instance.kill("agent", "gateway")
    sinks.up()
    instance.start("gateway")
    assert sinks.wait_for(sender.sent) == NOTHING


def test_tiers_that_are_told_to_end_while_all_backends_are_down_end_and_lose_nothing(
    instance: Instance, sinks: Sinks
) -> None:
    """SIGTERM ends both in their time, with work in their queues, which is done after the next start."""
    sinks.down()
    instance.start("gateway", "agent")
    sender = sender_to(instance)
    sender.send(ITEMS, requests=REQUESTS)
    wait_drained(instance)
    assert instance.stop("gateway") == {"gateway": False}
    sender.send(ITEMS, requests=REQUESTS)
    assert instance.stop("agent") == {"agent": False}
    sinks.up()
    instance.start("gateway", "agent")
    assert sinks.wait_for(sender.sent) == NOTHING


def test_tiers_that_are_killed_amid_their_work_lose_nothing(
    instance: Instance, sinks: Sinks, record_property: Callable[[str, object], None]
) -> None:
    """A sender that repeats what was not taken finds all of it at the backends, some of it twice."""
    instance.start("gateway", "agent")
    sender = sender_to(instance)
    for kill in range(KILLS):
        wanted = sender.taken + 1
        sending = threading.Thread(target=sender.send, args=(ITEMS,), kwargs={"requests": REQUESTS})
        sending.start()
        wait_until(functools.partial(has_taken, sender, wanted), "a request is taken")
        tier = ("agent", "gateway")[kill % 2]
        instance.kill(tier)
        instance.start(tier)
        sending.join()
    assert sinks.wait_for(sender.sent) == NOTHING
    wait_drained(instance)
    wait_drained(instance, "gateway")
    record_property("sent", {signal: len(ids) for signal, ids in sender.sent.items()})
    record_property("twice", sinks.count_twice())


def fill_up(sender: Sender, number: int, signal: str) -> None:
    """Send records of a signal until a request is not taken."""
    for _ in range(200):
        _, ids, body = make_requests(ITEMS, 2000)[number]
        if not sender.offer(signal, body, timeout=2.0):
            return
        sender.sent[signal] |= ids
    pytest.fail(f"200 requests of {signal} were taken")


def test_a_full_queue_refuses_and_what_it_took_arrives(make_instance: MakeInstance, tmp_path: Path) -> None:
    """With backends down and queues full, requests are not taken; what was taken survives a kill."""
    small = {"sending_queue": {"queue_size": 100_000, "batch": {"min_size": 50_000, "max_size": 100_000}}}
    names = ("otlp_grpc/tempo", "otlp_http/loki", "otlp_http/prometheus")
    overlay, agent_overlay = tmp_path / "small.yaml", tmp_path / "agent.yaml"
    overlay.write_text(json.dumps({"exporters": dict.fromkeys(names, small)}))
    agent_overlay.write_text(json.dumps({"exporters": {"otlp_grpc/gateway": {**small, "timeout": "2s"}}}))
    instance = make_instance(
        configs={
            "gateway": (*find_collector_configs("gateway"), overlay),
            "agent": (*find_collector_configs("agent"), agent_overlay),
        }
    )
    instance.start("gateway", "agent")
    sender = sender_to(instance)
    for number, signal in enumerate(SIGNALS):
        fill_up(sender, number, signal)
    instance.kill("agent", "gateway")
    with Sinks(instance) as sinks:
        instance.start("gateway", "agent")
        assert sinks.wait_for(sender.sent) == NOTHING
        sender.send(ITEMS)
        assert sinks.wait_for(sender.sent) == NOTHING


def test_without_retries_the_same_stop_loses_what_waits(make_instance: MakeInstance, tmp_path: Path) -> None:
    """The control of the test of SIGTERM: it is `retry_on_failure` that keeps what waits."""
    overlay = tmp_path / "no-retry.yaml"
    overlay.write_text(
        json.dumps({"exporters": {"otlp_grpc/tempo": {"retry_on_failure": {"enabled": False}}}})
    )
    instance = make_instance(configs={"gateway": (*find_collector_configs("gateway"), overlay)})
    instance.start("gateway")
    sender = sender_to(instance, "gateway")
    sender.send(ITEMS, requests=REQUESTS)
    wait_until(lambda: not read_queue_bytes(instance, "gateway")["traces"], "the queue gave up")
    instance.stop("gateway")
    with Sinks(instance) as sinks:
        instance.start("gateway")
        missing = sinks.wait_for({**sender.sent, "traces": set()})
        assert missing == NOTHING
        assert sender.sent["traces"] - set(sinks.count()["traces"]) == sender.sent["traces"]
