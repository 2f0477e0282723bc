"""What a person asks for, by text, file or standard input; and all that can be wrong with it, at once."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from taskscope.cli.task_file import KEYS, Options, build_request, load_task_file
from taskscope.errors import UsageError
from taskscope.tasks.records import TaskRequest
from tests.taskscope.cli.stores import shown, told

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
# what to do
text: |
  make the tests pass
  and nothing else
repository: ../shop
kind: repair
priority: 3
model: openai:gpt-9
budget_usd: 0.50
timeout: 10m
python: /usr/bin/python3
test_command: [python, -m, pytest, "-k", "a b"]
in_place: yes
tools: [pytest, ruff]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the call."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_text(folder: Path) -> None:
    """A text is the task, the folder of the call its repository, and all else is left to the settings."""
    assert build_request("repair foo.yml", Options()) == TaskRequest(text="repair foo.yml", repository=folder)


def test_file(folder: Path) -> None:
    """A task file says all that a task can be told; its relative paths start at its own folder."""
    (folder / "tasks").mkdir()
    (folder / "tasks" / "one.yaml").write_text(FILE)
    request = build_request("tasks/one.yaml", Options())
    assert request == TaskRequest(
        text="make the tests pass\nand nothing else\n",
        repository=folder / "shop",
        kind="repair",
        priority=3,
        model="openai:gpt-9",
        budget_usd=0.5,
        timeout=600.0,
        python=type(folder)("/usr/bin/python3"),
        test_command=("python", "-m", "pytest", "-k", "a b"),
        in_place=True,
        tools=("pytest", "ruff"),
    )


def test_options_go_first(folder: Path) -> None:
    """What the command line says goes before the file."""
    (folder / "one.yml").write_text(FILE)
    options = Options(folder / "mine", "rules", 2.0, "90s", test_command="make 'my check'", in_place=None)
    request = build_request("one.yml", options)
    assert (request.repository, request.model, request.budget_usd) == (folder / "mine", "rules", 2.0)
    assert (request.timeout, request.test_command, request.in_place) == (90.0, ("make", "my check"), True)


def test_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash reads the task's text from standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"  repair it\n\n")))
    assert build_request("-", Options()).text == "repair it"


def test_empty_standard_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing on standard input is no task."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert told(capsys, "run", "-", code=2).startswith("standard input was empty")


@pytest.mark.parametrize(
    "content, line",
    [
        ("text: [", "one.yml:1: not YAML: "),
        ("- a\n- b\n", "one.yml:1: expected `key: value` lines"),
        ("", "one.yml:1: expected `key: value` lines"),
        ("model: rules\n", "one.yml: text is missing: what to do, in words"),
        ("text: a\nmodle: rules\n", "one.yml:2: no such key 'modle', did you mean 'model'?"),
        ("text: a\nxyz: 1\n", "one.yml:2: no such key 'xyz'; known are text, repository, "),
        ("text: a\ntext: b\n", "one.yml:2: text stands twice"),
        ("text: ''\n", "one.yml:1: text '' is not allowed; expected what to do, in words"),
        (
            "text: a\npriority: 10\n",
            "one.yml:2: priority '10' is not allowed; expected a whole number, 0 to 9",
        ),
        ("text: a\nmodel: gpt-9\n", "one.yml:2: model 'gpt-9' is not allowed; expected rules, replay:FILE"),
        (
            "text: a\nbudget_usd: -1\n",
            "one.yml:2: budget_usd '-1' is not allowed; expected a number, 0 or more",
        ),
        ("text: a\ntimeout:\n  - 1\n", "one.yml:3: timeout a sequence is not allowed; expected seconds"),
        (
            'text: a\ntest_command: "it\'s"\n',
            'one.yml:2: test_command "it\'s" is not allowed; expected a command',
        ),
    ],
)
def test_wrong_files(folder: Path, capsys: pytest.CaptureFixture[str], content: str, line: str) -> None:
    """What is wrong in a file is told with file and line, before anything is done: exit code 2."""
    (folder / "one.yml").write_text(content)
    assert told(capsys, "run", "one.yml", code=2).startswith(line)


def test_all_at_once(folder: Path) -> None:
    """Everything wrong in a file is told at once."""
    (folder / "one.yml").write_text("priority: x\nmodel: y\nwhat: z\n")
    with pytest.raises(
        UsageError, match=r"one\.yml:1: .*; one\.yml:2: .*; one\.yml:3: .*; .*text is missing"
    ):
        load_task_file(type(folder)("one.yml"))


@pytest.mark.parametrize(
    "content, line",
    [
        (b"\xff\xfe\x00", "not a task file (UnicodeDecodeError)"),
        (b"x" * 1_000_001, "larger than 1,000,000 bytes"),
    ],
)
def test_no_task_files(folder: Path, content: bytes, line: str) -> None:
    """A file that cannot be a task file is refused by name."""
    (folder / "one.yml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_task_file(type(folder)("one.yml"))
    assert line in str(caught.value)


def test_a_file_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One word that ends like a task file is meant as one: it is missed, not taken for a text."""
    line = told(capsys, "run", "nope.yml", code=2)
    assert (
        line == "cannot read the task file 'nope.yml': No such file or directory; `taskscope new` writes one"
    )


def test_wrong_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong options are told all at once, by their names on the command line."""
    arguments = [
        "run",
        "a",
        "--model",
        "gpt",
        "--budget-usd",
        "-1",
        "--timeout",
        "soon",
        "--test-command",
        "'",
    ]
    line = told(capsys, *arguments, code=2)
    assert [part.split(" ", 1)[0] for part in line.split("; --")] == [
        "--model",
        "budget-usd",
        "timeout",
        "test-command",
    ]


def test_no_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task of blanks has no text."""
    assert told(capsys, "run", "  ", code=2).startswith("the task has no text")


def test_new(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`new` writes a file that says what was said, and holds every other key as a comment."""
    arguments = [
        "new",
        'say: "hi" # no\ncomment',
        "--repo",
        "a b",
        "--timeout",
        "5m",
        "--in-place",
        "-o",
        "x y.yml",
    ]
    assert shown(capsys, *arguments) == "wrote x y.yml\nrun it:  taskscope run 'x y.yml'\n"
    request = build_request("x y.yml", Options())
    expected = TaskRequest(
        text='say: "hi" # no\ncomment', repository=folder / "a b", timeout=300.0, in_place=True
    )
    assert request == expected
    text = (folder / "x y.yml").read_text()
    assert [key for key in KEYS if f"\n# {key}: " not in text] == [
        "text",
        "repository",
        "timeout",
        "in_place",
    ]


def test_new_examples_are_right(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commented keys of a new file are valid as they stand."""
    shown(capsys, "new")
    text = (folder / "task.yml").read_text()
    (folder / "task.yml").write_text("\n".join(line.removeprefix("# ") for line in text.splitlines()[1:]))
    assert set(load_task_file(folder / "task.yml")) == set(KEYS)


def test_new_replaces_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that exists is kept, unless it is to be replaced by force."""
    (folder / "task.yml").write_text("mine")
    assert told(capsys, "new", "a", code=2).startswith("'task.yml' exists already")
    assert (folder / "task.yml").read_text() == "mine"
    shown(capsys, "new", "a", "--force")
    assert build_request("task.yml", Options()).text == "a"


def test_new_where_nothing_can_be_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there cannot be written to: exit code 3, one line."""
    assert "no/task.yml" in told(capsys, "new", "a", "-o", "no/task.yml", code=3)


def test_new_without_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Blanks are no text, and no file is written."""
    assert told(capsys, "new", " ", code=2).startswith("the task has no text")
    assert not list(folder.iterdir())
