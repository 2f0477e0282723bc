"""Where work trees are made when the disk of the home is full."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from coding_agent.workspace._folders import reserved_folder

MEBIBYTE = 1024 * 1024


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What is free, in bytes, below `home` and below `temporary`; a test sets it."""
    free = {"home": 1024 * MEBIBYTE, "temporary": 1024 * MEBIBYTE}
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    usage = lambda path: SimpleNamespace(free=free[Path(path).relative_to(tmp_path).parts[0]])  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", usage)
    return free


def test_a_full_home_gives_way_to_the_temporary_files(tmp_path: Path, room: dict[str, int]) -> None:
    """The work tree is made where there is room, and nothing of it stays."""
    room["home"] = 1 * MEBIBYTE
    with reserved_folder(tmp_path / "home", "t1", should_keep=False) as folder:
        assert folder.name == "t1"
        assert folder.is_relative_to(tmp_path / "temporary")
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("home,temporary", [(1024, 1), (1, 1), (17, 1024)])
def test_otherwise_the_home_is_the_place(
    tmp_path: Path, room: dict[str, int], home: int, temporary: int
) -> None:
    """With room in the home, or none anywhere, it is the home."""
    room.update(home=home * MEBIBYTE, temporary=temporary * MEBIBYTE)
    with reserved_folder(tmp_path / "home", "t1", should_keep=False) as folder:
        assert folder == tmp_path / "home" / "work" / "t1"


def test_a_disk_without_room_for_a_folder_is_full(
    tmp_path: Path, room: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that cannot even take a folder is full; one that may not be written is told."""
    make = Path.mkdir
    number = errno.ENOSPC

    def fail(path: Path, *args: object, **options: object) -> None:
        if path.name == "work":
            raise OSError(number, "made up")
        make(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", fail)
    with reserved_folder(tmp_path / "home", "t1", should_keep=False) as folder:
        assert folder.is_relative_to(tmp_path / "temporary")
    number = errno.EACCES
    with (
        pytest.raises(OSError, match="made up"),
        reserved_folder(tmp_path / "home", "t1", should_keep=False),
    ):
        pass
    assert room
