"""Remembers a tree as it was, byte by byte, in a git directory of its own, and tells what changed since.

Attributes and settings of the user are without effect there, so that a patch speaks of the bytes that lie in
the user's folder, CRLF and all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._copying import is_file_or_link

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ._calls import GitCalls

# Stands above every .gitattributes: nothing is converted, and what is text is told by its bytes.
_ATTRIBUTES = "* -text !eol -filter -ident -working-tree-encoding !diff !whitespace\n"
_SETTINGS = (
    *("-c", "core.looseCompression=0"),
    *("-c", "core.fileMode=true"),
    *("-c", "core.autocrlf=false"),
    *("-c", "core.symlinks=true"),
    *("-c", "core.ignoreCase=false"),
)
_DIFF = (
    "diff-index",
    "--cached",
    "--binary",
    "--full-index",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
)


class Baseline:
    """The state of a tree at one moment; `folder` is where it is kept, `tree` what it remembers."""

    def __init__(self, git: GitCalls, folder: Path, tree: Path, names: Iterable[str]) -> None:
        self._git = git
        self._folder = folder
        self._tree = tree
        git.must(tree, "init", "--quiet", "--bare", "--template=", str(folder))
        (folder / "info").mkdir(exist_ok=True)
        (folder / "info" / "attributes").write_text(_ATTRIBUTES, encoding="utf-8")
        self._update("--add", names=names, index="index")
        self._state = self._call("write-tree", index="index").strip()

    def diff(self, names: Sequence[str], *, prefix: str = "") -> str:
        """Return what changed in these files as a diff whose paths start with `prefix`.

        Bytes that are not UTF-8 are surrogates: encode with `surrogateescape` to write it down.
        """
        there = [name for name in names if is_file_or_link(f"{self._tree}/{name}")]
        gone = [name for name in names if name not in set(there)]
        self._call("read-tree", self._state, index="patch")
        self._update("--force-remove", names=gone, index="patch")
        self._update("--add", "--replace", names=there, index="patch")
        output = self._folder / "patch.diff"
        prefixes = (
            f"--src-prefix=a/{prefix}",
            f"--dst-prefix=b/{prefix}",
            "--no-color",
            f"--output={output}",
        )
        self._call(*_DIFF, *prefixes, self._state, index="patch")
        return output.read_bytes().decode("utf-8", "surrogateescape")

    def _update(self, *options: str, names: Iterable[str], index: str) -> None:
        listed = "".join(f"{name}\0" for name in names)
        if listed:
            self._call("update-index", *options, "-z", "--stdin", index=index, stdin=listed)

    def _call(self, *arguments: str, index: str, stdin: str | None = None) -> str:
        environment = {
            "GIT_DIR": str(self._folder),
            "GIT_WORK_TREE": str(self._tree),
            "GIT_INDEX_FILE": str(self._folder / index),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
        }
        return self._git.must(self._tree, *_SETTINGS, *arguments, env=environment, stdin=stdin)
