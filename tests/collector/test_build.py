"""Laws of the generated configuration: it is what its tables say, and says where it comes from."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from collector import build

if TYPE_CHECKING:
    from pathlib import Path

PARTS = pytest.mark.parametrize("part", build.PARTS, ids=lambda part: part.file)


@PARTS
def test_a_generated_file_is_what_its_table_says(part: build.Part) -> None:
    """What is committed is what the sources make; `python -m collector.build` repairs it."""
    assert (build.FOLDER / part.file).read_text("utf-8") == build.render(part)


@PARTS
def test_a_generated_file_says_where_it_comes_from(part: build.Part) -> None:
    """Whoever opens the file reads first that it is generated, by what, and not to be edited."""
    head = (build.FOLDER / part.file).read_text("utf-8").splitlines()[:2]
    assert head[0].startswith("# Generated from ")
    assert "python -m collector.build" in head[0]
    assert "Do not edit" in head[1]


def test_no_file_stands_there_that_nobody_makes() -> None:
    """A part that was taken out leaves no file behind that a Collector would still read."""
    assert {path.name for path in build.FOLDER.iterdir()} == {part.file for part in build.PARTS}


def test_a_check_names_what_differs_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` fails on an edited file, names it and leaves it; without it the file is made anew."""
    shutil.copytree(build.FOLDER, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    edited = tmp_path / build.PARTS[0].file
    edited.write_text("processors: {}\n", "utf-8")
    assert build.main(["--check"]) == 1
    assert edited.name in capsys.readouterr().out
    assert edited.read_text("utf-8") == "processors: {}\n"
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
