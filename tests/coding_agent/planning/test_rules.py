"""Plans by rules: which skill for which finding, in which order, and when to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.planning.rules import RulePlanner
from coding_agent.records import Finding, StepKind
from coding_agent.skills.library import FolderLibrary
from tests.coding_agent.skills.workshop import make_task, write_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from coding_agent.records import Plan

COLON = Finding(rule="syntax/expected-colon", message="expected ':'", path="a.py", line=1)
OTHER_COLON = Finding(rule="syntax/expected-colon", message="expected ':'", path="b.py", line=1)
STRANGE = Finding(rule="syntax/other", message="invalid syntax", path="c.py", line=1)
NAME = Finding(rule="ruff/F821", message="Undefined name `json`", path="b.py", line=2, data={"name": "json"})
SAME_NAME = Finding(
    rule="ruff/F821", message="Undefined name `json`", path="b.py", line=9, data={"name": "json"}
)
UNUSED = Finding(rule="ruff/F401", message="`os` unused", path="b.py", line=1, data={"fix": "safe"})
WRONG = Finding(
    rule="test/assertion", message="t.py::t: AssertionError", data={"test": "t.py::t", "text": ""}
)
ALSO_WRONG = Finding(
    rule="test/assertion", message="t.py::u: AssertionError", data={"test": "t.py::u", "text": ""}
)
GONE_TEXT = "module 'm' has no attribute 'f'"
GONE = Finding(
    rule="test/attribute-error", message=f"t.py::v: {GONE_TEXT}", data={"test": "t.py::v", "text": GONE_TEXT}
)
GONE_TOO = Finding(
    rule="test/attribute-error", message=f"t.py::w: {GONE_TEXT}", data={"test": "t.py::w", "text": GONE_TEXT}
)
HANG = Finding(rule="test/hang", message="no end", data={"test": "t.py::x", "text": "no end"})


class Planning:
    """One task's planner, asked again and again."""

    def __init__(self, folder: Path, text: str) -> None:
        write_files(folder / "work", {"a.py": ""})
        self.task = make_task(folder / "work", text)
        self.planner = RulePlanner(FolderLibrary(folder / "skills"))
        self.revision = -1

    def plan(self, *findings: Finding) -> Plan:
        self.revision += 1
        return self.planner.plan(self.task, findings, revision=self.revision)

    def steps(self, *findings: Finding) -> Sequence[tuple[str | None, Finding | None]]:
        return [(step.skill, step.finding) for step in self.plan(*findings).steps]


@pytest.fixture
def planning(tmp_path: Path) -> Planning:
    return Planning(tmp_path, "the tests fail")


def test_while_files_do_not_compile_nothing_else_is_planned(planning: Planning) -> None:
    """Syntax first, one step a file; what no skill treats is untreated."""
    plan = planning.plan(NAME, WRONG, COLON, STRANGE, OTHER_COLON)

    assert [(step.kind, step.skill, step.finding) for step in plan.steps] == [
        (StepKind.SKILL, "missing_colon", COLON),
        (StepKind.SKILL, "missing_colon", OTHER_COLON),
    ]
    assert plan.untreated == (STRANGE,)
    assert (plan.source, plan.revision, plan.reason) == ("rules", 0, "initial")
    assert plan.steps[0].title == "missing_colon: expected ':' (a.py:1)"


def test_cheap_repairs_go_before_the_search_through_history(planning: Planning) -> None:
    """Undefined names, then renames; history only when nothing else is left, one test at a time."""
    assert planning.steps(WRONG, GONE, NAME) == [("missing_import", NAME), ("renamed_function", GONE)]
    assert planning.steps(WRONG, ALSO_WRONG) == [("bisect_regression", WRONG)]


def test_findings_that_one_run_cures_are_one_step(planning: Planning) -> None:
    """A name in a file, and a message that several tests share, are planned once."""
    assert planning.steps(NAME, SAME_NAME, GONE, GONE_TOO) == [
        ("missing_import", NAME),
        ("renamed_function", GONE),
    ]


def test_a_name_error_is_an_echo_of_the_undefined_name(planning: Planning) -> None:
    """What the linter and a test report of the same file is one cause: the linter's finding is treated."""
    echo = Finding(
        rule="test/name-error", message="name 'json' is not defined", path="b.py", data={"test": "t"}
    )

    assert planning.steps(echo, NAME) == [("missing_import", NAME)]
    assert planning.steps(echo) == [("missing_import", echo)]


def test_what_failed_is_handed_to_the_next_skill_and_then_left(planning: Planning) -> None:
    """The same skill does not get the same finding twice; the plan gets empty, and the task ends."""
    assert planning.steps(GONE) == [("renamed_function", GONE)]
    assert planning.steps(GONE) == [("bisect_regression", GONE)]
    last = planning.plan(GONE)
    assert (last.steps, last.untreated, last.reason) == ((), (), "replan")


def test_fewer_findings_are_a_new_chance(planning: Planning) -> None:
    """Another repair may have cleared the way; so the number of tries is bounded all the same."""
    assert planning.steps(COLON, OTHER_COLON) == [("missing_colon", COLON), ("missing_colon", OTHER_COLON)]
    assert planning.steps(COLON) == [("missing_colon", COLON)]
    assert planning.steps(COLON) == []


def test_a_strangers_lint_is_not_touched(planning: Planning) -> None:
    """Neither a step nor untreated: it is not what the task is about."""
    plan = planning.plan(UNUSED)

    assert (plan.steps, plan.untreated) == ((), ())


@pytest.mark.parametrize("text", ["fix the lint", "run Ruff", "unused imports", "Clean up"])
def test_lint_is_treated_when_the_task_asks_for_it(tmp_path: Path, text: str) -> None:
    """A word in the text is enough."""
    assert Planning(tmp_path, text).steps(UNUSED) == [("unused_import", UNUSED)]


@pytest.mark.parametrize(
    "text, is_wanted", [("[tool.ruff]\n", True), ("[tool.black]\n", False), ("[", False)]
)
def test_lint_is_treated_where_the_target_configures_ruff(tmp_path: Path, text: str, is_wanted: bool) -> None:
    """pyproject.toml with a table for ruff counts; another one, or one that cannot be read, does not."""
    planning = Planning(tmp_path, "the tests fail")
    write_files(planning.task.repository, {"pyproject.toml": text})

    assert bool(planning.steps(UNUSED)) is is_wanted


def test_a_hang_is_beyond_the_rules(planning: Planning) -> None:
    """Nothing treats a suite that does not end."""
    assert planning.plan(HANG).untreated == (HANG,)
