from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from taskscope.semconv import attributes as attr
from taskscope.store.aggregates import read_aggregates, read_growth
from taskscope.store.history import open_history
from taskscope.store.processes import read_processes
from taskscope.store.session import StoreSession

from .builders import values_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Store

_ROOT = Path(__file__).parents[3]
_EXECUTIONS = "taskscope.task.executions"
_INTERRUPTED = ("repair", "interrupted", "not_verified", "interrupted")


@contextmanager
def _victim(path: Path, task_id: str = "t-1") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "victim.py"), str(path), task_id, "pytest"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def _kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_task_reads_as_interrupted_at_once(store: Store) -> None:
    """While its process lives it runs; after kill -9 the same reader sees a complete, failed tree."""
    with _victim(store.path) as process, open_history(store.path) as history:
        assert history.find_task().outcome is None
        assert values_of(read_aggregates(history.connection), "taskscope.task.active") == {("repair",): 1}
        assert values_of(read_aggregates(history.connection), "taskscope.agent.active") == {("coder",): 1}
        _kill(process)
        task = history.find_task()
        assert (task.outcome, task.error_type) == ("interrupted", "interrupted")
        nodes = list(history.tree(task).walk())
        assert [(node.name, node.status, node.is_interrupted) for node in nodes] == [
            ("invoke_workflow repair", "ERROR", True),
            ("invoke_agent coder", "ERROR", True),
            ("execute_tool pytest", "ERROR", True),
            ("chat m", "UNSET", False),
        ]
        assert all(node.end_ns is not None and node.end_ns >= node.start_ns for node in nodes)
        assert nodes[0].attributes[attr.TASK_OUTCOME] == "interrupted"
        assert history.active_tasks() == []
        points = read_aggregates(history.connection)
        assert values_of(points, "taskscope.task.active") == {}
        assert values_of(points, _EXECUTIONS) == {_INTERRUPTED: 1}


def test_closing_for_good_changes_nothing_that_was_read(store: Store) -> None:
    """Tree, ledger and every metric are the same before and after a writer closed the dead's open spans."""
    with _victim(store.path) as process:
        _kill(process)
    with open_history(store.path) as history:
        before = _all_that_is_read(store.path)
        store.session.recover()
        assert history.connection.execute("SELECT count(*) FROM open").fetchone() == (0,)
        assert _all_that_is_read(store.path) == before


def test_what_is_sent_again_and_again_waits_for_the_writer(store: Store) -> None:
    """A reader that adds up would count twice what is here now and is written down a moment later."""
    with _victim(store.path) as process:
        _kill(process)
    with open_history(store.path) as history:
        assert values_of(read_growth(history.connection, 0), _EXECUTIONS) == {}
        store.session.recover()
        assert values_of(read_growth(history.connection, 0), _EXECUTIONS) == {_INTERRUPTED: 1}


def _all_that_is_read(path: Path) -> tuple[object, ...]:
    with open_history(path) as history:
        task = history.find_task()
        points = [p for p in read_aggregates(history.connection) if p.name != "taskscope.recorder.file.size"]
        return task, list(history.tree(task).walk()), points


def test_a_death_is_counted_once_however_many_find_it(store: Store) -> None:
    """Eight writers, all there before, recover three dead processes at the same moment."""
    sessions = [StoreSession(store.path) for _ in range(8)]
    for session in sessions:
        session.recover()
    with ExitStack() as victims:
        processes = [victims.enter_context(_victim(store.path, f"t-{number}")) for number in range(3)]
        for process in processes:
            _kill(process)
    barrier = threading.Barrier(8)
    closed: list[int] = []

    def recover(session: StoreSession) -> None:
        barrier.wait()
        closed.append(session.recover())

    threads = [threading.Thread(target=recover, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(store.read()) as connection:
        points = read_aggregates(connection)
        rows = connection.execute("SELECT count(*) FROM span WHERE role <> 6").fetchone()
    for session in sessions:
        session.close()
    assert values_of(points, _EXECUTIONS) == {_INTERRUPTED: 3}
    assert (rows, sum(closed)) == ((9,), 9)


def test_a_process_that_ends_well_leaves_no_lock(store: Store) -> None:
    """Its lock file is gone, its row says when it ended, and what it left open reads as interrupted."""
    with _victim(store.path) as process:
        process.communicate("")
        assert process.returncode == 0
    assert list((store.path.parent / "journal").iterdir()) == []
    with open_history(store.path) as history:
        assert read_processes(history.connection) == []
        assert history.find_task().outcome == "interrupted"


def test_the_locks_of_the_dead_are_tidied_up(store: Store) -> None:
    """Whoever closes what a killed process left open removes its lock file, and no living one's."""
    with _victim(store.path, "t-1") as dead, _victim(store.path, "t-2"):
        _kill(dead)
        store.session.recover()
        left = {lock.name for lock in (store.path.parent / "journal").iterdir()}
        with closing(store.read()) as connection:
            assert left == {process.lock for process in read_processes(connection)}
    assert len(left) == 2


def test_a_lock_whose_owner_never_wrote_is_tidied_up(store: Store) -> None:
    """A kill between lock and journal leaves it; one that is being made, and a living one's, stay."""
    folder = store.path.parent / "journal"
    with _victim(store.path):
        (living,) = folder.iterdir()
        (folder / "1-dead.lock").touch()
        (folder / "2-dead.new").touch()
        os.utime(folder / "2-dead.new", (0, 0))
        (folder / "3-made.new").touch()
        store.session.recover()
        left = {path.name for path in folder.iterdir()}
    assert left >= {living.name, "3-made.new"}
    assert not left & {"1-dead.lock", "2-dead.new"}


def test_a_living_process_is_not_taken_for_dead(store: Store) -> None:
    """By its own threads, by another process, or after its lock file was tidied away."""
    with _victim(store.path), open_history(store.path) as history:
        store.session.recover()
        assert history.find_task().outcome is None
        for lock in (store.path.parent / "journal").iterdir():
            lock.unlink()
        assert history.find_task().outcome is None
        assert store.session.recover() == 0


def test_the_end_is_the_last_sign_of_life(store: Store) -> None:
    """The time of the lock file, where that is later than the last record."""
    with _victim(store.path) as process:
        _kill(process)
    with open_history(store.path) as history:
        (process_row,) = read_processes(history.connection)
        beat_ns = process_row.seen_ns + 7_000_000_000
        os.utime(store.path.parent / "journal" / process_row.lock, ns=(beat_ns, beat_ns))
        assert history.find_task().ended_ns == beat_ns
