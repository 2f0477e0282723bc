"""Tasks checked here, run there, stopped from elsewhere; and what the agent tells a health check."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from taskscope.bootstrap import build_runtime
from taskscope.config import load_settings
from taskscope.tasks.records import TaskRequest
from taskscope.tasks.runner import TaskRefusedError
from tests.coding_agent.repositories import make_repository
from tests.taskscope.service.services import BROKEN, HANGING, HOPELESS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskscope.bootstrap import Runtime


@contextmanager
def runtime(home: Path, **variables: str) -> Iterator[Runtime]:
    made = build_runtime(load_settings(home.parent, {"AGENT_HOME": str(home), **variables}))
    try:
        yield made
    finally:
        assert made.close(10)


def test_a_task_stopped_before_it_began_is_recorded_as_stopped(tmp_path: Path) -> None:
    """It runs to its first step, changes nothing, and stands in the ledger."""
    repository = make_repository(tmp_path / "water", BROKEN)
    with runtime(tmp_path / "home") as made:
        task = made.runner.prepare(TaskRequest(text="fix it", repository=repository))
        task.stop()
        result = task.run()
        with made.recording.history() as history:
            assert history.find_task(task.id).outcome == "stopped"
    assert (result.task_id, result.outcome, result.patch) == (task.id, "stopped", None)


def test_a_running_task_is_stopped_from_another_thread(tmp_path: Path) -> None:
    """In the middle of a test suite that hangs."""
    repository = make_repository(tmp_path / "slow", HANGING)
    began = threading.Event()
    with runtime(tmp_path / "home") as made:
        task = made.runner.prepare(TaskRequest(text="fix it", repository=repository))
        stopper = threading.Thread(target=lambda: task.stop() if began.wait() else None)
        stopper.start()
        result = task.run(lambda *_: began.set())
        stopper.join()
    assert (result.outcome, (result.error or {})["type"]) == ("stopped", "cancelled")


def test_a_wrong_task_is_refused_when_it_is_prepared(tmp_path: Path) -> None:
    """Not only when it would run."""
    with runtime(tmp_path / "home") as made, pytest.raises(TaskRefusedError, match="text: "):
        made.runner.prepare(TaskRequest(text=" ", repository=tmp_path))


def test_probes_tell_what_a_task_left(tmp_path: Path) -> None:
    """After a task the index is good and both collections say how many vectors they hold."""
    repository = make_repository(
        tmp_path / "water", {**HOPELESS, "steam.py": "def rises():\n    return True\n"}
    )
    with runtime(tmp_path / "home") as made:
        assert made.runner.probe_index()[0] is False
        made.runner.run(TaskRequest(text="fix it", repository=repository))
        is_good, index = made.runner.probe_index()
        assert (is_good, index) == (True, "2 passages of 2 files in 1 repository")
        assert made.runner.probe_vectors("codebase") == (True, "2 vectors")
        assert made.runner.probe_embedder() == (True, "hash-1024, 1024 dimensions")


def test_a_provider_is_not_asked_for_its_health(tmp_path: Path) -> None:
    """Asking costs money: the answer says that nothing was asked."""
    variables = {"AGENT_EMBEDDER": "openai:text-embedding-3-small", "OPENAI_API_KEY": "sk-none"}
    with runtime(tmp_path / "home", **variables) as made:
        is_good, words = made.runner.probe_embedder()
    assert is_good
    assert "not asked" in words
