"""What the sampler drops and what Prometheus cannot keep is told: real causes, the committed rules.

Windows are a sixtieth; each test has a stack of its own, for nothing else is seen while its cause lasts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import urllib.error
from typing import TYPE_CHECKING, Final

import pytest

from grafana.mixin.alerts.prometheus import render_rules
from grafana.mixin.config import CONFIG
from stack.programs import find_collector_configs

from .disks import fill
from .otlp import find_spans, send_sample, send_span, wait_for
from .senders import Sender, Span, encode_spans
from .webhook import WebhookSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stack.instance import Instance

    from .conftest import MakeInstance

PROVEN = frozenset(
    {
        "TaskscopeSamplingLosing",
        "TaskscopeSamplingFull",
        "TaskscopePrometheusNotStoring",
        "TaskscopePrometheusLosing",
        "TaskscopeTempoNotFlushing",
    }
)
"""Alerts whose whole way is walked here, and not in test_alerts.py."""
SHORTER: Final = 1 / 60
PATIENCE: Final = 120.0
TOO_LARGE: Final = 200_000
LARGER = f"processors: {{tail_sampling: {{maximum_trace_size_bytes: {TOO_LARGE}}}}}"
HOURS: Final = 3600.0
BLOCKS: Final = "max_block_duration"
"""Of Tempo: how long a block takes more before it is written."""


@pytest.fixture
def webhook() -> Iterator[WebhookSink]:
    with WebhookSink() as sink:
        yield sink


@pytest.fixture
def stack(make_instance: MakeInstance, webhook: WebhookSink, tmp_path: Path) -> Instance:
    """Nothing runs yet; a gateway of it samples."""
    rules, smaller = tmp_path / "rules.yaml", tmp_path / "smaller.yaml"
    shortened = dataclasses.replace(CONFIG, windows=CONFIG.windows.scaled(SHORTER))
    rules.write_text(render_rules(shortened), encoding="utf-8")
    smaller.write_text(LARGER, encoding="utf-8")
    return make_instance(
        configs={"gateway": (*find_collector_configs("gateway", "scale"), smaller)},
        environment={
            "TASKSCOPE_RULES": str(rules),
            "TASKSCOPE_SCRAPE_INTERVAL": "1s",
            "TASKSCOPE_ALERT_RECEIVER": "webhook",
            "TASKSCOPE_ALERT_WEBHOOK": webhook.url,
            "TASKSCOPE_ALERT_GROUP_WAIT": "1s",
            "TASKSCOPE_ALERT_GROUP_INTERVAL": "1s",
            "TASKSCOPE_SAMPLING_WAIT": "30s",
            "TASKSCOPE_SAMPLING_WAIT_AFTER_ROOT": "30s",
        },
    )


def assert_fires(webhook: WebhookSink, name: str, **labels: str) -> None:
    assert webhook.wait_for(lambda told: told.has_fired(name, labels), PATIENCE), webhook.alerts


def assert_ends(webhook: WebhookSink, name: str, **labels: str) -> None:
    assert webhook.wait_for(lambda told: told.is_over(name, labels), PATIENCE), webhook.alerts


def test_traces_that_are_too_large_or_too_many_for_the_sampler_are_told(
    stack: Instance, webhook: WebhookSink
) -> None:
    """One that is dropped, and as many as four fifths of what it holds; both end by themselves."""
    stack.start("prometheus", "alertmanager", "gateway")
    sender = Sender(stack.url("gateway", "otlp_http"))
    filling = {f"filling.{number}": "x" * 4000 for number in range(TOO_LARGE // 4000 + 1)}
    sender.deliver("traces", encode_spans([Span("large", filling)]))
    for _ in range(CONFIG.limits.sampling_waiting // 1000 + 1):
        sender.deliver("traces", encode_spans(Span() for _ in range(1000)))
    who = {"job": "collector-gateway"}
    assert_fires(webhook, "TaskscopeSamplingLosing", **who, reason="too_large")
    assert_fires(webhook, "TaskscopeSamplingFull", **who)
    assert_ends(webhook, "TaskscopeSamplingLosing", **who)
    assert_ends(webhook, "TaskscopeSamplingFull", **who)


def test_a_prometheus_that_cannot_write_is_told(
    stack: Instance, webhook: WebhookSink, mount_small: Callable[[Path, int], Path]
) -> None:
    """While its disk is full, though it can store nothing that says so; afterwards, what was lost."""
    disk = mount_small(stack.folder / "data" / "prometheus", 2_000_000)
    stack.start("prometheus", "alertmanager")
    ballast = fill(disk)
    assert_fires(webhook, "TaskscopePrometheusNotStoring")
    ballast.unlink()
    assert_ends(webhook, "TaskscopePrometheusNotStoring")
    who = {"job": "prometheus", "reason": "wal"}
    assert_fires(webhook, "TaskscopePrometheusLosing", **who)
    assert_ends(webhook, "TaskscopePrometheusLosing", **who)


def test_a_tempo_that_cannot_write_a_block_is_told(
    stack: Instance, webhook: WebhookSink, mount_small: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    """At its first try; with room for it the next one writes the block, and no span is lost."""
    (usual,) = stack.configs["tempo"]
    sooner = tmp_path / "tempo.yaml"
    sooner.write_text(usual.read_text().replace(f"{BLOCKS}: 5m", f"{BLOCKS}: 5s"))
    stack.configs["tempo"] = (sooner,)
    disk = mount_small(stack.folder / "data" / "tempo" / "blocks", 1_000_000)
    stack.start("prometheus", "alertmanager", "tempo")
    ballast = fill(disk)
    trace_id = send_span(stack, "kept")
    assert_fires(webhook, "TaskscopeTempoNotFlushing", job="tempo")
    ballast.unlink()
    wait_for(lambda: any(disk.rglob("data.parquet")), expected=True)
    assert_ends(webhook, "TaskscopeTempoNotFlushing", job="tempo")
    assert [span["name"] for span in find_spans(stack, trace_id)] == ["kept"]


def test_samples_that_are_too_old_are_told(stack: Instance, webhook: WebhookSink) -> None:
    """Older than the window in which Prometheus takes what comes late."""
    stack.start("prometheus", "alertmanager")
    send_sample(stack, "late", 2)
    with contextlib.suppress(urllib.error.HTTPError):
        send_sample(stack, "late", 1, age=3 * HOURS)
    who = {"job": "prometheus", "reason": "too_old"}
    assert_fires(webhook, "TaskscopePrometheusLosing", **who)
    assert_ends(webhook, "TaskscopePrometheusLosing", **who)
