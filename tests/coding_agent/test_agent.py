"""The loop as a whole, on real small repositories with git, ruff and pytest."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from coding_agent.agent import judge
from coding_agent.build import build_agent
from coding_agent.errors import TaskStoppedError
from coding_agent.limits import TaskLimits
from coding_agent.records import (
    AgentSettings,
    Finding,
    Phase,
    StepKind,
    Task,
    TaskOutcome,
    Verification,
    WorkReport,
)
from tests.coding_agent.repositories import make_repository, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from coding_agent.records import Outcome

pytestmark = pytest.mark.usefixtures("_lean_pytest", "_known_pytest")

WATER = "def boils(celsius):\n    if celsius >= 100{colon}\n        return True\n    return False\n"
TESTS = "from water import boils\n\n\ndef test_boils():\n    assert boils(100)\n    assert not boils(99)\n"
BROKEN = WATER.format(colon="")
# Where pytest is not the law, a test command of the repository's own costs a tenth.
OWN_CHECK = ("python", "-c", "from test_water import test_boils; test_boils()")


def run(repository: Path, *, home: Path, limits: TaskLimits | None = None, **fields: object) -> Outcome:
    """Run one task by rules."""
    task = Task(id="t-1", text="make the tests pass", repository=repository, **fields)  # type: ignore[arg-type]
    settings = AgentSettings(home=home, command_timeout=60)
    return build_agent(task, settings, limits=limits).run(task)


def test_a_repaired_repository_is_verified_and_its_patch_applies(tmp_path: Path) -> None:
    """A repair ends as succeeded only with tests that passed, and its patch repairs the user's own tree."""
    repository = make_repository(tmp_path / "r", {"water.py": BROKEN, "test_water.py": TESTS})
    outcome = run(repository, home=tmp_path / "home")
    assert (outcome.outcome, outcome.verification) == (TaskOutcome.SUCCEEDED, Verification.PASSED)
    assert outcome.files_changed == ("water.py",)
    assert (repository / "water.py").read_text() == BROKEN
    subprocess.run(["git", "apply"], input=outcome.patch, text=True, cwd=repository, check=True)
    assert (repository / "water.py").read_text() == WATER.format(colon=":")


def test_what_no_rule_treats_keeps_its_findings_and_changes_nothing(tmp_path: Path) -> None:
    """A wrong meaning is beyond the rules: needs_llm, with the test and the files that speak of it."""
    wrong = WATER.format(colon=":").replace("100", "90")
    repository = make_repository(tmp_path / "r", {"water.py": wrong, "test_water.py": TESTS})
    outcome = run(repository, home=tmp_path / "home")
    assert (outcome.outcome, outcome.verification) == (TaskOutcome.NEEDS_LLM, Verification.FAILED)
    assert (outcome.patch, outcome.files_changed) == ("", ())
    rules = [finding.rule for finding in outcome.findings]
    assert rules[0] == "test/assertion"
    assert rules[-1] == "retrieval/related"


def test_edits_that_nothing_can_verify_need_a_review(tmp_path: Path) -> None:
    """Without tests a repair is handed over as needs_review, never as succeeded."""
    repository = make_repository(tmp_path / "r", {"water.py": BROKEN})
    outcome = run(repository, home=tmp_path / "home")
    assert (outcome.outcome, outcome.verification) == (TaskOutcome.NEEDS_REVIEW, Verification.NOT_VERIFIED)
    assert outcome.files_changed == ("water.py",)


def test_a_suite_that_is_skipped_as_a_whole_verifies_nothing(tmp_path: Path) -> None:
    """Where every test is skipped the edits need a review, and the outcome says why nothing was verified."""
    test = "import pytest\npytestmark = pytest.mark.skip\ndef test_a(): assert 0\n"
    repository = make_repository(tmp_path / "shop", {"shop.py": "def f()\n    return 1\n", "test_a.py": test})
    outcome = run(repository, home=tmp_path / "home")
    assert (outcome.outcome, outcome.verification) == (TaskOutcome.NEEDS_REVIEW, Verification.NOT_VERIFIED)
    assert [finding.rule for finding in outcome.findings] == ["verify/nothing-ran"]


def test_why_nothing_was_verified_is_told_beside_other_findings(tmp_path: Path) -> None:
    """What is left to do does not hide that the tests ran on another copy of the changed file."""
    other = tmp_path / "other"
    write_files(other, {"shop.py": "def f():\n    return 1\n"})
    test = (
        f"import sys\nsys.path.insert(0, {str(other)!r})\nfrom shop import f\ndef test_f(): assert f() == 1\n"
    )
    files = {"shop.py": "def f()\n    return 1\n", "test_shop.py": test, "more.py": "print(no_such_name)\n"}
    outcome = run(make_repository(tmp_path / "shop", files), home=tmp_path / "home")
    assert outcome.verification is Verification.NOT_VERIFIED
    assert [finding.rule for finding in outcome.findings] == ["ruff/F821", "verify/imported-elsewhere"]


def test_a_healthy_repository_succeeds_without_a_patch(tmp_path: Path) -> None:
    """Where the tests pass and nothing is found there is nothing to repair, and that is a success."""
    healthy = {"water.py": WATER.format(colon=":"), "test_water.py": TESTS}
    outcome = run(make_repository(tmp_path / "r", healthy), home=tmp_path / "home", test_command=OWN_CHECK)
    assert (outcome.outcome, outcome.patch) == (TaskOutcome.SUCCEEDED, "")
    assert outcome.findings == ()


def test_an_empty_folder_is_beyond_the_rules(tmp_path: Path) -> None:
    """An empty repository has nothing to repair and nothing that verifies: it says so."""
    (tmp_path / "r").mkdir()
    outcome = run(tmp_path / "r", home=tmp_path / "home")
    assert (outcome.outcome, outcome.verification) == (TaskOutcome.NEEDS_LLM, Verification.NOT_VERIFIED)
    assert [finding.rule for finding in outcome.findings] == ["test/none"]


def test_in_place_the_files_themselves_are_repaired(tmp_path: Path) -> None:
    """With in_place the user's file is written, and there is a patch to take it back by."""
    repository = make_repository(tmp_path / "r", {"water.py": BROKEN, "test_water.py": TESTS})
    outcome = run(repository, home=tmp_path / "home", in_place=True, test_command=OWN_CHECK)
    assert outcome.outcome is TaskOutcome.SUCCEEDED
    assert (repository / "water.py").read_text() == WATER.format(colon=":")
    subprocess.run(["git", "apply", "--reverse"], input=outcome.patch, text=True, cwd=repository, check=True)
    assert (repository / "water.py").read_text() == BROKEN


def test_in_place_a_file_with_uncommitted_changes_is_refused(tmp_path: Path) -> None:
    """A file that the user has not committed is not written, and the task says why."""
    repository = make_repository(tmp_path / "r", {"water.py": BROKEN, "test_water.py": TESTS})
    changed = BROKEN + "# mine\n"
    (repository / "water.py").write_text(changed)
    outcome = run(repository, home=tmp_path / "home", in_place=True)
    assert outcome.outcome is TaskOutcome.NEEDS_LLM
    assert (repository / "water.py").read_text() == changed
    assert any("uncommitted changes" in finding.message for finding in outcome.findings)


def test_a_stopped_task_says_so_and_leaves_no_work_tree(tmp_path: Path) -> None:
    """A task that is stopped ends as stopped with its error's word, and its work tree is removed."""
    repository = make_repository(tmp_path / "r", {"water.py": BROKEN, "test_water.py": TESTS})
    limits = TaskLimits(None)
    limits.stop()
    outcome = run(repository, home=tmp_path / "home", limits=limits)
    assert outcome.outcome is TaskOutcome.STOPPED
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.task_id) == ("cancelled", "t-1")
    assert not list((tmp_path / "home" / "work").glob("*"))


def test_time_that_is_used_up_stops_the_task(tmp_path: Path) -> None:
    """At its time limit a task ends as stopped, error type timeout, with a hint."""
    repository = make_repository(tmp_path / "r", {"water.py": BROKEN})
    times = iter([0.0, *[100.0] * 1000])
    outcome = run(repository, home=tmp_path / "home", limits=TaskLimits(10, clock=lambda: next(times)))
    assert outcome.outcome is TaskOutcome.STOPPED
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.hint) == ("timeout", "give it more with --timeout")


def test_an_unknown_model_is_an_error_with_its_phase(tmp_path: Path) -> None:
    """What fails is reported with type, phase, environment and message, and nothing is raised."""
    repository = make_repository(tmp_path / "r", {"water.py": BROKEN})
    outcome = run(repository, home=tmp_path / "home", model="oracle")
    assert outcome.outcome is TaskOutcome.FAILED
    assert outcome.error is not None
    assert "unknown model 'oracle'" in outcome.error.message
    assert outcome.error.phase is Phase.VALIDATE
    assert "python" in outcome.error.environment


def test_a_preview_plans_and_changes_nothing(tmp_path: Path) -> None:
    """A preview names the step that would come first; neither the tree nor the home's plans are written."""
    repository = make_repository(tmp_path / "r", {"water.py": BROKEN, "test_water.py": TESTS})
    task = Task(id="t-1", text="make the tests pass", repository=repository)
    settings = AgentSettings(home=tmp_path / "home", command_timeout=60)
    plan, findings = build_agent(task, settings).preview(task)
    assert [(step.kind, step.skill) for step in plan.steps] == [(StepKind.SKILL, "missing_colon")]
    assert [finding.rule for finding in findings] == ["syntax/expected-colon"]
    assert (repository / "water.py").read_text() == BROKEN


FOUND = (Finding(rule="test/assertion", message="no"),)
CHANGED = ("a.py",)


@pytest.mark.parametrize(
    "findings, changed, verification, by_rules, expected",
    [
        ((), CHANGED, "passed", True, "succeeded"),
        (FOUND, CHANGED, "passed", True, "succeeded"),
        ((), (), "passed", True, "succeeded"),
        (FOUND, CHANGED, "not_verified", True, "needs_review"),
        (FOUND, CHANGED, "not_verified", False, "needs_review"),
        (FOUND, (), "not_verified", True, "needs_llm"),
        ((), (), "not_verified", True, "needs_llm"),
        (FOUND, (), "failed", True, "needs_llm"),
        (FOUND, CHANGED, "failed", True, "needs_llm"),
        ((), CHANGED, "failed", True, "failed"),
        (FOUND, CHANGED, "failed", False, "failed"),
        ((), (), "not_verified", False, "failed"),
    ],
)
def test_an_outcome_follows_from_edits_findings_and_verification(
    findings: tuple[Finding, ...],
    changed: tuple[str, ...],
    verification: str,
    by_rules: bool,
    expected: str,
) -> None:
    """Only a passed verification succeeds; unverified edits want a review; rules hand on what is left."""
    report = WorkReport(findings=findings, files_changed=changed)
    assert judge(report, Verification(verification), by_rules=by_rules) == TaskOutcome(expected)


def test_a_task_that_ends_after_its_edits_keeps_them_as_a_patch(tmp_path: Path) -> None:
    """Edits survive what ends the task afterwards, here a person who stops it once there is one."""

    class StoppedByEdit(TaskLimits):
        def check(self) -> None:
            file = tmp_path / "home" / "work" / "t-1" / "water.py"
            if file.exists() and ">= 100:" in file.read_text():
                raise TaskStoppedError("stopped")

    repository = make_repository(tmp_path / "r", {"water.py": BROKEN, "test_water.py": TESTS})
    outcome = run(repository, home=tmp_path / "home", limits=StoppedByEdit(None))
    assert (outcome.outcome, outcome.files_changed) == (TaskOutcome.STOPPED, ("water.py",))
    assert "+    if celsius >= 100:" in outcome.patch
