"""Files are read and written inside the work tree only, and keep what is not text about them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from coding_agent.errors import OutsideWorkTreeError, ToolFailedError
from coding_agent.tools import FilesTool, GitTool
from coding_agent.tools.files import compile_glob
from tests.coding_agent.repositories import FakeLimits, make_repository, write_files


def make_files(root: Path, **options: object) -> FilesTool:
    return FilesTool(root, GitTool(root, limits=FakeLimits()), **options)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "path",
    ["../secret", "/etc/passwd", "out/secret", "leaf", "a/../../secret", ".", "", "a\0b", "loop/x", "a/../b"],
)
def test_paths_out_of_the_tree_are_refused(root: Path, path: str) -> None:
    """`..`, absolute paths, links out (also of a parent) and what is no path raise OutsideWorkTreeError."""
    (root.parent / "secret").write_text("secret", encoding="utf-8")
    (root / "a").mkdir()
    (root / "out").symlink_to(root.parent)
    (root / "leaf").symlink_to(root.parent / "secret")
    (root / "loop").symlink_to("loop")
    files = make_files(root)
    with pytest.raises(OutsideWorkTreeError):
        files.read(path)
    with pytest.raises(OutsideWorkTreeError):
        files.write(path, "mine")
    assert (root.parent / "secret").read_text(encoding="utf-8") == "secret"


def test_a_dangling_link_out_is_not_written_through(root: Path) -> None:
    """A link to a file outside that does not exist yet is refused as well."""
    (root / "leaf").symlink_to(root.parent / "new")
    with pytest.raises(OutsideWorkTreeError):
        make_files(root).write("leaf", "x")
    assert not (root.parent / "new").exists()


@pytest.mark.parametrize("path", [".git/config", "sub/.git/hooks/pre-commit", ".GIT/config"])
def test_history_is_not_a_file_to_edit(root: Path, path: str) -> None:
    """What lies in `.git` could run as a hook; it is neither read nor written."""
    with pytest.raises(OutsideWorkTreeError):
        make_files(root).write(path, "x")


def test_a_link_inside_the_tree_is_followed_and_stays_a_link(root: Path) -> None:
    """Writing through a link changes the file that it points to."""
    write_files(root, {"real.txt": "old\n"})
    (root / "link.txt").symlink_to("real.txt")
    make_files(root).write("link.txt", "new\n")
    assert (root / "link.txt").is_symlink()
    assert (root / "real.txt").read_text(encoding="utf-8") == "new\n"


@pytest.mark.parametrize(
    "data",
    [
        b"a\r\nb\r\n",
        b"a\rb\r",
        b"\xef\xbb\xbfa\nb\n",
        b"\xef\xbb\xbf# coding: utf-8\r\na\r\n",
        b"# -*- coding: latin-1 -*-\ns = '\xe9'\n",
        b"#!/usr/bin/python\r\n# vim: set fileencoding=cp1252 :\r\ns = '\x80'\r\n",
        b"mixed\r\nends\n",
        b"no end",
        b"",
        "snow \u2603\n".encode(),
    ],
)
def test_what_was_read_is_written_back_byte_by_byte(root: Path, data: bytes) -> None:
    """Encoding, byte order mark and line ends survive a read and a write."""
    write_files(root, {"m.py": data})
    files = make_files(root)
    files.write("m.py", files.read("m.py"))
    assert (root / "m.py").read_bytes() == data


def test_new_lines_take_the_files_own_line_end(root: Path) -> None:
    """Text is read with LF alone, and lines that are added get the file's style."""
    write_files(root, {"m.py": b"a\r\nb\r\n"})
    files = make_files(root)
    assert files.read("m.py") == "a\nb\n"
    files.write("m.py", "a\nnew\nb\n")
    assert (root / "m.py").read_bytes() == b"a\r\nnew\r\nb\r\n"


def test_a_file_of_mixed_line_ends_is_left_as_it_is(root: Path) -> None:
    """Where there is no one style, line ends are part of the text."""
    write_files(root, {"m.py": b"a\r\nb\n"})
    assert make_files(root).read("m.py") == "a\r\nb\n"


def test_a_new_cookie_decides_the_encoding(root: Path) -> None:
    """Text that brings its own coding cookie is written in that encoding."""
    files = make_files(root)
    files.write("m.py", "# coding: latin-1\ns = '\u00e9'\n")
    assert (root / "m.py").read_bytes() == b"# coding: latin-1\ns = '\xe9'\n"


def test_a_cookie_counts_in_python_files_only(root: Path) -> None:
    """Text about cookies is not Python, and is UTF-8."""
    write_files(root, {"notes.md": "# coding: latin-1\n\u00e9\n"})
    assert make_files(root).read("notes.md") == "# coding: latin-1\n\u00e9\n"


@pytest.mark.parametrize("data", [b"caf\xe9\n", b"# coding: no-such-codec\n"])
def test_what_is_no_text_is_told(root: Path, data: bytes) -> None:
    """A file that cannot be decoded raises ToolFailedError with its name."""
    write_files(root, {"m.py": data})
    with pytest.raises(ToolFailedError, match=r"m\.py"):
        make_files(root).read("m.py")


def test_text_that_the_encoding_lacks_leaves_the_file_alone(root: Path) -> None:
    """A character that the file's encoding cannot write raises ToolFailedError, and nothing is written."""
    data = b"# coding: ascii\nx = 1\n"
    write_files(root, {"m.py": data})
    with pytest.raises(ToolFailedError, match=r"m\.py"):
        make_files(root).write("m.py", "# coding: ascii\nx = '\u2603'\n")
    assert (root / "m.py").read_bytes() == data
    assert list(root.iterdir()) == [root / "m.py"]


def test_the_mode_is_kept(root: Path) -> None:
    """An executable stays one; a new file gets what the user's mask gives."""
    write_files(root, {"run.sh": "#!/bin/sh\n"})
    (root / "run.sh").chmod(0o750)
    files = make_files(root)
    files.write("run.sh", "#!/bin/sh\nexit\n")
    files.write("deep/er/new.txt", "x")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o750
    assert stat.S_IMODE((root / "deep/er/new.txt").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("path", ["missing.txt", "folder", "pipe", "file/below"])
def test_what_is_no_file_cannot_be_read(root: Path, path: str) -> None:
    """A missing file, a folder and a pipe raise ToolFailedError with the path."""
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    write_files(root, {"file": "x"})
    with pytest.raises(ToolFailedError, match=path):
        make_files(root).read(path)


def test_a_failed_write_leaves_nothing_behind(root: Path) -> None:
    """Where a file cannot be replaced, ToolFailedError is raised and no temporary file stays."""
    write_files(root, {"file": "x"})
    with pytest.raises(ToolFailedError):
        make_files(root).write("file/below", "x")
    assert list(root.iterdir()) == [root / "file"]


def test_protected_files_are_not_written(root: Path) -> None:
    """A file with uncommitted changes is refused by name, also by another way to write it."""
    write_files(root, {"mine.py": "x\n", "free.py": "x\n"})
    (root / "link.py").symlink_to("mine.py")
    files = make_files(root, protected={"mine.py"})
    files.write("free.py", "y\n")
    for path in ("mine.py", "./mine.py", "link.py"):
        with pytest.raises(ToolFailedError, match=r"mine\.py"):
            files.write(path, "y\n")
    assert (root / "mine.py").read_text(encoding="utf-8") == "x\n"


def test_ignored_files_are_not_listed(root: Path) -> None:
    """Tracked and untracked files are listed, ignored and deleted ones and links are not."""
    make_repository(root, {"a.py": "", "gone.py": "", ".gitignore": "*.log\nbuild/\n"})
    write_files(root, {"new.py": "", "x.log": "", "build/out.py": ""})
    (root / "gone.py").unlink()
    (root / "link.py").symlink_to("a.py")
    assert make_files(root).paths() == [".gitignore", "a.py", "new.py"]


def test_a_folder_inside_a_repository_lists_its_own_files(root: Path) -> None:
    """Below a repository's top, paths count from the folder."""
    make_repository(root, {"a.py": "", "part/b.py": "", "part/c/d.py": ""})
    assert make_files(root / "part").paths() == ["b.py", "c/d.py"]


def test_without_git_generated_folders_are_left_out(root: Path) -> None:
    """In a plain folder all is listed but version control, byte code and virtual environments."""
    write_files(
        root, {"a.py": "", "env/pyvenv.cfg": "", "env/lib/x.py": "", "__pycache__/a.pyc": "", ".hg/x": ""}
    )
    assert make_files(root).paths() == ["a.py"]


def test_names_that_are_no_utf8_are_files_like_others(root: Path) -> None:
    """A name of any bytes is listed, read and written."""
    make_repository(root)
    (root / os.fsdecode(b"caf\xe9.txt")).write_text("x\n", encoding="utf-8")
    files = make_files(root)
    [name] = files.paths()
    files.write(name, files.read(name) + "y\n")
    assert (root / os.fsdecode(b"caf\xe9.txt")).read_text(encoding="utf-8") == "x\ny\n"


@pytest.mark.parametrize(
    "pattern,matching,other",
    [
        ("**/*", ["a", "b/c", "b/c/d.py"], []),
        ("*.py", ["a.py"], ["b/a.py", "a.pyc"]),
        ("**/*.py", ["a.py", "b/c/a.py"], ["a.txt"]),
        ("src/**/test_?.py", ["src/test_a.py", "src/b/test_c.py"], ["src/test_ab.py", "test_a.py"]),
        ("src/**", ["src/a", "src/b/c"], ["srcs/a"]),
        ("[ab].py", ["a.py"], ["c.py"]),
        ("[!ab].py", ["c.py"], ["a.py"]),
        ("./a+b.py", ["a+b.py"], ["aab.py"]),
    ],
)
def test_globs_match_whole_paths(pattern: str, matching: list[str], other: list[str]) -> None:
    """`*` and `?` stay inside a name, `**` crosses folders, the rest stands for itself."""
    glob = compile_glob(pattern)
    assert [path for path in [*matching, *other] if glob.fullmatch(path)] == matching
