"""docs/metrics.md says which metrics there are."""

from __future__ import annotations

import importlib
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_the_page_is_what_the_declarations_say() -> None:
    """The page is what `python -m taskscope.semconv` prints."""
    module = importlib.import_module("taskscope.semconv.__main__")
    assert PAGE.read_text(encoding="utf-8") == module.render()
