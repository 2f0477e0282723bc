"""What `taskscope serve` takes in: OTLP over HTTP, answered when it is stored."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from .measurement import LoadError, spread_of
from .results import Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .scene import Scene

TITLE = "Receiver, requests of 500 spans, gzip, one sender that waits for each answer"
_PATIENCE_S = 30.0


def measure(scene: Scene) -> list[Row]:
    """Send to a service in a process of its own, and count what came into its store."""
    home = scene.folder / "home"
    requests = scene.pick(full=40, quick=10, tiny=1)
    with _run_service(scene, home) as url:
        answer = scene.time_load("sender", url, requests, environment=scene.environment(home)).answer
    with contextlib.closing(sqlite3.connect(home / "taskscope.db")) as connection:
        (stored,) = connection.execute(
            "SELECT count(*) FROM span JOIN source ON source = source.id WHERE instr(resource, 'bench') > 0"
        ).fetchone()
    if stored != answer["spans"]:
        msg = f"{stored} of {answer['spans']} spans were stored"
        raise LoadError(msg)
    spans = float(answer["spans_of_request"])
    return [
        Row("one request", spread_of(answer["ms"]), "ms"),
        Row("throughput", spread_of([spans / ms * 1e3 for ms in answer["ms"]]), "spans a second"),
    ]


@contextlib.contextmanager
def _run_service(scene: Scene, home: Path) -> Iterator[str]:
    """Give the address of a service that has started."""
    command = [sys.executable, "-m", "taskscope", "serve"]
    environment = scene.environment(home, METRICS_PORT="0")
    with (scene.folder / "said").open("w+") as said:
        process = subprocess.Popen(
            command, cwd=scene.folder, env=environment, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            yield _wait_for_start(scene.folder / "said")
        finally:
            process.terminate()
            process.wait()


def _wait_for_start(said: Path) -> str:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        words = said.read_text().partition("listening on ")[2].split()
        if words:
            url = words[0].rstrip(",")
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{url}/health/startup").close()  # noqa: S310  our own service
                return url
        time.sleep(0.1)
    msg = f"the service did not start in {_PATIENCE_S} s: {said.read_text()}"
    raise LoadError(msg)
