"""Edits that leave no trace unless they are kept. What to edit is the skills' business."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from coding_agent.protocols import Workbench


class Transaction:
    """Remembers files before they change; on leaving without `keep()` all are as they were, to the byte.

    That holds for an exception too: a task stopped in the middle of a trial leaves no trial behind.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._before: dict[str, tuple[bytes, int] | None] = {}
        self._is_kept = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None or not self._is_kept:
            self.undo()

    def remember(self, *paths: str) -> None:
        """Remember files that another tool is about to change, make or remove."""
        for path in paths:
            if path in self._before:
                continue
            file = self._bench.root / path
            self._before[path] = (file.read_bytes(), file.stat().st_mode) if file.is_file() else None

    def write(self, path: str, text: str) -> None:
        """Replace a file's text."""
        self.remember(path)
        self._bench.files.write(path, text)

    def keep(self) -> tuple[str, ...]:
        """Keep the edits; return the files that are different now, sorted."""
        self._is_kept = True
        return tuple(path for path in sorted(self._before) if self._is_changed(path))

    def undo(self) -> None:
        """Put every remembered file back."""
        for path in self._before:
            if self._is_changed(path):
                _restore(self._bench.root / path, self._before[path])
        self._before.clear()

    def _is_changed(self, path: str) -> bool:
        file = self._bench.root / path
        before = self._before[path]
        return file.exists() if before is None else not file.is_file() or file.read_bytes() != before[0]


def _restore(file: Path, before: tuple[bytes, int] | None) -> None:
    if before is None:
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(before[0])
    file.chmod(before[1])
