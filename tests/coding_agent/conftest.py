"""What keeps the children of the agent's tests cheap; what they prove stays as it is."""

from __future__ import annotations

import pytest

from coding_agent.tools.pytest import PytestTool

_UNUSED = (
    "debugging",
    "doctest",
    "faulthandler",
    "junitxml",
    "legacypath",
    "pastebin",
    "setuponly",
    "setupplan",
)


@pytest.fixture
def _lean_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pytest of targets print no tracebacks, and leave out what no target here uses.

    That is a fifth of its time. Not for tests of the pytest tool, which is to bear a pytest as it comes.
    """
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(["--tb=no", *(f"-p no:{name}" for name in _UNUSED)]))
    # These targets run no code of ours but the results plugin, which the pytest tool's own tests measure.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)


@pytest.fixture
def _known_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare targets of our own Python the question whether it has pytest, which runs this very test."""
    monkeypatch.setattr(PytestTool, "is_available", True)
