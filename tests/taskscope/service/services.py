"""A real service in a process of its own, on a free port, and what a client needs to ask it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tests.conftest import OWN_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_S = 120
"""How long anything is waited for; no law depends on it."""

BROKEN = {
    "water.py": "def boils(celsius)\n    return celsius >= 100\n",
    "test_water.py": "from water import boils\n\n\ndef test_boils():\n    assert boils(100)\n",
}
# No rule repairs it, which the compiler says at once: the quickest task.
HOPELESS = {"water.py": "def boils(:\n    pass\n"}
# Ends when the agent is gone, whichever way, so that no test leaves a process behind.
HANGING = {
    "test_slow.py": (
        "import os\nimport time\n\n\ndef test_slow():\n    parent = os.getppid()\n"
        "    while 1 != os.getppid() == parent:\n        time.sleep(0.05)\n"
    ),
}


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a command: the person's own settings hidden, a home of its own.

    What tests hand in is of fixed times, and is not to leave for its age.
    """
    known = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
    own = {"HOME": str(home.parent), "AGENT_HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}
    return {**known, **own, "TASKSCOPE_RETENTION_DAYS": "3650", **variables}


@dataclass
class Service:
    """A running service."""

    process: subprocess.Popen[str]
    url: str
    home: Path
    client: httpx.Client
    """Without the token; making one takes as long as a hundred requests."""

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask as the holder of the token."""
        headers = {**self.headers, **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def start_task(self, repository: Path, **more: Any) -> dict[str, Any]:
        body = {"text": "make the tests pass", "repository": str(repository), **more}
        answer = self.ask("POST", "/tasks", json=body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def wait_for_end(self, task_id: str) -> dict[str, Any]:
        """The task once it has ended."""
        task: dict[str, Any] = wait_until(
            lambda: self.ask("GET", f"/tasks/{task_id}").json(), lambda task: task["outcome"] is not None
        )
        return task

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def wait_until(look: Callable[[], Any], is_there: Callable[[Any], bool]) -> Any:
    """Look again and again until it is there; AssertionError with what was seen last."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_there(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen


@contextmanager
def running_service(home: Path, folder: Path, *command: str, **variables: str) -> Iterator[Service]:
    """Run `taskscope serve` (or another command) in a folder until the block ends, then end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "taskscope", *(command or ("serve",))],
        cwd=folder,
        env=environment(home, METRICS_PORT="0", **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    line = process.stderr.readline()
    assert "listening on http://" in line, line + process.stderr.read()
    for stream in (process.stderr, *(() if command else (process.stdout,))):
        threading.Thread(target=stream.read, daemon=True).start()
    url = line.split()[3].rstrip(",").replace("//0.0.0.0:", "//127.0.0.1:")
    try:
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
            wait_until(lambda: client.get("/health/startup").status_code, lambda code: code == 200)
            yield Service(process, url, home, client)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        process.stdout.close()
        process.stderr.close()
