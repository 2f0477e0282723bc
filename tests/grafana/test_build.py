"""What is generated and committed is what the code makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from grafana import build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_what_is_committed_is_what_the_code_makes() -> None:
    """`python -m grafana.build` would change no file."""
    assert build.find_drift() == []


@pytest.mark.parametrize("entry", build.GENERATED, ids=lambda entry: entry[0])
def test_drift_is_found(
    entry: tuple[str, Callable[[], str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that one character was added to is named, and written anew by a build."""
    name, _ = entry
    monkeypatch.setattr(build, "GENERATED", (entry,))
    root = tmp_path / "grafana"  # a page of the docs stands beside it
    monkeypatch.setattr(build, "ROOT", root)
    build.write_all()
    assert build.find_drift() == []
    path = root / name
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert build.find_drift() == [name]
    path.unlink()
    assert build.find_drift() == [name]
    build.write_all()
    assert build.find_drift() == []
