"""Every alert through the real Prometheus and the real Alertmanager to a webhook, and back again.

The rules are the committed ones with shorter windows; causes and senders are real (`alert_scene.py`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from grafana.mixin.alerts import build_groups
from grafana.mixin.config import CONFIG
from stack.fleet import models

from .alert_scene import DOWN, Scene
from .test_alerts_of_storage import PROVEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


ALERTS = tuple(
    alert.name for group in build_groups(CONFIG) for alert in group.alerts if alert.name not in PROVEN
)
ALWAYS_FIRES = "TaskscopeWatchdog"
PATIENCE = 120.0
"""Seconds until what was caused is told; alone on two cores it takes up to 20."""
WHO: Mapping[str, dict[str, str]] = {
    "TaskscopeTasksFailing": {"job": "nightly", "taskscope_task_kind": "repair"},
    "TaskscopeTasksFailingInARow": {"job": "nightly", "taskscope_task_kind": "repair"},
    "TaskscopeTaskSilent": {"job": "nightly"},
    "TaskscopeTasksInterrupted": {"job": "nightly", "taskscope_task_kind": "repair"},
    "TaskscopeHostSilent": {"job": "lost"},
    "TaskscopeCostNearCap": {"job": "agents"},
    "TaskscopeCostCapReached": {"job": "agents"},
    "TaskscopeCostForecast": {"job": "agents"},
    "TaskscopeCallsUnpriced": {"job": "nightly", "gen_ai_request_model": models.UNPRICED},
    "TaskscopeLlmCallsFailing": {"job": "nightly", "gen_ai_request_model": models.PRICED},
    "TaskscopeLlmRateLimited": {"job": "nightly", "gen_ai_request_model": models.PRICED},
    "TaskscopeLlmRetrying": {"job": "nightly", "gen_ai_request_model": models.PRICED},
    "TaskscopeRetrievalSlow": {"job": "agents"},
    "TaskscopeHealthFailing": {"job": "nightly", "taskscope_health_check": "git"},
    "TaskscopeRecordsDropped": {"job": "nightly", "taskscope_drop_reason": "refused"},
    "TaskscopeInternalErrors": {"job": "agents", "error_type": "ZeroDivisionError"},
    "TaskscopeRecordsQuarantined": {"job": "nightly", "taskscope_destination": "picky"},
    "TaskscopeRecordsWaiting": {"job": "nightly", "taskscope_destination": "away"},
    "TaskscopeStoreFilling": {"job": "small"},
    "TaskscopeCollectorRefusing": {"job": "collector-gateway", "signal": "logs"},
    "TaskscopeCollectorDropping": {"job": "collector-gateway", "exporter": "otlp_http/loki"},
    "TaskscopeCollectorQueueFilling": {"job": "collector-gateway", "exporter": "otlp_http/loki"},
    "TaskscopeDerivedMetricsWrong": {"job": "collector-gateway"},
    "TaskscopeBackendDown": {"job": "tempo"},
    "TaskscopeWatchdog": {},
}
"""By which labels the one that was caused is told."""


class Proof:
    """What was told, what fired before any cause, and what was kept quiet while a backend was down."""

    def __init__(self, scene: Scene) -> None:
        self.webhook = scene.webhook
        self.fired_while_well: set[str] = set()
        self.suppressed: set[str] = set()
        self._scene = scene

    def run(self) -> None:
        self._scene.instance.start()
        self._go_well()
        self._cause()
        self._wait_for_fire(*(name for name in ALERTS if name not in _LATER))
        self._go_on()
        self._take_tempo_down()
        self._put_right()
        self._wait_for_end(*(name for name in ALERTS if name != ALWAYS_FIRES))

    def _go_well(self) -> None:
        """Hosts at work, and all programs up from here on."""
        scene = self._scene
        # Who starts later is down in the eyes of the first: for minutes, at these windows.
        all_up_at = scene.wait_until_all_are_up()
        scene.fleet.serve()
        scene.fill("good")
        scene.fill("good", host="ill")
        scene.wait_for('taskscope_task_executions_total{job="agents"}')
        scene.wait_for('taskscope_health_check_timestamp_seconds{job="nightly"}')
        self.fired_while_well = scene.find_fired(all_up_at)

    def _cause(self) -> None:
        """Let go wrong what can go wrong at once."""
        scene = self._scene
        scene.logs.fail(DOWN)
        scene.fleet.fall_ill()
        scene.fill("stuck", host="lost")
        scene.wait_for('taskscope_task_silence_max_seconds{job="lost"} > 0')
        scene.lost.kill()
        # Its service sees to it that the write-ahead log stands as long as nobody does anything about it.
        scene.small.serve()
        scene.small.run_agent("chatty.py", "6000", "0")
        scene.fleet.well.run_agent("chatty.py", "0", "6000")
        scene.send_deltas_of_one_identity()
        scene.fill(
            *("expensive", "searched_long", "own_agent", "foreign"),
            *("stuck", "unpriced", "rate_limited", "llm_error", "killed"),
        )

    def _go_on(self) -> None:
        """What comes after the first: past the cap, home from the dead."""
        scene = self._scene
        scene.fill("over_cap")
        scene.lost.ship()
        self._wait_for_fire(*_LATER - {"TaskscopeBackendDown"})

    def _take_tempo_down(self) -> None:
        """While the small queue for logs is full, which would follow from it."""
        scene = self._scene
        scene.instance.kill("tempo")
        self._wait_for_fire("TaskscopeBackendDown")
        deadline = time.monotonic() + PATIENCE
        while not self.suppressed and time.monotonic() < deadline:
            self.suppressed = scene.read_suppressed()
            time.sleep(0.2)
        scene.instance.start("tempo")
        self._wait_for_end("TaskscopeBackendDown")

    def _put_right(self) -> None:
        """What the runbook says."""
        scene = self._scene
        scene.logs.forgive()
        scene.fleet.recover()
        scene.fill("good", host="ill")
        scene.small.close()
        scene.small.environment["TASKSCOPE_STORE_LIMIT"] = "100MB"
        scene.small.serve()

    def _wait_for_fire(self, *names: str) -> None:
        """One patience for all of them; who was not told of is found by the tests."""
        self.webhook.wait_for(lambda told: all(told.has_fired(name, WHO[name]) for name in names), PATIENCE)

    def _wait_for_end(self, *names: str) -> None:
        self.webhook.wait_for(lambda told: all(told.is_over(name, WHO[name]) for name in names), PATIENCE)


_LATER = {"TaskscopeCostCapReached", "TaskscopeBackendDown"}


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    with Scene(tmp_path_factory.mktemp("alerts")) as scene:
        proof = Proof(scene)
        proof.run()
        yield proof


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_told_when_its_cause_comes_and_when_it_goes(name: str, proof: Proof) -> None:
    """Alertmanager tells the webhook of what was caused, and that it is over; the watchdog is never over."""
    assert proof.webhook.has_fired(name, WHO[name])
    assert proof.webhook.is_over(name, WHO[name]) == (name != ALWAYS_FIRES)


def test_failures_of_senders_without_taskscope_are_told_too(proof: Proof) -> None:
    """What the gateway counts from their spans has the same names, so that the same rule sees them."""
    who = {"job": "foreign-openinference"}
    assert proof.webhook.has_fired("TaskscopeTasksFailing", who)
    assert proof.webhook.is_over("TaskscopeTasksFailing", who)


def test_nothing_fires_while_all_goes_well(proof: Proof) -> None:
    """From when all programs are up, hosts being at work, no rule fires but the watchdog's, which must."""
    assert proof.fired_while_well == {ALWAYS_FIRES}


def test_what_follows_from_a_backend_that_is_down_is_not_told(proof: Proof) -> None:
    """While Tempo is down, Alertmanager keeps the queue that fills quiet, and the cap that is spent not."""
    assert "TaskscopeCollectorQueueFilling" in proof.suppressed
    assert "TaskscopeCostCapReached" not in proof.suppressed


def test_texts_are_whole(proof: Proof) -> None:
    """No summary or description that was sent has a label or a value missing, or an error of its template."""
    texts = [text for alert in proof.webhook.alerts for text in alert["annotations"].values()]
    assert texts
    assert [text for text in texts if "<no value>" in text or "<error" in text or "%!" in text] == []
