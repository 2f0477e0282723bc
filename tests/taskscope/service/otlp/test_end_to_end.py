"""Agents that know nothing of Taskscope, each in a process of its own, are seen by all commands that read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from taskscope.cli import main
from tests.taskscope.service.services import PATIENCE_S, environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.taskscope.service.services import Service

SENDERS = Path(__file__).parent / "senders"
NODE = shutil.which("node")


def send(service: Service, *command: str, **variables: str) -> None:
    """Run a sender to its end; it fails when anything that it sends is not taken."""
    done = subprocess.run(
        command,
        env=environment(service.home, **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def send_by_hand(service: Service) -> None:
    send(service, sys.executable, "-I", "-S", str(SENDERS / "by_hand.py"), service.url)


def send_by_sdk(service: Service) -> None:
    send(
        service, sys.executable, "-W", "error", str(SENDERS / "stock_sdk.py"),
        OTEL_EXPORTER_OTLP_ENDPOINT=service.url, OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", OTEL_SERVICE_NAME="stock",
    )  # fmt: skip


@pytest.fixture
def run(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What a command prints for those who have this service's home; in this process, where it is imported."""
    monkeypatch.setenv("AGENT_HOME", str(service.home))
    monkeypatch.chdir(service.home.parent)

    def run(*arguments: str, code: int = 0) -> str:
        assert main(arguments) == code
        return capsys.readouterr().out

    return run


def totals(service: Service) -> dict[tuple[str, ...], float]:
    """Samples by name and label values."""
    text = service.client.get("/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_json_by_hand_is_shown(service: Service, run: Callable[..., str]) -> None:
    """An agent of the standard library alone: its tree, its tokens, its log line, by the id of its trace."""
    send_by_hand(service)
    shown = run("show", "0af76519")
    assert shown.startswith("x-0af7651916cd43dd8448eb211c80319c  unknown\ntask      reviewer\n")
    assert "tokens    1 LLM call, 1,200 in, 34 out\n" in shown
    assert shown.endswith(
        "\n✓ invoke_agent reviewer  9.00 s"
        "\n├─ ✓ chat claude  2.00 s  1,200 + 34 tokens"
        "\n└─ ✓ execute_tool grep  1.00 s\n"
    )
    assert run("logs", "0af76519") == "10:13:21.000  WARN   two files were skipped\n"
    assert "reviewer" in run("history")
    assert "✓ execute_tool grep" in run("watch", "0af76519", code=1)


@pytest.mark.skipif(NODE is None, reason="node is not on the PATH")
def test_another_language_is_shown(service: Service, run: Callable[..., str]) -> None:
    """A task of an agent in JavaScript, under the id that it gave itself, with calls that name no task."""
    assert NODE is not None
    send(service, NODE, str(SENDERS / "by_hand.mjs"), service.url)
    shown = run("show", "release-7")
    assert shown.startswith("release-7  failed\n")
    assert "✗ invoke_workflow release  3.00 s\n└─ ✓ chat gpt  3.00 s  7 + 5 tokens\n" in shown
    (task,) = [one for one in json.loads(run("history", "--json")) if one["task_id"] == "release-7"]
    assert (task["kind"], task["outcome"], task["llm_calls"], task["input_tokens"]) == (
        "release",
        "failed",
        1,
        7,
    )
    assert service.ask("GET", "/tasks/release-7/spans").json()["name"] == "invoke_workflow release"


def test_a_stock_sdk_is_shown(service: Service, run: Callable[..., str]) -> None:
    """Spans, a log record and a metric by upstream's exporters in gzip: the tree, the line, the series."""
    send_by_sdk(service)
    task = json.loads(run("history", "--json"))[0]
    assert (task["kind"], task["llm_calls"], task["output_tokens"]) == ("writer", 1, 17)
    shown = run("show")
    assert "✓ invoke_agent writer" in shown
    assert "└─ ✓ chat gpt-5" in shown
    assert "WARN   the answer was short" in run("logs", task["trace_id"])
    found = {key: number for key, number in totals(service).items() if "foreign_pages_written_total" in key}
    assert list(found.values()) == [3]
    assert all("stock" in key and "en" in key for key in found)


def test_what_is_sent_again_counts_once(service: Service, run: Callable[..., str]) -> None:
    """The sums of the record, of agents, calls and tokens are the same after the same process ran again."""

    def count() -> list[float]:
        names = ("taskscope_records_delivered_total", "taskscope_records_emitted_total", "llm_calls_total",
                 "agent_executions_total", "gen_ai_client_inference_usage_input_tokens_total")  # fmt: skip
        words = ("reviewer", "claude", "llm_calls_total")
        return [
            number for key, number in sorted(totals(service).items())
            if key[0] in names and any(word in key for word in words)
        ]  # fmt: skip

    send_by_hand(service)
    before, rows = count(), history_size(run)
    assert before
    for _ in range(3):
        send_by_hand(service)
    assert (count(), history_size(run)) == (before, rows)


def history_size(run: Callable[..., str]) -> tuple[int, int, int]:
    lines = json.loads(run("logs", "0af76519", "--json"))
    tree = json.loads(run("show", "0af76519", "--json"))
    return len(json.loads(run("history", "--json"))), len(lines), len(tree["children"])


def test_a_taskscope_that_sends_to_its_own_service_is_not_doubled(
    service: Service, run: Callable[..., str]
) -> None:
    """Its record is in the store already when it comes again by OTLP: one tree, one of each number."""
    program = (
        "import taskscope\n"
        "taskscope.configure()\n"
        "with taskscope.task('mend'):\n"
        "    with taskscope.agent('mender'):\n"
        "        pass\n"
        "assert taskscope.flush(30)\n"
        "assert taskscope.shutdown(30)\n"
    )
    send(service, sys.executable, "-c", program, OTEL_EXPORTER_OTLP_ENDPOINT=service.url,
         TASKSCOPE_HOME=str(service.home), OTEL_BSP_SCHEDULE_DELAY="60000")  # fmt: skip
    shown = run("show")
    assert shown.count("invoke_agent mender") == 1
    now = totals(service)
    assert now["agent_executions_total", "mender", "ok"] == 1
    assert [n for key, n in now.items() if key[0] == "taskscope_task_executions_total" and "mend" in key] == [
        1
    ]
