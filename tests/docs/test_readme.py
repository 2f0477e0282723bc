"""The documents keep their word: links lead somewhere, commands exist, examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    """Every link to a file of the repository names one that exists."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_commands_of_the_readme_exist() -> None:
    """Every make target and every taskscope command that the README names is one."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\$ make ([a-z]+)", text, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets >= {"demo", "test"}
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
    listed = re.search(r"Then ([^(]*) \(", text.replace("\n", " "))
    assert listed is not None
    commands = {*re.findall(r"`([a-z]+)`", listed[1]), "run", "show"}
    told = subprocess.run(
        [sys.executable, "-m", "taskscope", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert [command for command in commands if not re.search(rf"^  {command} ", told, re.MULTILINE)] == []


def test_example_of_the_readme_runs(tmp_path: Path) -> None:
    """The Python of the README is a program: it runs as it stands and leaves a task."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    environment = {**os.environ, "TASKSCOPE_HOME": str(tmp_path), "AGENT_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-W", "error", "-c", example], env=environment, check=True)
    history = subprocess.run(
        [sys.executable, "-m", "taskscope", "history"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "succeeded" in history.stdout
