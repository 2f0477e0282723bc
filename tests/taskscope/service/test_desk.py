"""The desk: a few tasks at once, a few in line, no more; and how it ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import pytest

from taskscope.service.desk import DeskFullError, Entry, TaskDesk

if TYPE_CHECKING:
    from taskscope.tasks.runner import PreparedTask


class FakeTask:
    """Runs until it is stopped or released; as a prepared task does, it runs also when stopped before."""

    def __init__(self, number: int, error: Exception | None = None) -> None:
        self.id = f"t-{number}"
        self.began = threading.Event()
        self.ended = threading.Event()
        self.release = threading.Event()
        self._error = error

    def run(self) -> None:
        self.began.set()
        self.release.wait()
        self.ended.set()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self.release.set()


def accept(desk: TaskDesk, task: FakeTask) -> Entry:
    return desk.accept(cast("PreparedTask", task), trace_id=None, text="x")


def test_more_than_run_and_wait_are_refused() -> None:
    """With one place and two in line the fourth is refused; a place that gets free is given to the next."""
    desk = TaskDesk(running=1, waiting=2)
    tasks = [FakeTask(number) for number in range(4)]
    entries = [accept(desk, task) for task in tasks[:3]]
    assert tasks[0].began.wait(60)
    with pytest.raises(DeskFullError):
        accept(desk, tasks[3])
    assert not tasks[1].began.is_set()
    assert [entry.task.id for entry in desk.waiting()] == ["t-2", "t-1"]
    tasks[0].release.set()
    assert tasks[1].began.wait(60)
    assert [entry.state for entry in entries[1:]] == ["running", "waiting"]
    accept(desk, tasks[3])
    assert desk.close(60)


def test_a_task_that_raises_does_not_take_its_thread_along(caplog: pytest.LogCaptureFixture) -> None:
    """The next one runs on the same thread, and the mistake is in the log."""
    desk = TaskDesk(running=1)
    broken, good = FakeTask(1, RuntimeError("planted")), FakeTask(2)
    for task in (broken, good):
        accept(desk, task)
    broken.release.set()
    assert good.began.wait(60)
    assert desk.find("t-1") is None
    assert "task t-1 ended without an outcome" in caplog.text
    assert desk.close(60)


def test_the_end_stops_all_and_takes_no_more() -> None:
    """Those in line are begun too, so that they are recorded as stopped; a new one is refused."""
    desk = TaskDesk(running=1, waiting=5)
    tasks = [FakeTask(number) for number in range(4)]
    for task in tasks:
        accept(desk, task)
    assert desk.close(60)
    assert all(task.ended.is_set() for task in tasks)
    with pytest.raises(DeskFullError):
        accept(desk, FakeTask(9))


def test_only_its_own_task_can_be_stopped() -> None:
    """An unknown id is nobody's; a known one ends."""
    desk = TaskDesk()
    task = FakeTask(1)
    accept(desk, task)
    assert desk.stop("t-other") is None
    entry = desk.stop("t-1")
    assert entry is not None
    assert entry.state == "stopping"
    assert task.ended.wait(60)
