"""The files of one tree, read for the index: confined to the tree, plain files only, up to a size.

Which files there are is told from outside (git knows what is ignored); what their bytes mean, `chunks.py`
says.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

LARGEST_FILE_BYTES = 1_000_000
"""Bytes above which a file is skipped as `too_large`."""

_SETTLED_NS = 2_000_000_000
"""A file touched less than this long ago may change again within one tick of the file system's clock, unseen
by its stamp (git calls such an entry racy), so its stamp is not trusted the next time."""


class SkippedFileError(Exception):
    """A file is not for the index; `reason` is a word to count by.

    binary, too_large, undecodable, symlink, not_a_file, outside or unreadable.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Tree:
    """The files below one root, for one pass over them."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        self._folders: dict[str, bool] = {}

    def stamp(self, path: str) -> str:
        """Return what tells without reading that a file is as it was; empty where that cannot be told.

        SkippedFileError when it is not a plain file of the right size inside the tree.
        """
        full = self._locate(path)
        try:
            status = os.lstat(full)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise SkippedFileError("unreadable") from error
        if stat.S_ISLNK(status.st_mode):
            raise SkippedFileError("symlink")
        if not stat.S_ISREG(status.st_mode):
            raise SkippedFileError("not_a_file")
        if status.st_size > LARGEST_FILE_BYTES:
            raise SkippedFileError("too_large")
        is_settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS
        return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}" if is_settled else ""

    def read(self, path: str) -> bytes:
        """Return the bytes of a file; SkippedFileError when it is too large or cannot be read."""
        try:
            handle = os.open(self._locate(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(handle, "rb") as stream:  # noqa: PTH123 - a descriptor has no path
                content = stream.read(LARGEST_FILE_BYTES + 1)
        except (OSError, ValueError) as error:
            raise SkippedFileError("unreadable") from error
        if len(content) > LARGEST_FILE_BYTES:
            raise SkippedFileError("too_large")
        return content

    def _locate(self, path: str) -> str:
        """Return the absolute path; each folder is checked once, since resolving costs more than reading."""
        full = os.path.join(self._root, path)  # noqa: PTH118 - a Path for each file costs more than its read
        folder = os.path.dirname(full)  # noqa: PTH120
        if folder not in self._folders:
            self._folders[folder] = Path(os.path.realpath(folder)).is_relative_to(self._root)
        if not self._folders[folder]:
            raise SkippedFileError("outside")
        return full
