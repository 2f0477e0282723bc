"""A host of the fleet: a home of its own, the commands that run in it, and its service."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.coding_agent.repositories import make_repository

T = TypeVar("T")

PATIENCE: Final = 120.0
"""Seconds within which anything that a host does must have happened."""
_OWN: Final = ("OTEL_", "TASKSCOPE_", "AGENT_", "OPENAI_", "ANTHROPIC_", "LOG_", "METRICS_", "GIT_")
_AGENTS: Final = Path(__file__).parent / "agents"
_BIN: Final = Path(sys.executable).parent


class FleetError(Exception):
    """A run did not do what it was made for: what was seen instead."""


class Host:
    """One home with what runs in it; `close` ends all that still does."""

    def __init__(self, name: str, folder: Path, otlp_url: str, **settings: str) -> None:
        self.name = name
        self.folder = folder
        self.service = settings.get("OTEL_SERVICE_NAME", "taskscope")
        folder.mkdir(parents=True)
        self._programs = folder / "programs"
        self._programs.mkdir()
        self.give_git_back()
        self._running: list[subprocess.Popen[bytes]] = []
        self._tasks: list[subprocess.Popen[bytes]] = []
        """Those of them that are tasks."""
        self._repositories = 0
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(_OWN)}
        home = str(folder / "home")
        self.environment |= {
            "AGENT_HOME": home,
            "TASKSCOPE_HOME": home,  # a host program reads no other
            "GIT_CONFIG_GLOBAL": os.devnull,  # a person's hooks and keys stay out of it
            "GIT_CONFIG_NOSYSTEM": "1",
            "METRICS_PORT": "0",
            "OPENAI_API_KEY": "sk-made-up-for-the-fleet",
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the plugins of our own development
            "PYTHONDONTWRITEBYTECODE": "1",
            **settings,
        }

    def make_repository(self, files: Mapping[str, str]) -> Path:
        """Make a repository with one commit."""
        self._repositories += 1
        return make_repository(self.folder / "repositories" / str(self._repositories), files)

    def run_task(self, repository: Path, *options: str, **more: str) -> dict[str, Any]:
        """What `taskscope run --json` says of a task that it did."""
        answer = self.ask("run", "make the tests pass", "--repo", str(repository), *options, **more)
        if not isinstance(answer, dict):
            msg = f"the task on {repository} ended without a word"
            raise FleetError(msg)
        return answer

    def start_task(self, repository: Path, *options: str, **more: str) -> subprocess.Popen[bytes]:
        """Begin a task and leave it to itself."""
        command = ["run", "make the tests pass", "--repo", str(repository), *options]
        self._tasks.append(self._start(command, f"{repository.name}.log", more))
        return self._tasks[-1]

    def run_agent(self, script: str, *arguments: str, **more: str) -> dict[str, Any]:
        """What one of the agents of `agents/` says when it ends: a line of JSON."""
        command = [sys.executable, str(_AGENTS / script), *arguments]
        done = subprocess.run(
            command, **self._place(more), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        if done.returncode:
            msg = f"{script} {arguments} ended with {done.returncode}: {done.stderr}"
            raise FleetError(msg)
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said

    def ask(self, *command: str, **more: str) -> Any:
        """What a command answers as JSON, None when it has no answer."""
        done = subprocess.run(
            [str(_BIN / "taskscope"), *command, "--json"],
            **self._place(more),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return json.loads(done.stdout) if done.stdout else None

    def find_tasks(self) -> list[dict[str, Any]]:
        """The ledger, newest first."""
        return list(self.ask("history", "--limit", "1000") or ())

    def find_task(self, repository: Path) -> dict[str, Any] | None:
        """The task on a repository."""
        found = (task for task in self.find_tasks() if task["repository"] == str(repository))
        return next(found, None)

    def is_testing(self, repository: Path) -> bool:
        """Whether a task is at its repository's own tests: a command below the tool is open."""
        task = self.find_task(repository)
        tree = task and self.ask("show", task["task_id"])
        tools = [span for span in _walk(tree) if span["name"] == "execute_tool pytest"] if tree else []
        return any(below["ended_at"] is None for tool in tools for below in tool["children"])

    def serve(self) -> str:
        """Start the host's service; the URL that it says."""
        path = f"{self._programs}{os.pathsep}{_BIN}"
        self._start(["serve"], "serve.log", {"PATH": path})
        log = self.folder / "serve.log"
        return wait_for(lambda: _find_url(log), f"the service of host {self.name} says where it listens")

    def take_git_away(self) -> None:
        """Let the service's checks not find git any more; tasks still do."""
        (self._programs / "git").unlink(missing_ok=True)

    def give_git_back(self) -> None:
        """Let the service's checks find git again."""
        self.take_git_away()
        (self._programs / "git").symlink_to(shutil.which("git") or "git")

    def ship(self) -> None:
        """Send what is left."""
        self.call("ship", "--once")

    def call(self, *command: str) -> None:
        """Run a command to its end, whatever it says."""
        subprocess.run(
            [str(_BIN / "taskscope"), *command],
            **self._place({}),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    def kill(self) -> None:
        """Let everything die at once, as when the machine loses its power."""
        for process in self._running:
            kill(process)
        self._running.clear()

    def end_tasks(self) -> None:
        """End the tasks that are still open, as a person would."""
        self._end(self._tasks)

    def close(self) -> None:
        """End what still runs, as a person would, and wait for it."""
        self._end(self._running)

    def _end(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        for process in reversed(processes):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                kill(process)
        self._running = [process for process in self._running if process.poll() is None]
        self._tasks = [process for process in self._tasks if process.poll() is None]

    def _start(self, command: Sequence[str], log: str, more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("wb") as output:
            process = subprocess.Popen(
                [str(_BIN / "taskscope"), *command],
                **self._place(more),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._running.append(process)
        return process

    def _place(self, more: Mapping[str, str]) -> dict[str, Any]:
        return {"cwd": self.folder, "env": {**self.environment, **more}}


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """The first answer that says yes; FleetError when there is none in time."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            msg = f"after {PATIENCE:.0f} s it is still not so: {what}"
            raise FleetError(msg)
        time.sleep(0.2)
    return found


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, and after it what it started, which would outlive it."""
    below = _find_below(process.pid)
    process.kill()
    process.wait()
    for pid in below:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _find_below(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    rows = [tuple(map(int, line.split())) for line in table.stdout.splitlines()]
    found, wanted = [], [pid]
    while wanted:
        parent = wanted.pop()
        below = [one for one, its_parent in rows if its_parent == parent]
        found += below
        wanted += below
    return found


def fetch(url: str) -> None:
    """Ask a service for a page, whatever it answers."""
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - ours
        answer.read()


def _walk(span: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield span
    for child in span["children"]:
        yield from _walk(child)


def _find_url(log: Path) -> str:
    words = (word.rstrip(".,") for word in log.read_text().split() if word.startswith("http://127.0.0.1:"))
    return next(words, "")
