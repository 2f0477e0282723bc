"""Whatever is done to whatever tree: the patch applies to the user's tree and gives the same content."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coding_agent.tools import run_process
from coding_agent.workspace import choose_workspace
from tests.coding_agent.repositories import (
    apply_patch,
    commit,
    contents,
    make_repository,
    make_settings,
    make_task,
    write_files,
)

NAMES = st.sampled_from(
    [
        "a.py",
        "b.txt",
        "d/a",
        "d/e/b",
        "x y.py",
        "caf\udce9",
        "quote\"'.txt",
        "tab\t.py",
        "-n",
        "\u2603.md",
        "d.e",
    ]
)
CONTENTS = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from([b"a", b"b", b" ", b"+x", b"-x", b"\xff", b"\xe2\x98\x83"]), max_size=8).flatmap(
        lambda lines: st.sampled_from([b"\n", b"\r\n"]).map(lambda end: end.join(lines))
    ),
)
ENTRIES = st.one_of(
    st.tuples(st.just("file"), CONTENTS, st.booleans()),
    st.tuples(st.just("link"), st.sampled_from([b"a.py", b"nowhere", b"d/a"]), st.just(False)),
)
TREES = st.dictionaries(NAMES, ENTRIES, max_size=7)


def put(folder: Path, tree: dict[str, tuple[str, bytes, bool]]) -> None:
    for name, (kind, data, is_executable) in tree.items():
        path = folder / name
        path.unlink(missing_ok=True)
        if kind == "link":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(data.decode())
        else:
            write_files(folder, {name: data})
            path.chmod(0o755 if is_executable else 0o644)


def remove(folder: Path, names: set[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize("has_git", [True, False])
@settings(max_examples=15, deadline=None)
@given(committed=TREES, uncommitted=TREES, gone=st.sets(NAMES), edited=TREES, deleted=st.sets(NAMES))
def test_the_patch_makes_the_users_tree_the_agents(
    has_git: bool,
    committed: dict[str, tuple[str, bytes, bool]],
    uncommitted: dict[str, tuple[str, bytes, bool]],
    gone: set[str],
    edited: dict[str, tuple[str, bytes, bool]],
    deleted: set[str],
) -> None:
    """Edits, new and deleted files, modes and links on top of uncommitted changes arrive by `git apply`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = make_repository(folder / "repo") if has_git else folder / "repo"
        root.mkdir(exist_ok=True)
        put(root, committed)
        if has_git and committed:
            commit(root, {}, "first")
        put(root, uncommitted)
        remove(root, gone)
        task = make_task(root)
        workspace = choose_workspace(task, make_settings(folder / "home"), run_process)
        with workspace.open(task) as tree:
            before = contents(root)
            assert contents(tree) == before
            put(tree, edited)
            remove(tree, deleted)
            wanted, patch = contents(tree), workspace.patch(sorted({*edited, *deleted}))
        assert contents(root) == before
        if patch:
            apply_patch(root, patch, "--whitespace=nowarn")
        assert contents(root) == wanted
        shutil.rmtree(root)
