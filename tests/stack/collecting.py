"""One real Collector with some of the committed processors, between a test and a sink."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from collector import build
from stack.ports import HOST, ReservedPorts
from stack.programs import find_binary
from tests.taskscope.otlp_sink import OtlpSink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PATIENCE = 120.0
_SIGNALS = ("traces", "logs", "metrics")


class Collector:
    """Takes OTLP, runs the processors of generated files over all signals, hands on to `sink`.

    A request is answered when the sink has what became of it. A context manager.
    """

    def __init__(self, folder: Path, processors: Sequence[str], *files: str) -> None:
        self.sink = OtlpSink()
        self._folder = folder
        self._processors = list(processors)
        self._files = [build.FOLDER / file for file in files]
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._closing.enter_context(self.sink)
        reserved = ReservedPorts()
        self._closing.callback(reserved.release)
        self._address = f"{HOST}:{reserved.ports['gateway']['otlp_http']}"
        config = self._folder / "collector.json"
        config.write_text(json.dumps(self._config()), "utf-8")
        log = self._closing.enter_context((self._folder / "collector.log").open("w", encoding="utf-8"))
        configs = [f"--config={path}" for path in (config, *self._files)]
        command = [str(find_binary("taskscope-collector")), *configs]
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._closing.callback(self._stop)
        self._wait()
        return self

    def __exit__(self, *_error: object) -> None:
        self._closing.close()

    def send(self, path: str, request: Any) -> None:
        """Send a request; what became of it is in the sink when this returns."""
        kind = {"Content-Type": "application/x-protobuf"}
        with urllib.request.urlopen(
            urllib.request.Request(f"http://{self._address}/v1/{path}", request.SerializeToString(), kind),
            timeout=_PATIENCE,
        ):
            pass

    def log(self) -> str:
        """What it has said so far."""
        return (self._folder / "collector.log").read_text("utf-8")

    def _config(self) -> dict[str, Any]:
        exporter = {
            "endpoint": self.sink.url,
            "sending_queue": {"enabled": False},
            "retry_on_failure": {"enabled": False},
        }
        pipeline = {"receivers": ["otlp"], "processors": self._processors, "exporters": ["otlp_http"]}
        return {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": self._address}}}},
            "exporters": {"otlp_http": exporter},
            "service": {
                "telemetry": {"metrics": {"level": "none"}, "logs": {"encoding": "json"}},
                "pipelines": dict.fromkeys(_SIGNALS, pipeline),
            },
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while "Everything is ready" not in self.log():
            if self._process.poll() is not None or time.monotonic() > deadline:
                msg = f"the Collector did not start: {self.log()[-2000:]}"
                raise AssertionError(msg)
            time.sleep(0.05)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
