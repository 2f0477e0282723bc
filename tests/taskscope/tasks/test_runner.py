"""Running a task: what is kept, what is refused, and what it may cost."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import stat
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from taskscope.bootstrap import build_runtime
from taskscope.config import load_settings
from taskscope.errors import StoreTooNewError
from taskscope.store.history import open_history
from taskscope.tasks.records import TaskRequest
from taskscope.tasks.runner import TaskRefusedError, caller_context
from tests.coding_agent.repositories import git, make_repository
from tests.providers import Answer, ScriptedProvider, call_tool, chat_completion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskscope.bootstrap import Runtime
    from taskscope.store.history import TaskSummary

BROKEN = {
    "water.py": "def boils(celsius)\n    return celsius >= 100\n",
    "test_water.py": "from water import boils\n\n\ndef test_boils():\n    assert boils(100)\n",
}
PRICES = "prices:\n  - model: gpt-test\n    input: 1000\n    output: 1000\n"


@contextmanager
def runtime(home: Path, **variables: str) -> Iterator[Runtime]:
    """A runtime as a command has it, with a home and settings of its own."""
    settings = load_settings(home.parent, {"AGENT_HOME": str(home), **variables})
    made = build_runtime(settings)
    try:
        yield made
    finally:
        assert made.close(10)


def find(home: Path, task_id: str) -> TaskSummary:
    with open_history(home / "taskscope.db") as history:
        return history.find_task(task_id)


def request(repository: Path, **fields: object) -> TaskRequest:
    return TaskRequest(text="make the tests pass", repository=repository, **fields)  # type: ignore[arg-type]


def fix() -> Answer:
    return chat_completion(
        calls=[call_tool("run_skill", {"skill": "missing_colon", "finding": 1})],
        usage={"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10},
    )


def test_a_store_of_a_newer_version_refuses_the_task(tmp_path: Path) -> None:
    """Nothing is done where the record of it would be lost, and the store stays as it is."""
    repository = make_repository(tmp_path / "water", BROKEN)
    home = tmp_path / "home"
    home.mkdir()
    with closing(sqlite3.connect(home / "taskscope.db")) as store:
        store.execute("PRAGMA user_version = 99")
    before = (home / "taskscope.db").read_bytes()
    with runtime(home) as made, pytest.raises(StoreTooNewError, match="schema version 99"):
        made.runner.run(request(repository))
    assert (home / "taskscope.db").read_bytes() == before
    assert list((home / "tasks").iterdir()) == []


def test_a_second_task_in_place_is_refused(tmp_path: Path) -> None:
    """While another process is at work in place on the repository, also with another home, none begins."""
    repository = make_repository(tmp_path / "water", BROKEN)
    folder = os.open(repository, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with (
            runtime(tmp_path / "home") as made,
            pytest.raises(TaskRefusedError, match="another task is at work in place"),
        ):
            made.runner.run(request(repository, in_place=True))
    finally:
        os.close(folder)


def test_the_ledger_says_what_the_result_says_and_no_secret(tmp_path: Path) -> None:
    """Result, ledger and files agree: outcome, trace, patch that applies, private to their owner. A key in
    the task's text reaches neither ledger, nor spans, nor log, nor the summary.
    """
    secret = "ghp_" + "a1B2" * 9
    repository = make_repository(tmp_path / "water", BROKEN)
    home = tmp_path / "home"
    with runtime(home) as made:
        started: list[tuple[str, str]] = []
        asked = TaskRequest(text=f"push it with {secret}", repository=repository)
        result = made.runner.run(asked, on_start=lambda *ids: started.append(ids))
    task = find(home, result.task_id)
    assert started == [(result.task_id, result.trace_id)] == [(task.task_id, task.trace_id)]
    assert (
        (result.outcome, result.verification) == (task.outcome, task.verification) == ("succeeded", "passed")
    )
    assert result.patch is not None
    assert task.patch_path == str(result.patch)
    assert stat.S_IMODE(result.patch.stat().st_mode) == 0o600
    git(result.apply_to, "apply", str(result.patch))
    assert "def boils(celsius):" in (repository / "water.py").read_text()
    assert result.as_json()["cost"] == {"micro_usd": None, "status": "no_llm_calls", "unpriced_calls": 0}
    assert task.text == "push it with [redacted:github_token]"
    places = ("taskscope.db*", "logs/*", "tasks/*/summary.md")
    kept = [file for place in places for file in home.glob(place)]
    assert kept
    assert not [file.name for file in kept if secret.encode() in file.read_bytes()]


def test_a_refused_task_names_all_that_is_wrong(tmp_path: Path) -> None:
    """Every violated field stands in one line, nothing is started, and nothing is in the ledger."""
    home = tmp_path / "home"
    with runtime(home) as made, pytest.raises(TaskRefusedError) as refused:
        made.runner.run(
            TaskRequest(
                text="  ", repository=tmp_path / "nowhere", priority=10, budget_usd=-1.0, model="oracle"
            )
        )
    for field in ("text", "repository", "priority", "budget_usd", "model"):
        assert f"{field}: " in str(refused.value)
    assert not (home / "tasks").is_dir() or not any((home / "tasks").iterdir())


def test_a_live_call_is_priced_and_at_the_daily_cap_no_further_is_made(tmp_path: Path) -> None:
    """Tokens of the provider times the prices file is the cost, on the result and in the ledger. The day's
    sum holds over processes: the next task is stopped before its first live call.
    """
    repository, home = make_repository(tmp_path / "water", BROKEN), tmp_path / "home"
    (tmp_path / "prices.yaml").write_text(PRICES)
    with ScriptedProvider([fix(), fix()]) as provider:
        variables = {
            "OPENAI_BASE_URL": provider.openai_url,
            "AGENT_PRICES_FILE": str(tmp_path / "prices.yaml"),
            "COST_CAP_DAILY": "0.01",
        }
        with runtime(home, **variables) as made:
            result = made.runner.run(request(repository, model="openai:gpt-test"))
        with runtime(home, **variables) as made:
            stopped = made.runner.run(request(repository, model="openai:gpt-test"))
        assert len(provider.received) == 1
    assert result.outcome == "succeeded", json.dumps(result.as_json(), indent=1)
    assert result.as_json()["cost"] == {"micro_usd": 10_000, "status": "known", "unpriced_calls": 0}
    task = find(home, result.task_id)
    assert (task.cost_micro_usd, task.llm_calls, task.unpriced_calls) == (10_000, 1, 0)
    assert (task.input_tokens, task.output_tokens) == (8, 2)
    assert (stopped.outcome, stopped.patch) == ("stopped", None)
    assert stopped.error is not None
    assert (stopped.error["type"], stopped.error["phase"]) == ("budget_exceeded", "plan")
    assert find(home, stopped.task_id).error_type == "budget_exceeded"


def test_an_unpriced_task_below_a_caller_who_samples_is_on_record(tmp_path: Path) -> None:
    """A local model that no prices file names is unknown, never free. The task, below a span that its caller
    did not sample, is on record, in the caller's trace.
    """
    repository, home = make_repository(tmp_path / "water", BROKEN), tmp_path / "home"
    caller = {"TRACEPARENT": f"00-{'ab' * 16}-{'cd' * 8}-00"}
    with (
        ScriptedProvider([fix()]) as provider,
        runtime(home, OPENAI_BASE_URL=provider.openai_url) as made,
    ):
        asked = request(repository, model="openai:gpt-test")
        result = made.runner.run(asked, parent=caller_context(caller))
    assert result.as_json()["cost"] == {"micro_usd": None, "status": "unknown", "unpriced_calls": 1}
    task = find(home, result.task_id)
    assert task.cost_micro_usd is None
    assert (result.trace_id, task.outcome) == ("ab" * 16, "succeeded")


def test_a_preview_changes_nothing(tmp_path: Path) -> None:
    """`plan` names findings and steps, and the ledger stays empty."""
    repository = make_repository(tmp_path / "water", BROKEN)
    with runtime(tmp_path / "home") as made:
        preview = made.runner.preview(request(repository))
    assert [finding["rule"] for finding in preview.findings] == ["syntax/expected-colon"]
    assert [step["skill"] for step in preview.steps] == ["missing_colon"]
    assert "def boils(celsius)\n" in (repository / "water.py").read_text()
