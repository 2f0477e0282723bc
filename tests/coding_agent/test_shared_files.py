"""Laws of files that threads and processes share: whole for who reads, one after another for who writes."""

from __future__ import annotations

import multiprocessing
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from coding_agent.shared_files import locked, make_private, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE_S = 60.0


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def test_a_reader_sees_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    """However many replace it meanwhile, and nothing of them stays beside it."""
    file = tmp_path / "file"
    texts = [bytes([letter]) * 100_000 for letter in b"abc"]
    replace_file(file, texts[0])
    seen = []

    def write(text: bytes) -> None:
        for _ in range(30):
            replace_file(file, text)

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, text) for text in texts]
        while not all(writer.done() for writer in writers):
            seen.append(file.read_bytes())
        for writer in writers:
            writer.result()
    assert seen
    assert set(seen) <= set(texts)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    """And nothing half-made is left beside it."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(OSError):  # noqa: PT011  which one depends on the system
        replace_file(tmp_path / "folder", b"text")
    assert (tmp_path / "folder" / "inner").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_an_old_file_keeps_its_mode_and_a_new_one_heeds_the_umask(tmp_path: Path, umask: int) -> None:
    """Without a mode it is its owner's alone."""
    old = tmp_path / "old"
    old.touch()
    old.chmod(0o757)
    replace_file(old, b"", mode=0o600)
    replace_file(tmp_path / "new", b"", mode=0o666)
    replace_file(tmp_path / "private", b"")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"old": 0o757, "new": 0o666 & ~umask, "private": 0o600}


def test_threads_take_turns(tmp_path: Path) -> None:
    """As processes do: what one reads and writes back is not overwritten by another."""
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count() -> None:
        for _ in range(50):
            with locked(tmp_path / "lock"):
                replace_file(counter, str(int(counter.read_text()) + 1).encode())

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(count) for _ in range(4)]:
            done.result()
    assert counter.read_text() == "200"


def _take(lock: Path) -> None:
    with locked(lock):
        pass


def test_a_child_can_take_what_its_parents_thread_held_at_the_fork(tmp_path: Path) -> None:
    """The lock of the threads is its own; that of the processes it waits for."""
    holds, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path / "lock"):
            holds.set()
            assert may_go.wait(_PATIENCE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holds.wait(_PATIENCE_S)
    child = multiprocessing.get_context("fork").Process(target=_take, args=(tmp_path / "other",))
    child.start()
    child.join(_PATIENCE_S)
    code = child.exitcode
    child.kill()
    may_go.set()
    holder.join()
    assert code == 0


def test_folders_are_their_owners_alone(tmp_path: Path) -> None:
    """Those that are made; what stood there stays as it was."""
    tmp_path.chmod(0o755)
    folders = (tmp_path, tmp_path / "a", tmp_path / "a" / "b")
    make_private(folders[-1])
    assert [stat.S_IMODE(path.stat().st_mode) for path in folders] == [0o755, 0o700, 0o700]
