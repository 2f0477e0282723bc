"""What every test stands on: a fresh machine, whatever the person's own settings are."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.taskscope.service.services import Service

OWN_SETTINGS = ("OTEL_", "TASKSCOPE_", "AGENT_", "LOG_", "METRICS_", "OPENAI_", "ANTHROPIC_", "GIT_")

# Timing decides no test, and a failure is the same one in every run.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stack", action="store_true", help="the proofs on the real backends: make test-stack")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the proofs on real backends to `make test-stack`: they need programs that are built first."""
    is_stack = collection_path == config.rootpath / "tests" / "stack"
    return True if is_stack and not config.getoption("--stack") else None


def pytest_collection_finish() -> None:
    """Keep what all tests share out of the garbage collector's way: it would walk it some hundred times."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """Let children end by SIGINT; a shell that starts the tests behind itself has it ignored, by them too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _plain_children() -> None:
    """Keep the plugins of our development from the pytest of targets: a person's Python has none of them.

    They cost each child 1.4 s. For the whole session, since fixtures of modules start services.
    """
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"


@pytest.fixture(autouse=True)
def fresh_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hide the settings, keys, git configuration and home of the person; gives the new, empty home."""
    for name in os.environ:
        if name.startswith(OWN_SETTINGS):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One `taskscope serve` for all tests that ask it and add to its record, and neither end nor count it.

    Its start costs as much as a hundred such tests. Its checks run at the start alone: none comes in
    between.
    """
    from tests.taskscope.service.services import running_service

    folder = tmp_path_factory.mktemp("service")
    (folder / "work").mkdir()
    with running_service(folder / "home", folder / "work", HEALTHCHECK_INTERVAL="3600") as running:
        yield running
