"""An edit leaves no trace unless it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.skills.editing import Transaction
from tests.coding_agent.skills.workshop import make_bench, snapshot, write_files

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_not_kept_is_undone_to_the_byte(tmp_path: Path) -> None:
    """Changed, made and removed files, and their modes, are as they were."""
    bench = make_bench(
        write_files(tmp_path / "work", {"a.py": b"x = 1\r\n", "b.py": b"\xff", "d/c.py": b"c"})
    )
    (bench.root / "b.py").chmod(0o755)
    before = snapshot(bench.root)

    with Transaction(bench) as edit:
        edit.write("a.py", "y")
        edit.write("new/n.py", "n")
        edit.remember("b.py", "d/c.py")
        (bench.root / "b.py").unlink()
        (bench.root / "d/c.py").unlink()
        (bench.root / "d").rmdir()

    assert snapshot(bench.root) == before
    assert (bench.root / "b.py").stat().st_mode & 0o777 == 0o755


def test_an_exception_undoes_even_what_was_kept(tmp_path: Path) -> None:
    """What goes wrong inside passes through, and nothing stays."""
    bench = make_bench(write_files(tmp_path / "work", {"a.py": "x"}))

    def stop_in_the_middle() -> None:
        with Transaction(bench) as edit:
            edit.write("a.py", "y")
            edit.keep()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_in_the_middle()
    assert snapshot(bench.root) == {"a.py": b"x"}


def test_kept_are_only_files_that_are_different(tmp_path: Path) -> None:
    """Written with the same text is not changed."""
    bench = make_bench(write_files(tmp_path / "work", {"a.py": "x", "b.py": "x"}))

    with Transaction(bench) as edit:
        edit.write("b.py", "y")
        edit.write("a.py", "x")
        edit.write("c.py", "z")
        kept = edit.keep()

    assert kept == ("b.py", "c.py")
