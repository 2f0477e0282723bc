"""Reads and writes the files of the work tree, and nothing outside of it.

Text comes with LF as its only line end where the file has one style throughout, and goes back in the
file's own style, encoding, byte order mark and mode. What git ignores is not listed.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.errors import OutsideWorkTreeError, ToolFailedError
from coding_agent.generated import is_generated
from coding_agent.shared_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from .git import GitTool

_NEW_FILE_MODE = 0o666
_PYTHON_SUFFIXES = frozenset({".py", ".pyi", ".pyw"})
_LINE_END = re.compile(r"\r\n|\r|\n")


class FilesTool:
    """The files of one work tree.

    `protected` names files that must not be written: in place, those whose uncommitted changes would be lost.
    Paths of files whose names are not UTF-8 hold surrogates, as `os.fsdecode` makes them.
    """

    def __init__(self, root: Path, git: GitTool, *, protected: Collection[str] = ()) -> None:
        self._root = root
        self._git = git
        self._protected = frozenset(protected)

    def read(self, path: str) -> str:
        """Return the text of a file, decoded as its coding cookie says (UTF-8 without one).

        Raises ToolFailedError for a file that is missing, a folder, or not text in its encoding, and
        OutsideWorkTreeError for a path that leads out of the work tree.
        """
        data = _read_bytes(self.resolve(path), path)
        style = _find_style(path, data)
        return style.decode(path, data)

    def write(self, path: str, text: str) -> None:
        """Replace or make a file in one step, keeping its encoding, line ends and mode.

        A coding cookie that the new text brings along decides its encoding. Raises as `read` does.
        """
        target = self.resolve(path)
        self.refuse_protected(path)
        old = _read_bytes(target, path) if target.exists() else None
        style = _find_style(path, old) if old is not None else _Style()
        data = style.encode(path, text)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, data, mode=_NEW_FILE_MODE)
        except OSError as error:
            message = f"cannot write {path!r}: {error.strerror}"
            raise ToolFailedError(message) from error

    def paths(self, pattern: str = "**/*") -> Sequence[str]:
        """Return the regular files that git does not ignore and that match the glob, sorted.

        `**` stands for any number of folders. Symbolic links are left out: what they point to inside the
        tree is listed itself.
        """
        matches = compile_glob(pattern).fullmatch
        names = self._git.paths() if self._git.is_repository else _walk(self._root)
        return sorted({name for name in names if matches(name) and self._is_regular(name)})

    def resolve(self, path: str) -> Path:
        """Return the real place of a path; raise OutsideWorkTreeError when it is not inside the work tree."""
        root = self._root.resolve()
        try:
            target = (root / path).resolve()
        except (
            ValueError,
            OSError,
            RuntimeError,
        ) as error:  # a null byte, a name too long, a circle of links
            message = f"no path inside the work tree: {path!r} ({error})"
            raise OutsideWorkTreeError(message) from error
        is_inside = not Path(path).is_absolute() and target != root and target.is_relative_to(root)
        if not is_inside or ".." in Path(path).parts or _touches_history(target.relative_to(root)):
            message = f"path outside of the work tree: {path!r}"
            raise OutsideWorkTreeError(message, hint="Give a path relative to the work tree's root.")
        return target

    def refuse_protected(self, *paths: str) -> None:
        """Raise ToolFailedError that names the files among these that hold uncommitted changes."""
        root = self._root.resolve()
        names = {self.resolve(path).relative_to(root).as_posix() for path in paths}
        if held := sorted(names & self._protected):
            message = f"in place, but with uncommitted changes: {', '.join(held)}"
            raise ToolFailedError(message, hint="Commit these files, or run without --in-place.")

    def _is_regular(self, name: str) -> bool:
        try:
            return stat.S_ISREG(os.lstat(f"{self._root}/{name}").st_mode)  # of each file: a Path costs more
        except OSError:  # deleted, but still in the index
            return False


@dataclass(frozen=True, slots=True)
class _Style:
    """How a file writes its text down."""

    encoding: str = "utf-8"
    has_mark: bool = False
    line_end: str = "\n"
    is_mixed: bool = False

    def decode(self, path: str, data: bytes) -> str:
        try:
            text = data.removeprefix(codecs.BOM_UTF8 if self.has_mark else b"").decode(self.encoding)
        except (UnicodeDecodeError, LookupError) as error:
            message = f"cannot read {path!r} as text: {error}"
            raise ToolFailedError(message) from error
        return text if self.is_mixed else _LINE_END.sub("\n", text)

    def encode(self, path: str, text: str) -> bytes:
        if not self.is_mixed:
            text = _LINE_END.sub(lambda _: self.line_end, text)
        encoding = _find_cookie(path, text.encode("utf-8", "surrogateescape")) or self.encoding
        try:
            data = text.removeprefix("\ufeff").encode(encoding)
        except (UnicodeEncodeError, LookupError) as error:
            message = f"cannot write {path!r}: {error}"
            raise ToolFailedError(message) from error
        return (codecs.BOM_UTF8 if self.has_mark else b"") + data


def _find_style(path: str, data: bytes) -> _Style:
    has_mark = data.startswith(codecs.BOM_UTF8)
    encoding = "utf-8" if has_mark else _find_cookie(path, data) or "utf-8"
    ends = {end.decode("ascii") for end in re.findall(rb"\r\n|\r|\n", data)}
    return _Style(encoding, has_mark, ends.pop() if len(ends) == 1 else "\n", len(ends) > 1)


def _find_cookie(path: str, data: bytes) -> str | None:
    """Return the encoding that the first two lines declare (PEP 263), for Python files only."""
    if Path(path).suffix not in _PYTHON_SUFFIXES:
        return None
    head = b"".join(_LINE_END.sub("\n", data[:4096].decode("latin-1")).encode("latin-1").splitlines(True)[:2])  # noqa: FBT003
    for line in head.splitlines():
        if found := tokenize.cookie_re.match(line.decode("latin-1")):
            return found.group(1)
        if not tokenize.blank_re.match(line):
            return None
    return None


def _read_bytes(target: Path, path: str) -> bytes:
    try:
        if not stat.S_ISREG(target.stat().st_mode):  # a pipe would block for ever
            message = f"cannot read {path!r}: it is not a regular file"
            raise ToolFailedError(message)
        return target.read_bytes()
    except OSError as error:
        message = f"cannot read {path!r}: {error.strerror}"
        raise ToolFailedError(message) from error


def _touches_history(path: Path) -> bool:
    """Whether a path lies in `.git`, where a written file could run as a hook."""
    return any(part.lower() == ".git" for part in path.parts)


def _walk(root: Path) -> Iterator[str]:
    """Give the files below a folder without history, without what tools generate there."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = [name for name in folders if not is_generated(here / name)]
        for name in files:
            yield (here / name).relative_to(root).as_posix()


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a glob over whole POSIX paths, `**` crossing folders."""
    parts = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", pattern.removeprefix("./"))
    return re.compile("".join(parts.get(piece) or _literal(piece) for piece in pieces), re.DOTALL)


def _literal(piece: str) -> str:
    if piece.startswith("[") and piece.endswith("]"):
        inner = piece[1:-1].replace("\\", r"\\")
        return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
    return re.escape(piece)
