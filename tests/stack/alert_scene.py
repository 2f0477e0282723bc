"""The scene of the proof of alerts: hosts, a provider, a vendor's backend, and what goes wrong with them.

Every cause is a real one: tasks that fail, processes that are killed, a provider that limits, a backend that
answers 503. No sample is written by hand.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any, Self

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from grafana.mixin.alerts.prometheus import render_rules
from grafana.mixin.config import CONFIG
from stack.instance import Instance
from stack.programs import PROGRAMS
from tests.providers.answers import Answer, chat_completion
from tests.providers.server import Received, ScriptedProvider
from tests.taskscope.otlp_sink import Fault, OtlpSink

from .webhook import WebhookSink

ROOT = Path(__file__).parents[2]
SHORTER = 1 / 60
TOKENS = {"priced": 300_000, "cheap": 1_000}
"""Of each call: 0.30 and 0.001 USD at a dollar for a million."""
CAP = "1"
POISON = "poison"
"""A kind of task whose records the vendor refuses."""
SMALL_QUEUE = """\
exporters:
  otlp_http/loki:
    sending_queue:
      queue_size: 3000000
      block_on_overflow: false
      batch: {min_size: 100000, max_size: 1000000}
"""
"""Two requests of the agent tier fill more than half of it, and then not even one fits in."""


class Provider(ScriptedProvider):
    """Limits one model, is slow to embed, and answers the others with their usage."""

    def answer(self, received: Received) -> Answer:
        if received.path == "/v1/embeddings":
            threading.Event().wait(3.0)  # a slow embedder is what is measured
            return super().answer(received)
        model = str(received.body["model"])
        if model == "limited":
            return Answer(429, '{"error": {"message": "slow down"}}', {"retry-after-ms": "1"})
        tokens = TOKENS.get(model, 1)
        usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
        return chat_completion("done", model=model, usage=usage)


class Host:
    """A home and the program that runs in it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir()
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "TASKSCOPE_HOME": str(folder / "home"),
            "OTEL_SERVICE_NAME": folder.name,
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            **environment,
        }
        self._process: subprocess.Popen[str] | None = None

    def start(self, *command: str, **environment: str) -> None:
        """Start `taskscope` with arguments, or the program that takes commands when there are none."""
        taskscope = str(Path(sys.executable).parent / "taskscope")
        arguments = [taskscope, *command] if command else [sys.executable, "-m", "tests.stack.alert_host"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                arguments,
                cwd=self.folder,
                env={**self.environment, **environment},
                stdin=subprocess.PIPE,
                stdout=log if command else subprocess.PIPE,
                stderr=log,
                text=True,
            )
        if not command:
            self._await_answer()

    def do(self, *lines: str) -> None:
        """Have the program do something, and wait until it has."""
        for line in lines:
            stdin = self._pipe("stdin")
            stdin.write(f"{line}\n")
            stdin.flush()
            self._await_answer()

    def stop(self) -> None:
        """Let it end in its own way: at the end of its input, or by SIGTERM."""
        process = self._process
        if process is not None and process.poll() is None:
            if process.stdout is None:
                process.terminate()
            else:
                self._pipe("stdin").close()
            process.wait(30)
        self._close_pipes()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._close_pipes()

    def run(self, *arguments: str) -> int:
        """Run a command of `taskscope` in this home to its end."""
        command = [str(Path(sys.executable).parent / "taskscope"), *arguments]
        with (self.folder / "log").open("ab") as log:
            return subprocess.run(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, check=False
            ).returncode

    def _pipe(self, name: str) -> IO[str]:
        pipe = getattr(self._process, name)
        assert pipe is not None
        return pipe  # type: ignore[no-any-return]

    def _await_answer(self) -> None:
        answer = self._pipe("stdout").readline()
        assert answer == "done\n", (answer, (self.folder / "log").read_text()[-3000:])

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout) if self._process else ():
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Scene:
    """The real stack with shortened rules, and those who send to it."""

    def __init__(self, folder: Path) -> None:
        self._lives = contextlib.ExitStack()
        self.webhook = self._lives.enter_context(WebhookSink())
        self.provider = self._lives.enter_context(Provider())
        self.vendor = self._lives.enter_context(OtlpSink(refuses=self._refuses))
        self.logs = self._lives.enter_context(OtlpSink())
        """In the place of Loki, which the gateway's small queue for logs stands before."""
        self.refuses_poison = True
        self.instance = self._make_instance(folder)
        self._environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.instance.url("agent", "otlp_http"),
            "PROVIDER_URL": self.provider.openai_url,
            "TASKSCOPE_PRICES_FILE": str(self._write_prices(folder)),
        }
        self.worker = self._host(
            folder / "worker",
            TASKSCOPE_COST_CAP_DAILY=CAP,
            TASKSCOPE_DESTINATIONS=f"vendor={self.vendor.url}",
        )
        self.doomed = self._host(folder / "doomed")
        self.served = self._host(
            folder / "served", TASKSCOPE_HEALTHCHECK_INTERVAL="1s", TASKSCOPE_METRICS_PORT="0"
        )
        self.small = self._host(folder / "small", TASKSCOPE_STORE_LIMIT="8MB")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._lives.close()

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers now."""
        url = f"{self.instance.url('prometheus')}/api/v1/query?query={urllib.parse.quote(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])

    def has(self, query: str, patience: float = 60.0) -> bool:
        """Whether a query gets an answer in time."""
        deadline = time.monotonic() + patience
        while not self.ask(query):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def wait_for(self, query: str) -> None:
        """Wait until a query has an answer."""
        assert self.has(query), f"no answer to {query}"

    def read_suppressed(self) -> set[str]:
        """Names of the alerts that Alertmanager keeps quiet because of another one."""
        url = f"{self.instance.url('alertmanager')}/api/v2/alerts?inhibited=true"
        with urllib.request.urlopen(url, timeout=10) as answer:
            alerts = json.load(answer)
        return {alert["labels"]["alertname"] for alert in alerts if alert["status"]["inhibitedBy"]}

    def send_deltas_of_one_identity(self) -> None:
        """Two processes' SDKs send deltas of one series, the one that began later first."""
        exporters = [
            OTLPMetricExporter(
                endpoint=f"{self.instance.url('agent', 'otlp_http')}/v1/metrics",
                preferred_temporality={Counter: AggregationTemporality.DELTA},
            )
            for _ in range(2)
        ]
        resource = Resource({"service.name": "twins"})
        readers = [PeriodicExportingMetricReader(one, export_interval_millis=60_000) for one in exporters]
        older, newer = (MeterProvider([reader], resource=resource) for reader in readers)
        for provider in (older, newer):
            provider.get_meter("twins").create_counter("twins.made").add(1)
        newer.force_flush()
        self.wait_for('twins_made_total{job="twins"}')
        older.force_flush()
        for provider in (older, newer):
            provider.shutdown()

    def _make_instance(self, folder: Path) -> Instance:
        rules = folder / "rules.yaml"
        shortened = dataclasses.replace(CONFIG, windows=CONFIG.windows.scaled(SHORTER))
        rules.write_text(render_rules(shortened), encoding="utf-8")
        small = folder / "small-queue.yaml"
        small.write_text(SMALL_QUEUE, encoding="utf-8")
        instance = Instance(
            folder / "stack",
            configs={"gateway": (*PROGRAMS["gateway"].configs, small)},
            environment={
                "TASKSCOPE_RULES": str(rules),
                "TASKSCOPE_SCRAPE_INTERVAL": "1s",
                "TASKSCOPE_ALERT_RECEIVER": "webhook",
                "TASKSCOPE_ALERT_WEBHOOK": self.webhook.url,
                "TASKSCOPE_ALERT_GROUP_WAIT": "1s",
                "TASKSCOPE_ALERT_GROUP_INTERVAL": "1s",
                "TASKSCOPE_LOKI_URL": self.logs.url,
            },
        )
        self._lives.callback(instance.close)
        return instance

    def _write_prices(self, folder: Path) -> Path:
        path = folder / "prices.yaml"
        same = {"base_url": self.provider.openai_url, "input": 1.0, "output": 1.0}
        path.write_text(
            json.dumps({"prices": [{"model": model, **same} for model in TOKENS]}), encoding="utf-8"
        )
        return path

    def _host(self, folder: Path, **environment: str) -> Host:
        host = Host(folder, {**self._environment, **environment})
        self._lives.callback(host.stop)
        return host

    def _refuses(self, record: Any) -> bool:
        values = (attribute.value.string_value for attribute in record.attributes)
        return self.refuses_poison and POISON in values


DOWN = Fault(status=503, headers={"Retry-After": "1"}, times=10_000)
"""A backend that is down, until its faults are taken away."""
