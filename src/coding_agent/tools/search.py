"""Finds text in the work tree by regular expression, without a program of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coding_agent.errors import ToolFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coding_agent.protocols import Files


class SearchTool:
    """Searches the text files that git does not ignore."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def find(self, pattern: str, *, glob: str = "**/*", limit: int = 200) -> Sequence[tuple[str, int, str]]:
        """Return (path, line number, line) for each line that the regular expression matches.

        At most `limit` of them, in the order of paths. Files that are not text in their encoding are passed
        over. Raises ToolFailedError for an expression that does not compile.
        """
        try:
            matches = re.compile(pattern).search
        except re.error as error:
            message = f"not a regular expression: {pattern!r} ({error})"
            raise ToolFailedError(message) from error
        found: list[tuple[str, int, str]] = []
        for path in self._files.paths(glob):
            for number, line in self._lines(path):
                if len(found) >= limit:
                    return found
                if matches(line):
                    found.append((path, number, line))
        return found

    def _lines(self, path: str) -> Iterator[tuple[int, str]]:
        try:
            text = self._files.read(path)
        except ToolFailedError:
            return
        if "\0" not in text:
            yield from enumerate(text.splitlines(), start=1)
