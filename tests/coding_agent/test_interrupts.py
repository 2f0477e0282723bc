"""A signal that comes at a bad moment is held back, never lost."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from coding_agent import interrupts
from coding_agent.workspace import _folders

if TYPE_CHECKING:
    from pathlib import Path


def test_a_signal_is_raised_on_leaving(tmp_path: Path) -> None:
    """Ctrl-C within the block is raised behind it, also when blocks are nested; the handler is back."""

    def work() -> None:
        with interrupts.held_back():
            with interrupts.held_back():
                os.kill(os.getpid(), signal.SIGINT)
            (tmp_path / "done").touch()

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert (tmp_path / "done").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_are_left_alone() -> None:
    """In a thread nothing is held back, since handlers run in the main thread only."""
    handlers: list[object] = []

    def look() -> None:
        with interrupts.held_back():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_a_second_interrupt_does_not_leave_a_work_tree_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the work tree is removed waits for the removal."""
    remove = _folders.remove_tree

    def interrupted(folder: Path) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        remove(folder)

    def work() -> None:
        with _folders.reserved_folder(tmp_path, "t1", should_keep=False) as folder:
            (folder / "file").touch()
            raise KeyboardInterrupt

    monkeypatch.setattr(_folders, "remove_tree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert list((tmp_path / "work").iterdir()) == []
