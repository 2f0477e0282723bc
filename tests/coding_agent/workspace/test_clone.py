"""A clone holds what the user sees, its patch fits the user's tree, and the user's tree is not touched."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from coding_agent.errors import TaskStoppedError, ToolFailedError
from coding_agent.tools import build_workbench, run_process
from coding_agent.workspace import GitWorkspace, choose_workspace
from coding_agent.workspace._folders import remove_tree
from tests.coding_agent.repositories import (
    FakeLimits,
    apply_patch,
    commit,
    contents,
    git,
    make_repository,
    make_settings,
    make_task,
    photograph,
    write_files,
)

ODD_NAME = os.fsdecode(b"caf\xe9.txt")


def make_busy_repository(folder: Path) -> Path:
    """Make a repository in which about everything has changed since its commit."""
    root = make_repository(
        folder,
        {
            "edited.py": "x = 1\n",
            "both.py": "x = 1\n",
            "staged.py": "x = 1\n",
            "deleted.py": "x = 1\n",
            "moved.py": "moved\n" * 9,
            "run.sh": "#!/bin/sh\n",
            "latin.py": b"# coding: latin-1\ns = '\xe9'\n",
            "crlf.txt": b"a\r\nb\r\n",
            "image.bin": bytes(range(256)),
            ODD_NAME: b"\xff\n",
            "filtered.dat": "plain\n",
            ".gitattributes": "*.txt text\nimage.bin binary\n",
            ".gitignore": "ignored/\n",
        },
    )
    (root / "link").symlink_to("edited.py")
    commit(root, {}, "link")
    write_files(
        root, {"edited.py": "x = 2\n", "both.py": "x = 2\n", "staged.py": "x = 2\n", "added.py": "x\n"}
    )
    git(root, "add", "both.py", "staged.py", "added.py")
    git(root, "mv", "moved.py", "away.py")
    write_files(root, {"both.py": "x = 3\n", "untracked/new.py": "n\n", "ignored/x": "x"})
    (root / "deleted.py").unlink()
    (root / "run.sh").chmod(0o755)
    return root


def expected(root: Path) -> dict[str, tuple[str, bytes | str, bool]]:
    return {name: value for name, value in contents(root).items() if not name.startswith("ignored/")}


def test_the_agent_sees_what_the_user_sees(tmp_path: Path) -> None:
    """Edits (staged or not), deletions, renames, modes, links and untracked files are there."""
    root = make_busy_repository(tmp_path / "repo")
    workspace = choose_workspace(make_task(root), make_settings(tmp_path / "home"), run_process)
    assert isinstance(workspace, GitWorkspace)
    with workspace.open(make_task(root)) as tree:
        assert tree == (tmp_path / "home" / "work" / "t1").resolve()
        assert contents(tree) == expected(root)
        for look in (("status", "--porcelain", "--branch"), ("log", "--format=%H"), ("diff", "--cached")):
            assert git(tree, *look) == git(root, *look)


def work_on(root: Path, home: Path, *commands: tuple[str, ...]) -> None:
    """Do with a repository about all that a task does, and these git commands in its work tree."""
    task, settings, limits = make_task(root), make_settings(home), FakeLimits()
    workspace = choose_workspace(task, settings, run_process, limits)
    with workspace.open(task) as tree:
        bench = build_workbench(tree, task, settings, limits)
        bench.files.write("edited.py", "x = 9\n")
        assert bench.tests.run().is_passed
        bench.linter.check()
        bench.git.bisect(("true",), good="HEAD~1", bad="HEAD")
        for command in commands:
            assert bench.git.run(*command).is_ok
        assert not bench.git.run("push").is_ok
        assert "x = 9" in workspace.patch(["edited.py"])


def test_the_users_tree_is_never_written(tmp_path: Path) -> None:
    """All that a task does leaves the user's tree and `.git` as they were, down to the index's time."""
    root = make_busy_repository(tmp_path / "repo")
    write_files(root, {"test_a.py": "def test_a(): pass\n"})
    (root / "edited.py").touch()  # the index now says less than the truth; a refresh would write it
    write_files(root, {".git/hooks/post-checkout": "#!/bin/sh\ntouch ran\n"})
    (root / ".git/hooks/post-checkout").chmod(0o755)
    before = photograph(root)
    work_on(root, tmp_path / "home", ("status",), ("diff", "HEAD"), ("checkout", "HEAD", "--", "deleted.py"))
    assert photograph(root) == before


def test_commits_of_the_agent_stay_in_its_clone(tmp_path: Path) -> None:
    """Git renews the time of a shared object that a commit needs; nothing else of the user's changes."""

    def without_times_of_objects() -> dict[str, object]:
        seen = photograph(root)
        return {name: (v[0], v[2:]) if "/.git/objects/" in name else v for name, v in seen.items()}

    root = make_busy_repository(tmp_path / "repo")
    write_files(root, {"test_a.py": "def test_a(): pass\n"})
    before = without_times_of_objects()
    work_on(root, tmp_path / "home", ("add", "--all"), ("commit", "--message", "mine"), ("branch", "mine"))
    assert without_times_of_objects() == before


def test_the_patch_applies_to_the_users_tree_as_it_is(tmp_path: Path) -> None:
    """Edits on top of uncommitted changes, of any bytes, modes, links and names, arrive by `git apply`."""
    root = make_busy_repository(tmp_path / "repo")
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    with workspace.open(task) as tree:
        write_files(
            tree,
            {
                "both.py": "x = 4\n",
                "latin.py": b"# coding: latin-1\ns = '\xe8'\n",
                "crlf.txt": b"a\r\nnew\r\nb\r\n",
                "image.bin": bytes(reversed(range(256))),
                ODD_NAME: b"\xfe\n",
                "brand/new.py": "n\n",
                "empty": "",
            },
        )
        (tree / "away.py").unlink()
        (tree / "untracked/new.py").unlink()
        (tree / "run.sh").chmod(0o644)
        (tree / "link").unlink()
        (tree / "link").symlink_to("both.py")
        wanted = contents(tree)
        patch = workspace.patch(sorted({*wanted, "away.py", "untracked/new.py"}))
    apply_patch(root, patch)
    assert expected(root) == wanted


def test_only_the_files_named_are_in_the_patch(tmp_path: Path) -> None:
    """What a test run left behind is no part of the patch, and no change is an empty patch."""
    root = make_repository(tmp_path / "repo", {"a.py": "1\n", "b.py": "1\n"})
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    with workspace.open(task) as tree:
        write_files(tree, {"a.py": "2\n", "b.py": "2\n", "made.txt": "by a test\n"})
        patch = workspace.patch(["a.py"])
        assert patch.count("diff --git") == 1
        assert "a/a.py" in patch
        assert workspace.patch([]) == ""
        assert workspace.patch(["never-there.py"]) == ""
        write_files(tree, {"a.py": "1\n"})
        assert workspace.patch(["a.py"]) == ""


def test_a_file_may_become_a_folder_and_a_folder_a_file(tmp_path: Path) -> None:
    """A patch that turns one into the other applies."""
    root = make_repository(tmp_path / "repo", {"one": "1\n", "two/file": "2\n"})
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    with workspace.open(task) as tree:
        (tree / "one").unlink()
        (tree / "two/file").unlink()
        (tree / "two").rmdir()
        write_files(tree, {"one/file": "1\n", "two": "2\n"})
        wanted, patch = contents(tree), workspace.patch(["one", "one/file", "two", "two/file"])
    apply_patch(root, patch)
    assert contents(root) == wanted


def test_settings_of_the_user_do_not_bend_the_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefixes, colors, external diffs, filters and line end settings have no say in a patch."""
    config = tmp_path / "config"
    lines = "[diff]\nnoprefix = true\nexternal = false\nmnemonicPrefix = true\n[color]\nui = always\n"
    filters = '[core]\nautocrlf = true\n[filter "up"]\nclean = tr a-z A-Z\n[diff "odd"]\ntextconv = wc\n'
    config.write_text(lines + filters, encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    root = make_repository(
        tmp_path / "repo",
        {"a.up": "abc\n", "b.txt": b"1\r\n2\r\n", ".gitattributes": "*.up filter=up diff=odd\n"},
    )
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    with workspace.open(task) as tree:
        assert (tree / "a.up").read_bytes() == b"abc\n"
        write_files(tree, {"b.txt": b"1\r\n3\r\n"})
        wanted, patch = contents(tree), workspace.patch(["b.txt"])
    assert patch.startswith("diff --git a/b.txt b/b.txt\n")
    apply_patch(root, patch)
    assert contents(root) == wanted


def test_an_empty_repository_is_worked_on_too(tmp_path: Path) -> None:
    """Before the first commit there are only untracked files, and the patch applies."""
    root = make_repository(tmp_path / "repo")
    write_files(root, {"a.py": "1\n"})
    before = photograph(root)
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    with workspace.open(task) as tree:
        assert contents(tree) == contents(root)
        assert git(tree, "status", "--porcelain", "--branch") == "## No commits yet on main\n?? a.py\n"
        write_files(tree, {"a.py": "2\n"})
        patch = workspace.patch(["a.py"])
    assert photograph(root) == before
    apply_patch(root, patch)
    assert (root / "a.py").read_text(encoding="utf-8") == "2\n"


def test_a_repository_without_any_file_can_be_opened(tmp_path: Path) -> None:
    """Nothing at all is a work tree too, and a first file is a patch."""
    root = make_repository(tmp_path / "repo")
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    with workspace.open(task) as tree:
        write_files(tree, {"a.py": "1\n"})
        patch = workspace.patch(["a.py"])
    apply_patch(root, patch)
    assert contents(root) == {"a.py": ("file", b"1\n", False)}


def test_a_folder_inside_a_repository_is_the_root(tmp_path: Path) -> None:
    """Below a repository's top paths count from the folder; the patch applies there and at the top."""
    top = make_repository(tmp_path / "repo", {"part/a.py": "1\n", "other.py": "1\n"})
    task = make_task(top / "part")
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    with workspace.open(task) as tree:
        assert sorted(contents(tree)) == ["a.py"]
        assert (tree.parent / "other.py").exists()
        write_files(tree, {"a.py": "2\n"})
        patch = workspace.patch(["a.py"])
    apply_patch(top, patch)
    apply_patch(top / "part", patch, "--reverse")
    apply_patch(top / "part", patch)
    assert (top / "part/a.py").read_text(encoding="utf-8") == "2\n"


def test_head_may_be_detached(tmp_path: Path) -> None:
    """A detached HEAD stays detached at its commit."""
    root = make_repository(tmp_path / "repo", {"a": "1"})
    first = git(root, "rev-parse", "HEAD")
    commit(root, {"a": "2"}, "second")
    git(root, "checkout", "--quiet", "--detach", "HEAD~1")
    task = make_task(root)
    with choose_workspace(task, make_settings(tmp_path / "home"), run_process).open(task) as tree:
        assert git(tree, "rev-parse", "HEAD") == first
        assert git(tree, "branch", "--show-current") == ""


def test_a_linked_worktree_is_cloned_at_its_own_branch(tmp_path: Path) -> None:
    """Where the user works in a `git worktree`, that one's branch and files count."""
    main = make_repository(tmp_path / "repo", {"a": "1"})
    git(main, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    commit(tmp_path / "side", {"a": "2"}, "on the side")
    task = make_task(tmp_path / "side")
    with choose_workspace(task, make_settings(tmp_path / "home"), run_process).open(task) as tree:
        assert git(tree, "branch", "--show-current") == "side\n"
        assert (tree / "a").read_text(encoding="utf-8") == "2"
        assert git(tree, "status", "--porcelain") == ""


def test_submodules_come_with_their_files(tmp_path: Path) -> None:
    """A submodule's files are there, and an edit of one of them is in the patch."""
    inner = make_repository(tmp_path / "inner", {"lib.py": "1\n"})
    root = make_repository(tmp_path / "repo", {"a.py": "1\n"})
    git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "sub")
    commit(root, {}, "submodule")
    before = photograph(root)
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    with workspace.open(task) as tree:
        write_files(tree, {"sub/lib.py": "2\n"})
        patch = workspace.patch(["sub/lib.py"])
    assert photograph(root) == before
    apply_patch(root, patch)
    assert (root / "sub/lib.py").read_text(encoding="utf-8") == "2\n"


def test_a_home_inside_the_repository_is_not_copied_into_itself(tmp_path: Path) -> None:
    """The agent's own folder is no part of what it works on."""
    root = make_repository(tmp_path / "repo", {"a": "1"})
    write_files(root, {"home/memory/x": "x"})
    task = make_task(root)
    with choose_workspace(task, make_settings(root / "home"), run_process).open(task) as tree:
        assert sorted(contents(tree)) == ["a"]


def test_ignore_rules_of_the_clone_are_the_users(tmp_path: Path) -> None:
    """What the user excludes in `.git/info/exclude` is ignored in the work tree as well."""
    root = make_repository(tmp_path / "repo", {"a": "1"})
    write_files(root, {".git/info/exclude": "*.tmp\n"})
    task = make_task(root)
    with choose_workspace(task, make_settings(tmp_path / "home"), run_process).open(task) as tree:
        write_files(tree, {"x.tmp": ""})
        assert git(tree, "status", "--porcelain") == ""


def test_a_work_tree_goes_when_it_is_left(tmp_path: Path) -> None:
    """On leaving, also by Ctrl-C, nothing stays below the home."""
    root = make_repository(tmp_path / "repo", {"a": "1"})
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    with pytest.raises(KeyboardInterrupt), workspace.open(task):
        raise KeyboardInterrupt
    assert list((tmp_path / "home" / "work").iterdir()) == []


def test_a_read_only_folder_is_no_obstacle_to_its_owner() -> None:
    """Where permissions count (root is above them), folders that a test shut are removed too."""
    nobody = 65534
    top = Path(tempfile.mkdtemp())
    top.chmod(0o777)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(nobody)
        write_files(top, {"tree/shut/deep/file": "", "tree/blind/file": ""})
        for name, mode in (("shut/deep", 0o500), ("shut", 0o500), ("blind", 0o000)):
            (top / "tree" / name).chmod(mode)
        remove_tree(top / "tree")
    finally:
        os.seteuid(user)
    assert list(top.iterdir()) == []
    top.rmdir()


def test_a_kept_work_tree_stays_and_the_next_gets_another_name(tmp_path: Path) -> None:
    """With `keep_work_tree` the tree stays, and a second attempt of the task does not touch it."""
    root = make_repository(tmp_path / "repo", {"a": "1"})
    task, settings = make_task(root), make_settings(tmp_path / "home", keep_work_tree=True)
    names = []
    for text in ("first", "second"):
        with choose_workspace(task, settings, run_process).open(task) as tree:
            write_files(tree, {"a": text})
            names.append(tree.name)
    assert names == ["t1", "t1.2"]
    assert sorted(path.name for path in (tmp_path / "home" / "work").iterdir()) == names
    assert (tmp_path / "home" / "work" / "t1" / "a").read_text(encoding="utf-8") == "first"


def test_a_stopped_task_still_hands_over_its_patch(tmp_path: Path) -> None:
    """The limits stop the making of a work tree, not the patch of what was done."""
    root = make_repository(tmp_path / "repo", {"a": "1"})
    task, limits = make_task(root), FakeLimits()
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process, limits)
    with workspace.open(task) as tree:
        write_files(tree, {"a": "2"})
        limits.error = TaskStoppedError("stopped")
        assert "+2" in workspace.patch(["a"])
        with pytest.raises(TaskStoppedError), workspace.open(task):
            pass
    assert list((tmp_path / "home" / "work").iterdir()) == []


def test_a_repository_that_git_refuses_is_told(tmp_path: Path) -> None:
    """Where git cannot read what looks like a repository, ToolFailedError quotes it; no copy is made."""
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / ".git").write_text("gitdir: /nowhere/at/all\n", encoding="utf-8")
    with pytest.raises(ToolFailedError, match="/nowhere/at/all"):
        choose_workspace(make_task(tmp_path / "repo"), make_settings(tmp_path / "home"), run_process)
