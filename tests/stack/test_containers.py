"""What docker-compose.yml says works on the real programs, as far as that can be had without Docker."""

from __future__ import annotations

import json
import time
import urllib.parse
from typing import TYPE_CHECKING

import pytest

from .containers import Containers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_S = 90.0
STARTED = ("prometheus", "loki", "tempo", "alertmanager", "gateway", "agent", "chroma", "taskscope", "nats")
"""All but Grafana, which cannot be built here, and `pipeline`, which is a health check."""
BROKEN = """
set -eu
mkdir /repositories/shop && cd /repositories/shop && git init --quiet
printf 'def total(prices):\\n    return sum(prices\\n' > shop.py
printf 'from shop import total\\n\\n\\ndef test_total():\\n    assert total([1, 2]) == 3\\n' > test_shop.py
git add --all
git -c user.name=test -c user.email=test@example.invalid commit --quiet --message 'A shop, broken'
"""


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Containers]:
    with Containers(tmp_path) as containers:
        yield containers


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.2)


def find_value(containers: Containers, query: str) -> float:
    asked = f"http://prometheus:29090/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    return sum(float(series["value"][1]) for series in containers.ask(asked)["data"]["result"])


def test_a_task_in_the_container_is_found_in_every_backend(containers: Containers) -> None:
    """Each health check passes, `pipeline` reaches all and Prometheus its targets; a task that the container
    ran is in Tempo, Loki and Prometheus, and its vectors are on the Chroma server.
    """
    for name in STARTED:
        containers.start(name)
    for name in STARTED:
        if "healthcheck" in containers.services[name]:
            wait_until(lambda name=name: containers.is_healthy(name), name)  # type: ignore[misc]
    wait_until(lambda: containers.is_healthy("pipeline", by="taskscope"), "pipeline")

    assert containers.run("taskscope", "sh", "-c", BROKEN).returncode == 0
    ran = containers.run(
        "taskscope", "taskscope", "run", "make the tests pass", "--repo", "/repositories/shop"
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    shipped = containers.run("taskscope", "taskscope", "ship", "--once")
    assert shipped.returncode == 0, shipped.stderr

    task = json.loads(containers.run("taskscope", "taskscope", "history", "--json").stdout)[0]
    search = urllib.parse.urlencode({"q": f'{{ span.taskscope.task.id = "{task["task_id"]}" }}'})
    wait_until(lambda: containers.ask(f"http://tempo:23200/api/search?{search}")["traces"] != [], "the trace")
    lines = urllib.parse.urlencode(
        {"query": f'{{service_name="taskscope"}} | taskscope_task_id="{task["task_id"]}"'}
    )
    found = f"http://loki:23100/loki/api/v1/query_range?{lines}"
    wait_until(lambda: containers.ask(found)["data"]["result"] != [], "the log lines")
    wait_until(lambda: find_value(containers, "taskscope_task_executions_total") == 1, "the count of tasks")
    wait_until(
        lambda: find_value(containers, "sum(up)") == find_value(containers, "count(up)"), "all targets"
    )
    collections = "api/v2/tenants/default_tenant/databases/default_database/collections"
    names = {one["name"].rpartition("-")[0] for one in containers.ask(f"http://chroma:28000/{collections}")}
    assert names == {"codebase", "skills"}


def test_who_listens_on_its_own_loopback_is_not_reached(containers: Containers) -> None:
    """The control: without its variable Loki is well by itself, and the others are refused."""
    del containers.services["loki"]["environment"]["TASKSCOPE_LISTEN"]
    containers.start("loki")
    wait_until(lambda: containers.is_healthy("loki"), "loki")
    asked = containers.run("loki", "ask", "http://loki:23100/ready")
    assert (asked.returncode, asked.stdout) == (
        1,
        "http://loki:23100/ready: [Errno 111] Connection refused\n",
    )


def test_the_gateway_of_the_scale_profile_is_reached_like_the_other(containers: Containers) -> None:
    """It comes up with the sampling overlay, and answers other containers at the gateway's port."""
    containers.start("gateway-scale")
    url = "http://gateway-scale:24133/"
    wait_until(lambda: containers.run("gateway-scale", "ask", url).returncode == 0, "the gateway")
    span = {
        "traceId": "a" * 32,
        "spanId": "b" * 16,
        "name": "x",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
    }
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    sending = ["wget", "--quiet", "-O-", "--header=Content-Type: application/json", f"--post-data={body}"]
    sent = containers.run("gateway-scale", *sending, "http://gateway-scale:24318/v1/traces")
    assert sent.returncode == 0, sent.stderr

    def is_sampling() -> bool:
        asked = ["wget", "--quiet", "-O-", "http://gateway-scale:24888/metrics"]
        return "otelcol_processor_tail_sampling_" in containers.run("gateway-scale", *asked).stdout

    wait_until(is_sampling, "numbers of tail sampling")
