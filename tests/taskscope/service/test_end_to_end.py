"""Before any task, and after two good, one failed and one killed: every short name has the right value."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from taskscope.semconv.short_names import SHORT_NAMES
from tests.coding_agent.repositories import make_repository

from .services import BROKEN, HANGING, PATIENCE_S, Service, environment, running_service, wait_until

if TYPE_CHECKING:
    from pathlib import Path

RECORDING = [
    {
        "format": "model-recording",
        "version": 1,
        "origin": "synthetic",
        "api": "openai.chat_completions",
        "provider": "openai",
    },
    {
        "request": {"model": "m", "messages": [{"role": "user", "content": "something else"}]},
        "response": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "no"}}]},
    },
]
KEYS = ("status", "method", "endpoint", "agent_id", "skill_id", "operation", "le")


def command(home: Path, repository: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "taskscope", "run", "make the tests pass", "--repo", str(repository), *more],
        env=environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def scrape(service: Service) -> dict[tuple[str, ...], float]:
    """Samples by name and label values, in the order of `KEYS`."""
    text = service.client.get("/metrics", timeout=PATIENCE_S).text
    return {
        (sample.name, *(sample.labels[key] for key in KEYS if key in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not any("_" in label for label in sample.labels.keys() - {"agent_id", "skill_id"})
    }


def check_zero(shown: dict[tuple[str, ...], float]) -> None:
    """Before the first task each counter without labels says 0, and so says each histogram's count."""
    for name in ("tasks_executed_total", "tasks_failed_total", "llm_calls_total", "active_agents"):
        assert shown[name,] == 0
    assert shown["current_tasks_in_progress",] == shown["task_execution_duration_seconds_count",] == 0
    assert shown["last_healthcheck_status",] == 1


def test_short_names_begin_at_zero_and_count_good_failed_and_killed_tasks(tmp_path: Path) -> None:
    """One page counts the tasks of four processes, the killed one too."""
    home, work = tmp_path / "home", tmp_path / "work"
    water, steam = make_repository(work / "water", BROKEN), make_repository(work / "steam", BROKEN)
    slow = make_repository(work / "slow", HANGING)
    recording = tmp_path / "other.jsonl"
    recording.write_text("".join(json.dumps(line) + "\n" for line in RECORDING))
    began = time.time()
    with running_service(home, work) as service:
        check_zero(wait_until(lambda: scrape(service), lambda page: page["last_healthcheck_timestamp",] > 0))
        assert command(home, water).wait(PATIENCE_S) == 0
        task = service.start_task(steam)
        assert service.wait_for_end(task["task_id"])["outcome"] == "succeeded"
        assert command(home, steam, "--model", f"replay:{recording}").wait(PATIENCE_S) == 1
        killed = command(home, slow)
        wait_until(lambda: scrape(service)["active_agents",], lambda number: number == 1)
        assert scrape(service)["current_tasks_in_progress",] == 1
        running = service.ask("GET", "/tasks?limit=1").json()[0]
        refused = service.ask("DELETE", f"/tasks/{running['task_id']}")
        killed.send_signal(signal.SIGKILL)
        killed.wait(PATIENCE_S)
        listed = service.ask("GET", "/tasks").json()
        shown = wait_until(
            lambda: scrape(service),
            lambda page: page.get(("http_requests_total", "200", "GET", "/tasks")) == 2,
        )
    assert (running["outcome"], refused.status_code) == (None, 409)
    assert "another process" in refused.json()["detail"]
    outcomes = sorted(one["outcome"] for one in listed)
    assert outcomes == ["failed", "interrupted", "succeeded", "succeeded"]
    assert shown["tasks_executed_total",] == 2
    assert shown["tasks_failed_total",] == 2
    assert shown["task_execution_duration_seconds_count",] == 4
    assert shown["task_execution_duration_seconds_bucket", "+Inf"] == 4
    assert shown["current_tasks_in_progress",] == shown["active_agents",] == 0
    assert shown["llm_calls_total",] == 0  # a replayed call is none
    assert shown["agent_executions_total", "ok", "coder"] == 2
    assert shown["agent_executions_total", "error", "coder"] == 2
    assert shown["skill_executions_total", "succeeded", "missing_colon"] == 2
    assert shown["embed_requests_total",] == shown["embedding_request_latency_seconds_count",] > 0
    assert shown["last_healthcheck_status",] == 1
    assert began <= shown["last_healthcheck_timestamp",] <= time.time()
    assert shown["http_requests_total", "202", "POST", "/tasks"] == 1
    assert shown["db_query_duration_seconds_count", "SELECT"] > 0
    names = {key[0] for key in shown}
    for short in SHORT_NAMES:
        assert (short.name if short.type != "histogram" else f"{short.name}_count") in names, short.name
