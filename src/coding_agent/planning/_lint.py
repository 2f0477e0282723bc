"""When lint is the agent's business: a repair must not reformat a stranger's code.

An undefined name (F821) is always treated, since it breaks the program. Anything else that ruff reports is
treated only where the target configures ruff, or where the task's text asks for it.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from coding_agent.records import Finding

UNDEFINED_NAME = "ruff/F821"
_ASKED = re.compile(r"\b(lint\w*|ruff|imports|isort|unused|clean|cleanup|tidy)\b", re.IGNORECASE)


def is_lint_asked(text: str) -> bool:
    """Whether the task's text speaks of lint: lint, ruff, imports, isort, unused, clean or tidy."""
    return _ASKED.search(text) is not None


def is_ruff_configured(root: Path) -> bool:
    """Whether the folder holds a configuration of ruff."""
    if (root / "ruff.toml").is_file() or (root / ".ruff.toml").is_file():
        return True
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return "ruff" in project.get("tool", {})


def is_in_scope(finding: Finding, *, wants_lint: bool) -> bool:
    """Whether a finding is the task's business."""
    return wants_lint or not finding.rule.startswith("ruff/") or finding.rule == UNDEFINED_NAME
