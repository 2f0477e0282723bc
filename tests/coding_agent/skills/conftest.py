"""What the repairs' tests stand on."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def plain_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the broken repositories' own pytest load none of our plugins: 0.3 s a run instead of 1.7 s."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
