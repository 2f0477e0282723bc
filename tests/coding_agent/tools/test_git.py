"""Git works in the work tree without running hooks, and a bisection leaves no trace."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coding_agent.errors import TaskStoppedError, ToolFailedError
from coding_agent.tools import GitTool
from tests.coding_agent.repositories import FakeLimits, commit, git, make_repository, photograph, write_files

if TYPE_CHECKING:
    from collections.abc import Sequence

# -S: no hooks of our site packages, which cost more than the probe.
PYTHON = (sys.executable, "-S", "-c")
PROBE = (*PYTHON, "import sys, total; sys.exit(total.total([1, 2]) != 3)")


def make_git(root: Path, area: Path, **options: object) -> GitTool:
    settings: dict[str, object] = {"limits": FakeLimits(), "area": area, "timeout": 60, **options}
    return GitTool(root, **settings)  # type: ignore[arg-type]


_histories: list[tuple[Path, list[str]]] = []


@pytest.fixture
def history(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A repository of eight commits; from the sixth on the total is wrong, in a file of the same length.

    Its commits are made once, on the fresh machine of the first test that asks; each test has its own copy.
    """
    if not _histories:
        _histories.append(make_history(tmp_path_factory.mktemp("history")))
    original, commits = _histories[0]
    shutil.copytree(original, tmp_path / "repo")
    return tmp_path / "repo", commits


def make_history(folder: Path) -> tuple[Path, list[str]]:
    root = make_repository(folder / "repo")
    commits = []
    for number in range(8):
        code = f"def total(prices):\n    return sum(prices) + {int(number >= 5)}\n"
        commits.append(commit(root, {"total.py": code, "count.txt": str(number)}, f"commit {number}"))
    return root, commits


def test_the_first_bad_commit_is_found(history: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Bisection names the commit from which on the probe fails, by its full hash."""
    root, commits = history
    assert make_git(root, tmp_path / "work").bisect(PROBE, good="HEAD~7", bad="HEAD") == commits[5]


def test_a_bisection_leaves_no_trace(history: tuple[Path, list[str]], tmp_path: Path) -> None:
    """The work tree, its history and the area are after a bisection as they were before."""
    root, _ = history
    (root / "total.py").write_text("uncommitted\n", encoding="utf-8")
    before = photograph(root)
    make_git(root, tmp_path / "work").bisect(PROBE, good="HEAD~7", bad="HEAD")
    assert photograph(root) == before
    assert list((tmp_path / "work").iterdir()) == []


def test_a_bisection_that_is_stopped_cleans_up(history: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Also when the task is stopped in the middle, the clone is removed."""

    class StoppedWhileProbing(FakeLimits):
        def check(self) -> None:
            if list((tmp_path / "work").glob("*/tree/total.py")):
                raise TaskStoppedError("stopped")

    root, _ = history
    with pytest.raises(TaskStoppedError):
        make_git(root, tmp_path / "work", limits=StoppedWhileProbing()).bisect(
            PROBE, good="HEAD~7", bad="HEAD"
        )
    assert list((tmp_path / "work").iterdir()) == []


def test_byte_code_does_not_mislead_a_bisection(
    history: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the outer environment allows byte code, a probe runs the code of its own commit."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    root, commits = history
    assert [make_git(root, tmp_path / "work").bisect(PROBE, good="HEAD~7", bad="HEAD") for _ in range(3)] == [
        commits[5]
    ] * 3


@pytest.mark.parametrize(
    "probe",
    [("true",), ("false",), ("sh", "-c", "exit 125"), ("sh", "-c", "exit 130"), ("sh", "-c", "kill -9 $$")],
)
def test_a_probe_that_cannot_tell_the_ends_apart_tells_nothing(
    history: tuple[Path, list[str]], tmp_path: Path, probe: tuple[str, ...]
) -> None:
    """When good and bad end look alike to the probe, or it skips them, there is no answer."""
    root, _ = history
    assert make_git(root, tmp_path / "work").bisect(probe, good="HEAD~7", bad="HEAD") is None


def test_commits_that_cannot_be_tested_are_skipped(history: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Exit code 125 leaves a commit out; where the border lies among such commits there is no answer."""
    root, commits = history
    skip = 'import sys; n = int(open("count.txt").read()); '
    around = (*PYTHON, skip + "sys.exit(125 if n == 3 else n >= 5)")
    hidden = (*PYTHON, skip + "sys.exit(125 if n in (4, 5) else n >= 5)")
    tool = make_git(root, tmp_path / "work")
    assert tool.bisect(around, good="HEAD~7", bad="HEAD") == commits[5]
    assert tool.bisect(hidden, good="HEAD~7", bad="HEAD") is None


def test_a_probe_runs_in_the_roots_counterpart(tmp_path: Path) -> None:
    """For a folder inside a repository the probe's folder is the same one in the clone, `src` importable."""
    top = make_repository(tmp_path / "repo", {"part/src/value.py": "x = 1\n", "part/file": ""})
    bad = commit(top, {"part/src/value.py": "x = 2\n"}, "bad")
    commit(top, {"other": ""}, "later")
    probe = (*PYTHON, "import value, sys; open('file'); sys.exit(value.x != 1)")
    assert make_git(top / "part", tmp_path / "work").bisect(probe, good="HEAD~2", bad="HEAD") == bad


def test_unknown_ends_give_no_answer(history: tuple[Path, list[str]], tmp_path: Path) -> None:
    """A revision that does not exist, is no commit, or looks like an option, is no end."""
    root, _ = history
    tool = make_git(root, tmp_path / "work")
    for name in ("no-such-branch", "HEAD:total.py", "--all"):
        assert tool.bisect(PROBE, good=name, bad="HEAD") is None


def test_hooks_do_not_run(tmp_path: Path) -> None:
    """A commit in the work tree runs no hook, and needs no name of the person's."""
    root = make_repository(tmp_path / "repo", {"a": "1"})
    hook = root / ".git" / "hooks" / "pre-commit"
    write_files(root, {".git/hooks/pre-commit": "#!/bin/sh\ntouch ran\nexit 1\n", "a": "2"})
    hook.chmod(0o755)
    assert make_git(root, tmp_path).run("commit", "--all", "--message", "change").is_ok
    assert not (root / "ran").exists()


def test_looking_does_not_write(tmp_path: Path) -> None:
    """`status` and `diff` leave the index as it is, also where it would be refreshed."""
    root = make_repository(tmp_path / "repo", {"a": "1"})
    (root / "a").touch()
    before = photograph(root)
    tool = make_git(root, tmp_path)
    assert tool.run("status", "--short").stdout == ""
    assert tool.run("diff").stdout == ""
    assert photograph(root) == before


@pytest.mark.parametrize(
    "command", [("apply", "-"), ("reset", "--hard"), ("-c", "a.b=c", "log"), ("add", "."), ()]
)
def test_in_place_what_may_write_is_refused(
    history: tuple[Path, list[str]], tmp_path: Path, command: Sequence[str]
) -> None:
    """In the user's own repository no command runs that may write, and nothing is written."""
    root, _ = history
    before = photograph(root)
    with pytest.raises(ToolFailedError, match="may write"):
        make_git(root, tmp_path / "work", is_in_place=True).run(*command)
    assert photograph(root) == before


def test_in_place_looking_and_bisecting_write_nothing(
    history: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """In the user's own repository one may look and bisect, which leaves it as it was."""
    root, commits = history
    before = photograph(root)
    tool = make_git(root, tmp_path / "work", is_in_place=True)
    assert tool.run("status").is_ok
    assert tool.bisect(PROBE, good="HEAD~3", bad="HEAD~2") == commits[5]
    assert photograph(root) == before


def test_a_failure_is_a_result(tmp_path: Path) -> None:
    """Git's exit code is the caller's to judge; lists of files that cannot be made are an error."""
    tool = make_git(tmp_path, tmp_path.parent)
    assert not tool.is_repository
    assert tool.run("log").exit_code == 128
    assert tool.bisect(("true",), good="HEAD~1", bad="HEAD") is None
    with pytest.raises(ToolFailedError, match="ls-files"):
        tool.paths()


def test_a_repository_above_the_area_is_not_found(tmp_path: Path) -> None:
    """A work tree without git, in a home that lies in some repository, has no history."""
    make_repository(tmp_path, {"a": ""})
    copy = tmp_path / "home" / "work" / "t1"
    copy.mkdir(parents=True)
    assert not make_git(copy, tmp_path / "home" / "work").is_repository


def test_an_empty_repository_has_a_history_to_come(tmp_path: Path) -> None:
    """Before the first commit files are listed, and there is nothing to bisect."""
    root = make_repository(tmp_path / "repo")
    write_files(root, {"a": ""})
    tool = make_git(root, tmp_path)
    assert tool.is_repository
    assert tool.paths() == ["a"]
    assert tool.bisect(("true",), good="HEAD~1", bad="HEAD") is None


def test_names_keep_their_bytes(tmp_path: Path) -> None:
    """Names that are not UTF-8 come in a form that git takes back."""
    root = make_repository(tmp_path / "repo")
    write_files(root, {"caf\udce9": "x"})
    git(root, "add", "--all")
    tool = make_git(root, tmp_path)
    [name] = tool.run("ls-files", "-z").stdout.split("\0")[:-1]
    assert name == "caf\udce9"
    assert tool.run("cat-file", "--batch-check", stdin=f":{name}\n").stdout.endswith("blob 1\n")
