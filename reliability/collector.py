"""A collector as a process of its own: it can be killed, come back on its port, and be told how to fail.

It is the sink of the tests with a ledger, so that what it took is known however it ended.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from benchmarks.scene import ROOT
from tests.taskscope.otlp_sink import read_ledger, records_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ANY_PORT = 0
TRACES = "/v1/traces"


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came to a collector in all its lives."""

    spans: dict[bytes, Any] = field(default_factory=dict)
    """By id, each as it came last."""
    times: Counter[bytes] = field(default_factory=Counter)
    """How often each span came."""

    @property
    def twice(self) -> int:
        """How many arrivals there were beyond the first of each span."""
        return self.times.total() - len(self.times)


class Collector:
    """The sink; running from `with` to its end, but for the times between `kill` and `start`."""

    def __init__(self, folder: Path, *, limit_bytes: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._ledger = folder / "ledger"
        self._limit = [] if limit_bytes is None else ["--limit-bytes", str(limit_bytes)]
        self._port = _ANY_PORT
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Its address, the same in all its lives."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Have it listen; without faults."""
        command = [sys.executable, "-m", "tests.taskscope.otlp_sink"]
        command += ["--port", str(self._port), "--ledger", str(self._ledger), *self._limit]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline().strip().rpartition(":")[2])

    def kill(self) -> None:
        """End it in the midst of whatever it does; its port refuses from now on."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    assert stream is not None
                    stream.close()

    def fail(self, *faults: dict[str, Any]) -> None:
        """Let the next requests go wrong, each as one of these says (`otlp_sink.Fault`)."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port)) as connection:
            connection.request("POST", "/faults", json.dumps(faults))
            connection.getresponse().read()

    def read(self) -> Arrived:
        """All spans that were taken until now."""
        arrived = Arrived()
        for span in self._read_spans():
            arrived.times[span.span_id] += 1
            arrived.spans[span.span_id] = span
        return arrived

    def _read_spans(self) -> Iterator[Any]:
        if self._ledger.exists():
            for path, message in read_ledger(self._ledger):
                if path == TRACES:
                    yield from records_of(message)
