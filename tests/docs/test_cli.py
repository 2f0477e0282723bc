"""docs/cli.md says what the command line takes and prints."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from taskscope.cli import reference
from taskscope.cli.task_file import KEYS, load_task_file
from taskscope.tasks.records import TaskRequest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return (
        PAGE.read_text(encoding="utf-8")
        .split(f"## {title}\n", 1)[1]
        .split("\n## ", 1)[0]
        .split("\n### ", 1)[0]
    )


def test_the_reference_is_up_to_date() -> None:
    """The reference is what `python -m taskscope.cli.reference docs/cli.md` makes of the commands."""
    page = PAGE.read_text(encoding="utf-8")
    assert reference.put_into(page) == page


def test_the_task_file_is_one(tmp_path: Path) -> None:
    """The task file of the page loads, and every key that a task file takes is named beside it."""
    text = section("Task files")
    (tmp_path / "task.yml").write_text(text.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    assert load_task_file(tmp_path / "task.yml")["timeout"] == 600
    assert [key for key in KEYS if f"`{key}`" not in text] == []
    assert set(KEYS) <= {field.name for field in fields(TaskRequest)}
