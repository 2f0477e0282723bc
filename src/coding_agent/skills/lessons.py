"""A verified repair, written down as a skill: finding pattern, parent skill, parameters, no code."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import yaml

from coding_agent.shared_files import replace_file
from coding_agent.skills.counts import alone_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from coding_agent.records import Fact
    from coding_agent.skills.skill import FolderSkill

PREFIX = "learned-"
_SLUG_LIMIT = 48
"""Characters of the readable part of a name."""


def name_lesson(parent: FolderSkill, parameters: Mapping[str, Fact]) -> str:
    """Return the folder's name: the same lesson has always the same one."""
    words = [parent.name, *(str(parameters[key]) for key in sorted(parameters))]
    plain = re.findall(r"[a-z0-9]+", " ".join(words).lower())
    slug = "-".join(dict.fromkeys(plain))[:_SLUG_LIMIT].strip("-")
    # The digest tells apart what the slug does not: `Path` and `path`.
    exact = json.dumps([parent.name, dict(parameters)], sort_keys=True)
    return f"{PREFIX}{slug}-{hashlib.sha256(exact.encode()).hexdigest()[:6]}"


def write_lesson(folder: Path, parent: FolderSkill, parameters: Mapping[str, Fact], task_id: str) -> None:
    """Write the skill's folder, or count the lesson once more where it exists."""
    with alone_in(folder.parent):
        times = _count_lessons(folder / "metadata.yaml") + 1
        folder.mkdir(exist_ok=True, mode=0o700)
        metadata = {
            "parent": parent.name,
            "parameters": dict(parameters),
            "treats": _generalise(parent, parameters),
            "order": parent.order,
            "needs": list(parent.needs),
            "learned": {"times": times, "last_task": task_id},
        }
        replace_file(folder / "SKILL.md", _describe(folder.name, parent, parameters).encode())
        told = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
        replace_file(folder / "metadata.yaml", told.encode())


def _generalise(parent: FolderSkill, parameters: Mapping[str, Fact]) -> list[dict[str, object]]:
    """Return the parent's patterns, narrowed to findings whose message names the lesson's value as a word."""
    assert parent.lesson_key is not None
    word = re.escape(str(parameters[parent.lesson_key]))
    narrowed = []
    for pattern in parent.patterns:
        entry: dict[str, object] = {"rule": pattern.rule, "message": rf"(?<!\w){word}(?!\w)"}
        narrowed.append(entry | ({"data": dict(pattern.data)} if pattern.data else {}))
    return narrowed


def _describe(name: str, parent: FolderSkill, parameters: Mapping[str, Fact]) -> str:
    told = ", ".join(f"{key} {parameters[key]}" for key in sorted(parameters))
    front = yaml.safe_dump(
        {"name": name, "description": f"{parent.description} Learned: {told}."},
        sort_keys=False,
        allow_unicode=True,
        width=1000,
    )
    return f"---\n{front}---\n\nLearned from a verified task. Runs `{parent.name}` with these parameters.\n"


def _count_lessons(file: Path) -> int:
    try:
        learned = yaml.safe_load(file.read_text(encoding="utf-8"))["learned"]
        return int(learned["times"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return 0
