"""`run`, `plan` and `watch` on small real repositories.

As whole processes where their output, their end or a signal is the law; else in this one, which has all
imported already.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from taskscope.cli import main
from taskscope.cli.run import tell_result
from taskscope.cli.terminal import UNICODE, Paint, Screen
from taskscope.store.history import open_history
from taskscope.tasks.records import Cost, RunResult
from tests.taskscope.cli.stores import run_taskscope
from tests.taskscope.otel_globals import fresh_otel
from tests.taskscope.service.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BROKEN = "def double(number)\n    return 2 * number\n"
TEST = "from pack import double\n\n\ndef test_double():\n    assert double(2) == 4\n"
WISH = "from pack import triple\n\n\ndef test_triple():\n    assert triple(2) == 6\n"
SLOW = "import time\n\n\ndef test_slow():\n    time.sleep(600)\n"
PATIENCE = 60.0
"""Seconds after which something that had to come is missed."""


def make_repository(folder: Path, **files: str) -> Path:
    """A repository with one commit; keys are file names without `.py`."""
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


class Done(NamedTuple):
    """How a command ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command in this process, with fresh providers; what its children print counts too."""

    def call(*arguments: str) -> Done:
        with fresh_otel():
            return Done(main(arguments), *capfd.readouterr())

    return call


def run_git(folder: Path, *arguments: str) -> str:
    """What git says in a folder."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def broken(home: Path) -> Path:
    """A repository that lacks a colon, in a folder whose name a shell has to quote."""
    return make_repository(home.parent / "my repo", pack=BROKEN, test_pack=TEST)


@pytest.fixture
def hopeless(home: Path) -> Path:
    """A repository that no rule can repair, which the compiler says at once: the quickest task."""
    return make_repository(home.parent / "hopeless", pack="def f(:\n    pass\n")


def test_run_ends_with_the_line_that_applies_the_patch(home: Path, broken: Path) -> None:
    """The summary is on standard output, the live lines on standard error; the last line repairs the tree."""
    done = run_taskscope("run", "make the tests pass", "--repo", str(broken), home=home)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "succeeded, the repository's own checks pass" in lines[1]
    assert lines[-2] == "apply it with:"
    assert run_git(broken, "status", "--porcelain") == ""
    live = done.stderr.splitlines()
    assert live[0] == "… invoke_workflow repair"
    assert live[-1].startswith("✓ invoke_workflow repair  ")
    assert "      … execute_tool skill missing_colon" in live
    subprocess.run(lines[-1], shell=True, check=True)  # noqa: S602 - that a shell takes it is the law
    assert (broken / "pack.py").read_text().startswith("def double(number):\n")


def test_run_json(home: Path, broken: Path, call: Callable[..., Done]) -> None:
    """`run --json` prints one object and nothing else; its shape is a promise."""
    done = call("run", "make the tests pass", "--repo", str(broken), "--json")
    result = json.loads(done.stdout)
    patch = home / "tasks" / result["task_id"] / "patch.diff"
    expected: dict[str, Any] = {
        "task_id": result["task_id"],
        "trace_id": result["trace_id"],
        "outcome": "succeeded",
        "verification": "passed",
        "patch": str(patch),
        "findings": [],
        "error": None,
        "cost": {"micro_usd": None, "status": "no_llm_calls", "unpriced_calls": 0},
        "duration_s": result["duration_s"],
    }
    assert result == expected
    assert list(result) == list(expected)
    assert patch.is_file()
    assert len(bytes.fromhex(result["trace_id"])) == 16
    (row,) = json.loads(call("history", "--json").stdout)
    assert (row["task_id"], row["trace_id"], row["outcome"]) == (
        result["task_id"],
        result["trace_id"],
        "succeeded",
    )


def test_run_beyond_the_rules(home: Path, call: Callable[..., Done]) -> None:
    """What no rule can do ends as needs_llm with its findings, exit code 1, and says that nothing changed."""
    shop = make_repository(home.parent / "shop", pack="", test_pack=WISH)
    done = call("run", "add triple", "--repo", str(shop))
    assert done.returncode == 1
    assert "needs a language model: beyond the rules" in done.stdout
    assert "cannot import name 'triple'" in done.stdout
    assert done.stdout.splitlines()[-1] == "nothing was changed, so there is no patch"


def test_run_in_place(broken: Path, call: Callable[..., Done]) -> None:
    """In place the repository itself is edited; there is no patch to apply."""
    done = call("run", "make the tests pass", "--repo", str(broken), "--in-place")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"edited in place in {broken}"
    assert run_git(broken, "status", "--porcelain") == " M pack.py\n"


def test_run_from_file_and_standard_input(home: Path, hopeless: Path, call: Callable[..., Done]) -> None:
    """A task file and standard input reach the agent like a text."""
    (home.parent / "task.yml").write_text("text: from the file\nrepository: hopeless\n")
    assert call("run", "task.yml").returncode == 1
    done = run_taskscope("run", "-", home=home, cwd=hopeless, input="from standard input\n")
    assert done.returncode == 1
    rows = json.loads(call("history", "--json").stdout)
    assert [row["text"] for row in rows] == ["from standard input", "from the file"]
    assert {row["repository"] for row in rows} == {str(hopeless)}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--repo", "nowhere"], "nowhere"),
        (["--repo", "file.txt"], "file.txt"),
        (["--model", "openai:gpt-9"], "OPENAI_API_KEY"),
        (["--model", "replay:nothing.jsonl"], "nothing.jsonl"),
        (["--python", "no-python"], "no-python"),
    ],
)
def test_refused_tasks(
    home: Path, broken: Path, arguments: list[str], words: str, call: Callable[..., Done]
) -> None:
    """A task that cannot be done is refused in one line before it starts: exit code 2, nothing recorded."""
    (home.parent / "file.txt").write_text("no repository")
    for command in ("run", "plan"):
        done = call(command, "repair it", "--repo", str(broken), *arguments)
        check_refusal(done.returncode, done.stdout, done.stderr)
        assert words in done.stderr
    for store in home.glob("taskscope.db"):
        with closing(open_history(store)) as history:
            assert history.tasks() == []


def check_refusal(code: int, out: str, err: str) -> None:
    """One line on standard error and exit code 2."""
    assert (code, out) == (2, "")
    assert err.startswith("taskscope: task refused: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_process_that_refuses_says_no_more(home: Path, command: str) -> None:
    """The same line and code from a whole process: nothing at its end adds to them."""
    done = run_taskscope(command, "repair it", "--repo", "nowhere", home=home)
    check_refusal(done.returncode, done.stdout, done.stderr)


def test_plan_changes_nothing(broken: Path, call: Callable[..., Done]) -> None:
    """`plan` tells findings and steps; neither the repository nor the list of tasks changes."""
    done = call("plan", "make the tests pass", "--repo", str(broken))
    assert done.returncode == 0, done.stderr
    assert "pack.py:1" in done.stdout
    assert "(skill missing_colon)" in done.stdout
    assert done.stdout.splitlines()[-1] == "nothing was changed"
    assert run_git(broken, "status", "--porcelain") == ""
    plan = json.loads(call("plan", "make the tests pass", "--repo", str(broken), "--json").stdout)
    assert set(plan) == {"findings", "steps", "untreated"}
    assert plan["steps"][0]["skill"] == "missing_colon"
    assert plan["steps"][0]["finding"] == plan["findings"][0]


def test_plan_beyond_the_rules(hopeless: Path, call: Callable[..., Done]) -> None:
    """A plan that leaves findings untreated says so and exits with 1."""
    done = call("plan", "repair it", "--repo", str(hopeless))
    assert done.returncode == 1, done.stdout
    assert "beyond the rules" in done.stdout


def test_plan_of_a_sound_repository(home: Path, call: Callable[..., Done]) -> None:
    """Where nothing is wrong, a plan says so."""
    shop = make_repository(home.parent / "shop", pack="", test_pack="def test_one():\n    assert True\n")
    done = call("plan", "repair it", "--repo", str(shop))
    found = "nothing found: it compiles, the linter and the tests are content\n"
    assert (done.returncode, done.stdout) == (0, found)


def test_an_unusable_store_stops_no_task(home: Path, hopeless: Path, call: Callable[..., Done]) -> None:
    """With a store that cannot be written the task is done all the same; reading commands exit with 3."""
    home.mkdir()
    (home / "taskscope.db").mkdir()
    done = run_taskscope("run", "repair it", "--repo", str(hopeless), "--json", home=home)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["outcome"] == "needs_llm"
    assert "Traceback" not in done.stderr
    assert call("history").returncode == 3


def test_nothing_is_recorded_when_disabled(
    home: Path, hopeless: Path, call: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TASKSCOPE_DISABLED the agent works and no store is made."""
    monkeypatch.setenv("TASKSCOPE_DISABLED", "true")
    done = call("run", "repair it", "--repo", str(hopeless))
    assert done.returncode == 1, done.stderr
    assert "needs a language model" in done.stdout
    assert "invoke_workflow" not in done.stderr
    assert not (home / "taskscope.db").exists()


def result(**changes: Any) -> RunResult:
    """A task that ended well and changed seven files."""
    fields: dict[str, Any] = {
        "task_id": "t-1",
        "trace_id": "0" * 32,
        "outcome": "needs_review",
        "verification": "not_verified",
        "patch": None,
        "apply_to": Path("/src/shop"),
        "findings": (),
        "error": None,
        "cost": Cost(),
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        "duration_s": 1.5,
    }
    return RunResult(**{**fields, **changes})


@pytest.mark.parametrize(
    "cost, words",
    [
        (Cost(), "1.50 s, no LLM calls, so no cost"),
        (Cost(calls=2, micro_usd=30_000), "1.50 s, 2 LLM calls for 0.03 USD"),
        (Cost(calls=1, unpriced_calls=1), "1.50 s, 1 LLM call, 1 of unknown cost"),
    ],
)
def test_result_tells_cost(cost: Cost, words: str) -> None:
    """The summary tells what the task cost, and unknown where it is."""
    screen = Screen(io.StringIO(), UNICODE, Paint(), is_terminal=False)
    assert f"took      {words}" in list(tell_result(result(cost=cost), screen))


def test_result_names_a_few_files() -> None:
    """Of many changed files the first five are named, and how many there are more."""
    screen = Screen(io.StringIO(), UNICODE, Paint(), is_terminal=False)
    files = tuple(f"{letter}.py" for letter in "abcdefg")
    lines = list(tell_result(result(files_changed=files), screen))
    assert lines[-2:] == ["changed   a.py, b.py, c.py, d.py, e.py and 2 more", "edited in place in /src/shop"]


class SlowRun:
    """A `taskscope run` of this test in the middle of tests that never end."""

    def __init__(self, home: Path, call: Callable[..., Done]) -> None:
        self.home = home
        self.call = call
        shop = make_repository(home.parent / "slow", pack="", test_slow=SLOW)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "taskscope", "run", "repair it", "--repo", str(shop), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.task_id = ""

    def wait(self) -> None:
        """Wait until pytest runs."""
        shown = wait_until(
            lambda: self.call("show", "--json"),
            lambda done: self.process.poll() is not None or is_testing(done),
        )
        if self.process.poll() is not None:
            pytest.fail(f"the tests did not begin; {self.process.poll()=}")
        self.task_id = json.loads(shown.stdout)["attributes"]["taskscope.task.id"]

    def children(self) -> list[int]:
        """The ids of the processes that it started, those of theirs too."""
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        rows = [tuple(map(int, line.split())) for line in table.stdout.splitlines()]
        found, wanted = [], [self.process.pid]
        while wanted:
            parent = wanted.pop()
            below = [pid for pid, its_parent in rows if its_parent == parent]
            found += below
            wanted += below
        return found

    def close(self) -> None:
        """Leave nothing behind of what this test started, whatever became of it."""
        left = self.children() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.kill()
        for pid in left:
            kill_quietly(pid)
        self.process.communicate()


def kill_quietly(pid: int) -> None:
    """Kill a process that we know as ours and that may be gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_testing(shown: Done) -> bool:
    """Whether a command of pytest is open in the tree that `show --json` printed."""
    return shown.returncode == 0 and is_open(json.loads(shown.stdout), below=False)


def is_open(tree: dict[str, Any], *, below: bool) -> bool:
    """Whether something is open below a span of pytest."""
    if below and tree["ended_at"] is None:
        return True
    inside = below or tree["name"] == "execute_tool pytest"
    return any(is_open(child, below=inside) for child in tree["children"])


@pytest.fixture
def slow(home: Path, call: Callable[..., Done]) -> Iterator[SlowRun]:
    run = SlowRun(home, call)
    try:
        run.wait()
        yield run
    finally:
        run.close()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_person_stops_a_task(slow: SlowRun, number: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM stop the task: outcome stopped, its children gone, its work tree removed."""
    children = slow.children()
    slow.process.send_signal(number)
    out, _ = slow.process.communicate(timeout=PATIENCE)
    assert slow.process.returncode == code
    result = json.loads(out)
    assert (result["outcome"], result["error"]["type"]) == ("stopped", "cancelled")
    assert children
    assert not any(is_alive(pid) for pid in children)
    assert list((slow.home / "work").iterdir()) == []
    assert json.loads(slow.call("history", "--json").stdout)[0]["outcome"] == "stopped"


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


def test_watch_ends_with_the_task(slow: SlowRun) -> None:
    """`watch` follows a task of another process in plain lines and ends by its outcome: killed is 1."""
    command = [sys.executable, "-m", "taskscope", "watch", slow.task_id]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        begun = [line.rstrip("\n") for line in iter(watch.stdout.readline, "    … step test\n")]
        assert begun[:2] == ["… invoke_workflow repair", "  … invoke_agent coder"]
        children = slow.children()
        slow.process.kill()
        for pid in children:
            kill_quietly(pid)
        rest = watch.stdout.read().splitlines()
        assert watch.stderr.read() == ""
    assert watch.returncode == 1
    assert rest[-1] == f"{slow.task_id}  interrupted: its process died"
    assert any(line.startswith("⚡ invoke_workflow repair  interrupted after ") for line in rest)
    assert not any("\x1b" in line for line in [*begun, *rest])
