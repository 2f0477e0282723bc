"""`history`, `status` and `logs` on stores written by the real writer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.semconv import attributes as attr
from taskscope.store.records import TaskNote
from tests.taskscope.cli import stores
from tests.taskscope.cli.stores import shown

if TYPE_CHECKING:
    from pathlib import Path

OTHER = {"task_id": "t-01KBBBBBBB", "trace": bytes(15) + b"\x01"}


def test_history(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest task stands first, each with outcome, time, cost, start and text."""
    older = stores.make_task((-3600, -3500), "needs_llm", **OTHER)
    stores.fill(home, TaskNote(OTHER["task_id"], text="coupons"), older)  # type: ignore[arg-type]
    stores.fill(home, TaskNote(stores.TASK_ID, text="make\nit pass"), *stores.make_repair())
    assert shown(capsys, "history").splitlines() == [
        "task          outcome              took          cost  started                  text",
        r"t-01KAAAAAAA  succeeded          10.0 s             -  2025-11-21 10:13:20 UTC  make\nit pass",
        "t-01KBBBBBBB  needs_llm      1 min 40 s             -  2025-11-21 09:13:20 UTC  coupons",
    ]
    assert len(shown(capsys, "history", "-n", "1").splitlines()) == 2


def test_history_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`history --json` is one array; the shape of its objects is a promise."""
    note = TaskNote(
        stores.TASK_ID, text="repair it", repository="/src/shop", model="rules", patch_path="/p/a.diff"
    )
    stores.fill(home, note, *stores.make_repair())
    assert json.loads(shown(capsys, "history", "--json")) == [
        {
            "task_id": stores.TASK_ID,
            "trace_id": stores.TRACE.hex(),
            "kind": "repair",
            "text": "repair it",
            "repository": "/src/shop",
            "model": "rules",
            "source": "cli",
            "attempt": 1,
            "outcome": "succeeded",
            "verification": "passed",
            "started_at": "2025-11-21T10:13:20.000000Z",
            "ended_at": "2025-11-21T10:13:30.000000Z",
            "duration_s": 10.0,
            "error_type": None,
            "findings": [],
            "patch": "/p/a.diff",
            "llm_calls": 0,
            "input_tokens": None,
            "output_tokens": None,
            "cost": {"micro_usd": None, "status": "no_llm_calls", "unpriced_calls": 0},
        }
    ]


@pytest.mark.parametrize(
    "facts, cost",
    [
        ({attr.COST_STATUS: "known", attr.COST_MICRO_USD: 1_230_000}, "    1.23 USD  "),
        ({attr.COST_STATUS: "unknown"}, "     unknown  "),
    ],
)
def test_history_tells_cost(
    home: Path, capsys: pytest.CaptureFixture[str], facts: dict[str, Any], cost: str
) -> None:
    """A task's cost stands in its row, as unknown where a call had no price."""
    chat = {attr.GEN_AI_OPERATION_NAME: "chat", attr.LLM_MODE: "live", **facts}
    stores.fill(
        home, stores.make_span(2, "chat m", 1, (1, 2), chat, kind=3), stores.make_task((0, 9), "failed")
    )
    assert cost in shown(capsys, "history").splitlines()[1]


def test_history_of_a_running_task(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task that runs is said to, and has neither end nor outcome in JSON."""
    with stores.writing(home) as ingest:
        ingest.write(stores.make_begun())
        line = shown(capsys, "history").splitlines()[1]
        (row,) = json.loads(shown(capsys, "history", "--json"))
    assert line.startswith("t-01KAAAAAAA  running ")
    assert (row["outcome"], row["ended_at"], row["duration_s"]) == (None, None, None)


def test_nothing_yet(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store without tasks is no failure: an empty list, and a line that says so."""
    stores.fill(home)
    assert shown(capsys, "history") == "no tasks yet; `taskscope run TASK` makes one\n"
    assert shown(capsys, "status") == "nothing is running\n"
    assert shown(capsys, "history", "--json") == shown(capsys, "status", "--json") == "[]\n"


def test_status_of_a_running_task(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`status` names a running task and its innermost open span, with since when."""
    with stores.writing(home) as ingest:
        ingest.write(stores.make_begun())
        first, second = shown(capsys, "status").splitlines()
        (row,) = json.loads(shown(capsys, "status", "--json"))
    assert first.startswith("t-01KAAAAAAA  running ")
    assert first.endswith("  repair it")
    assert second.startswith("  is in python, for ")
    assert row == {
        "task_id": stores.TASK_ID,
        "trace_id": stores.TRACE.hex(),
        "kind": "repair",
        "text": "repair it",
        "repository": "/src/shop",
        "state": "running",
        "started_at": "2025-11-21T10:13:20.000000Z",
        "ended_at": None,
        "doing": {
            "span_id": "0000000000000009",
            "name": "python",
            "kind": "CLIENT",
            "started_at": "2025-11-21T10:13:21.100000Z",
        },
    }


def test_status_of_a_killed_task(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task whose process was killed is not running any more: it is interrupted, in its innermost span."""
    stores.fill_and_die(home)
    first, second = shown(capsys, "status").splitlines()
    (row,) = json.loads(shown(capsys, "status", "--json"))
    assert first.startswith("t-01KAAAAAAA  interrupted after ")
    assert second.startswith("  was in python, for ")
    assert (row["state"], row["doing"]["name"]) == ("interrupted", "python")
    assert row["ended_at"] is not None


def test_logs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log lines and events of a task stand in the order of time, with their facts."""
    lines = [
        stores.make_log(2, None, "it is done", files=3),
        stores.make_log(0.5, "taskscope.task.started", ""),
    ]
    stores.fill(home, *lines, *stores.make_repair())
    assert shown(capsys, "logs").splitlines() == [
        "10:13:20.500  INFO   taskscope.task.started",
        "10:13:22.000  INFO   it is done  files=3",
    ]
    assert json.loads(shown(capsys, "logs", "--json"))[1] == {
        "time": "2025-11-21T10:13:22.000000Z",
        "severity": "INFO",
        "severity_number": 9,
        "event": None,
        "message": "it is done",
        "attributes": {"files": 3, "taskscope.task.id": stores.TASK_ID},
        "trace_id": stores.TRACE.hex(),
        "span_id": None,
    }


@pytest.mark.parametrize("severity, word", [(9, "INFO "), (13, "WARN "), (17, "ERROR"), (3, "3    ")])
def test_log_levels(home: Path, capsys: pytest.CaptureFixture[str], severity: int, word: str) -> None:
    """A line shows its level, by number where it has no name."""
    text = {9: "INFO", 13: "WARN", 17: "ERROR"}.get(severity, "")
    stores.fill(home, stores.make_log(1, None, "said", severity=(severity, text)), *stores.make_repair())
    assert shown(capsys, "logs") == f"10:13:21.000  {word}  said\n"


def test_no_logs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task without log lines is said to have none."""
    stores.fill(home, *stores.make_repair())
    assert shown(capsys, "logs", stores.TASK_ID) == "no log lines of this task\n"
