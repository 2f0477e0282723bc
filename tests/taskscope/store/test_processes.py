from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from taskscope.store.database import open_database, transaction
from taskscope.store.processes import ProcessLock, is_alive, last_sign_ns, read_processes, register_process

if TYPE_CHECKING:
    from pathlib import Path


def test_asking_does_not_drop_ones_own_lock(tmp_path: Path) -> None:
    """A process that asks about itself still holds its lock afterwards, as a forked child sees."""
    with closing(open_database(tmp_path / "taskscope.db", create=True)) as connection:
        lock = ProcessLock(tmp_path / "journal")
        with transaction(connection):
            register_process(connection, lock)
        (process,) = read_processes(connection)
        assert is_alive(process, tmp_path / "journal")
        child = os.fork()
        if child == 0:
            os._exit(0 if is_alive(process, tmp_path / "journal") else 1)
        assert os.waitpid(child, 0)[1] == 0
        lock.release()
        assert not is_alive(process._replace(start_ticks=0), tmp_path / "journal")


def test_a_forked_child_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    """The parent's death shows while the child lives on."""
    with closing(open_database(tmp_path / "taskscope.db", create=True)) as connection:
        ready, wait = os.pipe(), os.pipe()
        parent = os.fork()
        if parent == 0:
            lock = ProcessLock(tmp_path / "journal")
            if os.fork() == 0:
                os.close(wait[1])
                os.read(wait[0], 1)  # until the test lets go
                os._exit(0)
            os.write(ready[1], lock.path.name.encode())
            os._exit(0)
        os.waitpid(parent, 0)
        name = os.read(ready[0], 99).decode()
        with transaction(connection):
            connection.execute(
                "INSERT INTO process(pid, boot, start_ticks, lock, started, seen) VALUES(1, '', 0, ?, 0, 5)",
                (name,),
            )
        (process,) = read_processes(connection)
        assert not is_alive(process, tmp_path / "journal")
        os.close(wait[1])


def test_a_pid_that_is_used_again_is_no_sign_of_life(tmp_path: Path) -> None:
    """Without the lock file, pid, start time and boot together must fit."""
    with closing(open_database(tmp_path / "taskscope.db", create=True)) as connection:
        lock = ProcessLock(tmp_path / "journal")
        with transaction(connection):
            register_process(connection, lock)
        (process,) = read_processes(connection)
        lock.release()
        folder = tmp_path / "journal"
        assert is_alive(process, folder)
        assert not is_alive(process._replace(start_ticks=process.start_ticks - 1), folder)
        assert not is_alive(process._replace(boot="another"), folder)
        assert last_sign_ns(process, folder) == process.seen_ns
