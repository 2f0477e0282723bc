"""A task is refused before it starts, with everything that is wrong about it."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from pathlib import Path

import pytest

from coding_agent.errors import InvalidTaskError
from coding_agent.validation import validate_task
from tests.coding_agent.repositories import make_repository, make_settings, make_task, write_files


def violations(
    repository: Path, settings: dict[str, object] | None = None, **changes: object
) -> dict[str, str]:
    try:
        validate_task(
            make_task(repository, **changes), make_settings(repository / "home", **(settings or {}))
        )
    except InvalidTaskError as error:
        return error.violations
    return {}


@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_all_violations_are_told_at_once(tmp_path: Path) -> None:
    """A task that is wrong in every way is refused once, each field with its value and what was expected."""
    found = violations(
        tmp_path / "nowhere",
        id="../up",
        text=" ",
        source="mail",
        priority=10,
        budget_usd=-1.0,
        timeout=0.0,
        attempt=0,
        python=tmp_path,
        test_command=("no-such-command",),
        tools=("no-such-tool",),
        model="gpt",
    )
    assert set(found) == {
        *("id", "text", "source", "priority", "budget_usd", "timeout", "attempt", "python"),
        *("repository", "test_command", "tools", "model"),
    }
    assert found["priority"] == "10; expected 0 (first) to 9 (last)"
    assert found["model"] == (
        "'gpt' is unknown; expected 'rules', 'replay:FILE', 'openai:MODEL' or 'anthropic:MODEL'"
    )


def test_a_good_task_is_accepted(tmp_path: Path) -> None:
    """A plain task on a repository, and one with everything set, raise nothing."""
    make_repository(tmp_path)
    write_files(tmp_path, {"answers.jsonl": "", "check.sh": "#!/bin/sh\n"})
    (tmp_path / "check.sh").chmod(0o755)
    assert violations(tmp_path) == {}
    assert not violations(
        tmp_path,
        id="2026-11-21.repair_1",
        priority=0,
        budget_usd=0.0,
        timeout=0.1,
        python=Path(sys.executable),
        test_command=("./check.sh", "--all"),
        tools=("git", "ruff", "pytest", "sh"),
        model=f"replay:{tmp_path / 'answers.jsonl'}",
    )


def test_a_test_command_is_looked_for_where_the_checks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python` and what lies beside the target's Python need not be on PATH; what is nowhere is refused."""
    root = make_repository(tmp_path / "shop")
    write_files(root, {".venv/bin/check": "#!/bin/sh\n", "package/a.py": ""})
    (root / ".venv" / "bin" / "check").chmod(0o755)
    monkeypatch.setenv("PATH", os.defpath)
    for command in (("python", "-m", "unittest"), ("python3",), ("check", "--all")):
        assert "test_command" not in violations(root / "package", test_command=command)
    assert "'no-such-check'" in violations(root, test_command=("no-such-check",))["test_command"]


@pytest.mark.parametrize(
    "task_id",
    [
        "",
        ".hidden",
        "-option",
        "a/b",
        "..",
        "a b",
        "a\n",
        "x" * 101,
        "caf\u00e9",
        "t1.baseline",
        "t1.",
        "a\0",
    ],
)
def test_unsafe_ids_are_refused(tmp_path: Path, task_id: str) -> None:
    """An id that would be no safe name of a folder is refused."""
    assert "no safe name" in violations(tmp_path, id=task_id)["id"]


@pytest.mark.parametrize(
    "text,is_good",
    [
        ("x", True),
        ("x" * 65_536, True),
        ("x" * 65_537, False),
        ("\u00e9" * 32_769, False),
        ("", False),
        ("\n\t", False),
        ("a\udcff", False),
    ],
)
def test_text_is_one_byte_to_64_kib(tmp_path: Path, text: str, is_good: bool) -> None:
    """The text's size counts in bytes of UTF-8."""
    assert ("text" not in violations(tmp_path, text=text)) is is_good


@pytest.mark.parametrize(
    "field,value",
    [
        ("priority", -1),
        ("budget_usd", math.nan),
        ("budget_usd", math.inf),
        ("timeout", -1.0),
        ("timeout", math.nan),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, field: str, value: float) -> None:
    """What is no number, or none that makes sense, is refused."""
    changes: dict[str, object] = {field: value}
    assert set(violations(tmp_path, None, **changes)) == {field}


def test_a_repository_has_to_be_a_folder_with_files(tmp_path: Path) -> None:
    """A relative path, a file, and a bare git repository are refused with a reason."""
    write_files(tmp_path, {"file": ""})
    make_repository(tmp_path / "repo")
    assert "relative" in violations(Path("somewhere"))["repository"]
    assert "not a folder" in violations(tmp_path / "file")["repository"]
    assert "bare" in violations(tmp_path / "repo" / ".git")["repository"]


@pytest.mark.usefixtures("no_programs")
def test_missing_programs_are_named(tmp_path: Path) -> None:
    """Without git, and without what the task asks for, the task is refused with their names."""
    assert violations(tmp_path, tools=("cargo",))["tools"] == "not installed: cargo, git"
    write_files(tmp_path, {"bin/git": "#!/bin/sh\n"})
    (tmp_path / "bin" / "git").chmod(0o755)
    assert violations(tmp_path, tools=("ruff",)) == {}


def test_models_need_what_they_run_on(tmp_path: Path) -> None:
    """A recording has to exist; a live model needs its key or a server of one's own."""
    assert "does not exist" in violations(tmp_path, model="replay:/no/such/file")["model"]
    assert "unknown" in violations(tmp_path, model="openai:")["model"]
    assert "OPENAI_API_KEY is not set" in violations(tmp_path, model="openai:m")["model"]
    assert "ANTHROPIC_API_KEY is not set" in violations(tmp_path, model="anthropic:m")["model"]
    assert violations(tmp_path, {"openai_base_url": "http://localhost:1/v1"}, model="openai:m") == {}
    assert violations(tmp_path, {"anthropic_base_url": "http://localhost:1"}, model="anthropic:m") == {}
    assert violations(tmp_path, {"openai_api_key": "k"}, model="openai:m") == {}
    assert violations(tmp_path, {"anthropic_api_key": "k"}, model="anthropic:m") == {}


def test_a_missing_package_is_told_with_its_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the provider's package is not installed, the extra to install is named."""
    monkeypatch.setattr("coding_agent.validation.find_spec", lambda name: None)
    found = violations(tmp_path, {"anthropic_api_key": "k"}, model="anthropic:m")
    assert found["model"] == "the package 'anthropic' is not installed: pip install 'taskscope[anthropic]'"


def test_live_models_can_be_switched_off(tmp_path: Path) -> None:
    """With `live_models` off each live model is refused, and the key is not even asked for."""
    assert importlib.util.find_spec("openai") is not None
    settings: dict[str, object] = {"live_models": False, "openai_api_key": "k"}
    assert "switched off" in violations(tmp_path, settings, model="openai:m")["model"]
    assert violations(tmp_path, settings, model="rules") == {}


def test_keys_are_never_told(tmp_path: Path) -> None:
    """A refusal holds no secret."""
    settings: dict[str, object] = {"openai_api_key": "sk-secret", "live_models": False}
    assert "sk-secret" not in str(violations(tmp_path, settings, model="openai:m"))
