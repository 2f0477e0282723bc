"""docs/pipeline.md: each command runs, in their order, and says what stands there.

Ids and counts differ each time. What the page calls by one word is one thing at all stops, so each is learned
where it is first told and from there on it must be the very same one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from stack.ports import load_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stack.instance import Instance

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pipeline.md").read_text(encoding="utf-8")
PATIENCE = 60.0
"""Seconds until a record must have reached a stop; a command is repeated until it says what it should."""
MARK = "end of this command"
TELL_FIRST: Final = ("echo $TASK $TRACE $SPAN", "taskscope records")
"""These tell for the first time what differs: the ids, and how many spans and logs there are."""
DIFFERS: Final = (r"t-[0-9A-Z]{16}", r"[0-9a-f]{32}", r"[0-9a-f]{16}", r"[2-9]|[1-9]\d+")
"""Ids of a task, a trace and a span, and counts; 0 and 1 are meant as they stand."""


class Step(NamedTuple):
    """A command of the page and what it says there."""

    command: str
    answer: str


def read_steps(page: str) -> list[Step]:
    steps = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            # A line that ends with a backslash goes on.
            command = re.match(r"(?:.*\\\n)*.*\n", part)[0]  # type: ignore[index]
            steps.append(Step(command.rstrip("\n"), part[len(command) :]))
    return steps


def learn(answer: str, said: str, known: Mapping[str, str]) -> dict[str, str]:
    """What the words of the page are called here: those known before, and new ones that were said."""
    names = dict(known)
    for there, here in zip(answer.split(), said.split(), strict=False):
        if any(re.fullmatch(form, there) and re.fullmatch(form, here) for form in DIFFERS):
            names.setdefault(there, here)
    return names


def rename(text: str, names: Mapping[str, str]) -> str:
    """A text of the page in the words of here."""
    return re.sub(r"[\w-]+", lambda word: names.get(word[0], word[0]), text)


def forget(text: str) -> str:
    """A text without what no one can foresee: how long it took, and so the width of columns."""
    text = re.sub(r"\d+(?:\.\d+)? (?:ms|s|min)\b", "T", text)
    return re.sub(r"[ \t]+", " ", text).strip()


class Shell:
    """One shell for all commands, as a reader has it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, command: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\necho {MARK}\n")
        self._process.stdin.flush()
        lines: list[str] = []
        while not (line := self._process.stdout.readline()).endswith(f"{MARK}\n"):
            assert line, f"the shell ended at {command!r}"
            lines.append(line)
        return "".join(lines)

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture
def shell(instance: Instance, tmp_path: Path) -> Iterator[Shell]:
    """A shell in a repository with one test, with nothing set but the home."""
    for program in ("curl", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} to run the page with")
    instance.start("prometheus", "loki", "tempo", "gateway", "agent")
    (tmp_path / "test_all.py").write_text("def test_all():\n    assert 1 + 1 == 2\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = Shell(tmp_path, {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"})
    yield shell
    shell.close()


def test_the_page_is_followed_with_one_span(instance: Instance, shell: Shell) -> None:
    """Each command says what stands there: at every stop the ids and counts of the first, none lost."""
    ports = {
        str(port): str(instance.ports[program][purpose])
        for program, purposes in load_ports().items()
        for purpose, port in purposes.items()
    }
    steps = read_steps(PAGE)
    assert len(steps) > 10
    known: Mapping[str, str] = ports
    for step in steps:
        command = rename(step.command, ports)
        deadline = time.monotonic() + PATIENCE
        while True:
            said = shell.run(command)
            names = learn(step.answer, said, known) if step.command in TELL_FIRST else known
            expected = forget(rename(step.answer, names))
            if forget(said) == expected or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        assert forget(said) == expected, command
        known = names
