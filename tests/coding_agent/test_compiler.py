"""The target's own Python is asked what compiles, and ours where it cannot answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coding_agent.compiler import Fault, compile_texts, find_faults
from coding_agent.errors import ToolFailedError
from coding_agent.protocols import Workbench
from coding_agent.records import Command, CommandResult
from tests.coding_agent.skills.workshop import make_bench, write_files

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTHONS = sorted(Path("~/.pyenv/versions").expanduser().glob("3.[0-9]*/bin/python"))
# Of each slug the words of the oldest and of the newest Python that differ.
MESSAGES = [
    ("expected-colon", "expected ':'"),
    ("missing-comma", "invalid syntax. Perhaps you forgot a comma?"),
    ("unterminated-string", "EOL while scanning string literal"),
    ("unterminated-string", "unterminated string literal (detected at line 1)"),
    ("unterminated-string", "unterminated triple-quoted f-string literal (detected at line 9)"),
    ("unmatched-bracket", "unmatched ')'"),
    ("unmatched-bracket", "f-string: unmatched ')'"),
    ("mismatched-bracket", "closing parenthesis ')' does not match opening parenthesis '[' on line 1"),
    ("never-closed", "'(' was never closed"),
    ("expected-indent", "expected an indented block after 'if' statement on line 1"),
    ("unexpected-indent", "unexpected indent"),
    ("unindent", "unindent does not match any outer indentation level"),
    ("unindent", "inconsistent use of tabs and spaces in indentation"),
    ("invalid-character", "invalid character in identifier"),
    ("invalid-character", "invalid non-printable character U+00A0"),
    ("other", "invalid syntax"),
]


@pytest.mark.parametrize("slug, text", MESSAGES)
def test_the_compilers_words_have_a_slug(slug: str, text: str) -> None:
    """Each text of CPython 3.8 to 3.14 that a skill treats is known by its rule."""
    assert Fault(text=text).slug == slug


@pytest.mark.skipif(not PYTHONS, reason="no other Pythons on this machine")
@pytest.mark.parametrize("python", PYTHONS, ids=[path.parts[-3] for path in PYTHONS])
def test_every_python_3_answers(tmp_path: Path, python: Path) -> None:
    """The child runs on old and new versions and finds the fault in the same line."""
    root = write_files(tmp_path / "work", {"a.py": "x = 1\ny = (2]\n", "b.py": "x = 1\n"})

    faults = find_faults(make_bench(root, python=python, has_tests=False), ["a.py", "b.py", "gone.py"])

    assert {path: fault.line for path, fault in faults.items()} == {"a.py": 2}


def test_texts_that_mean_the_same_have_one_digest(tmp_path: Path) -> None:
    """White space and brackets do not count, meaning does."""
    bench = make_bench(write_files(tmp_path / "work", {}), has_tests=False)

    one, same, other, broken = compile_texts(bench, ["x = 1", "x = (1)\n", "x = 2", "x = "])

    assert one.digest == same.digest != other.digest
    assert (one.fault, broken.digest) == (None, "")
    assert broken.fault is not None
    assert broken.fault.line == 1


def test_no_texts_need_no_child(tmp_path: Path) -> None:
    """Nothing asked, nothing run."""
    bench = make_bench(tmp_path / "missing", python=tmp_path / "no-python", has_tests=False)

    assert list(compile_texts(bench, [])) == []


class BrokenShell:
    """Programs that run and answer nonsense; the first `failing` of them with an error."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def run(self, command: Command) -> CommandResult:
        self.asked.append(command.argv[0])
        return CommandResult(
            argv=command.argv,
            exit_code=0,
            stdout=self.answers.pop(0),
            stderr="",
            duration=0,
            pid=1,
            output_bytes=0,
        )


def with_shell(bench: Workbench, shell: BrokenShell) -> Workbench:
    kept = {name: getattr(bench, name) for name in Workbench.__slots__}
    return Workbench(**{**kept, "shell": shell})


def ask(bench: Workbench) -> Sequence[str]:
    return list(find_faults(bench, ["a.py"]))


def test_ours_answers_for_a_python_that_cannot(tmp_path: Path) -> None:
    """A target whose Python prints no answer is judged by ours."""
    bench = make_bench(write_files(tmp_path / "work", {}), python=tmp_path / "old-python", has_tests=False)
    shell = BrokenShell(
        "Segmentation fault", '{"files": {"a.py": {"text": "expected \':\'", "line": 1}}, "texts": []}'
    )

    assert ask(with_shell(bench, shell)) == ["a.py"]
    assert shell.asked[0] == str(tmp_path / "old-python") != shell.asked[1]


def test_when_none_can_answer_that_is_an_error(tmp_path: Path) -> None:
    """The message names the interpreter, what it said and what to do."""
    bench = make_bench(write_files(tmp_path / "work", {}), python=tmp_path / "old-python", has_tests=False)

    with pytest.raises(
        ToolFailedError, match=r"neither .*old-python nor our own Python compiles 1 files"
    ) as caught:
        ask(with_shell(bench, BrokenShell("nonsense", "[]")))
    assert "--python" in caught.value.hint
