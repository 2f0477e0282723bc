"""The scene of the proof of alerts: the real stack with shortened rules, and a fleet that sends to it.

Every cause is a real one: runs of the fleet (`stack.fleet`), and what only a backend can do. No sample is
written by hand.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from grafana.mixin.alerts.prometheus import render_rules
from grafana.mixin.config import CONFIG
from stack.fleet import SCENARIOS, Fleet
from stack.instance import Instance
from stack.programs import PROGRAMS
from tests.taskscope.otlp_sink import Fault, OtlpSink

from .webhook import WebhookSink

if TYPE_CHECKING:
    from pathlib import Path

WINDOWS = dataclasses.replace(
    # Over which runs are counted: on a busy machine a few of them take longer than a sixtieth.
    CONFIG.windows.scaled(1 / 60),
    tasks_s=45.0,
    calls_s=45.0,
    retrieval_s=45.0,
)
SMALL_QUEUE = """\
exporters:
  otlp_http/loki:
    sending_queue:
      queue_size: 3000000
      block_on_overflow: false
      batch: {min_size: 100000, max_size: 1000000}
"""
"""The gateway's: two requests of the agent tier fill more than half of it, and three do not fit in."""
SMALL_REQUESTS = """\
exporters:
  otlp_grpc/gateway:
    sending_queue:
      batch: {max_size: 1200000}
"""
"""The agent tier's: below half of the queue, so that it fills before one does not fit in."""


class Scene:
    """The real stack with shortened rules, and those who send to it."""

    def __init__(self, folder: Path) -> None:
        self._lives = contextlib.ExitStack()
        self.webhook = self._lives.enter_context(WebhookSink())
        self.logs = self._lives.enter_context(OtlpSink())
        """In the place of Loki, which the gateway's small queue for logs stands before."""
        self.instance = self._make_instance(folder)
        self.fleet = Fleet(folder / "fleet", self.instance.url("agent", "otlp_http"), interval=1.0)
        self._lives.enter_context(self.fleet)
        self.lost = self.fleet.add_host("lost", OTEL_SERVICE_NAME="lost")
        self.small = self.fleet.add_host("small", OTEL_SERVICE_NAME="small", TASKSCOPE_STORE_LIMIT="8MB")

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

    def read_clock(self) -> float:
        """Prometheus's own time, by which it evaluates rules."""
        return float(self.ask("vector(time())")[0]["value"][1])

    def wait_until_all_are_up(self) -> float:
        """Wait until Prometheus has seen every program of its configuration up; its time then."""
        (config,) = self.instance.configs["prometheus"]
        targets = config.read_text(encoding="utf-8").count("job_name:")
        self.wait_for(f"count(up == 1) == {targets}")
        return self.read_clock()

    def find_fired(self, since: float) -> set[str]:
        """Names of the alerts that fired in an evaluation after this time of Prometheus."""
        now = self.read_clock()
        span_ms = round((now - since) * 1000)
        fired = self.ask(f'max_over_time(ALERTS{{alertstate="firing"}}[{span_ms}ms] @ {now})')
        return {one["metric"]["alertname"] for one in fired}

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

    def fill(self, *names: str, host: str = "") -> None:
        """Do scenarios of the fleet, where they belong or on one host."""
        chosen = [SCENARIOS[name] for name in names]
        if host:
            chosen = [dataclasses.replace(one, host=host) for one in chosen]
        wrong = [run for run in self.fleet.fill(chosen) if not run.is_as_expected]
        assert wrong == []

    def _make_instance(self, folder: Path) -> Instance:
        rules = folder / "rules.yaml"
        rules.write_text(render_rules(dataclasses.replace(CONFIG, windows=WINDOWS)), encoding="utf-8")
        queue, requests = folder / "small-queue.yaml", folder / "small-requests.yaml"
        queue.write_text(SMALL_QUEUE, encoding="utf-8")
        requests.write_text(SMALL_REQUESTS, encoding="utf-8")
        instance = Instance(
            folder / "stack",
            configs={
                "agent": (*PROGRAMS["agent"].configs, requests),
                "gateway": (*PROGRAMS["gateway"].configs, queue),
            },
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


DOWN = Fault(status=503, headers={"Retry-After": "1"}, times=10_000)
"""A backend that is down, until its faults are taken away."""
