"""The example for those without a Collector: a real Prometheus asks a real service, which has run a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stack.places import ROOT
from tests.coding_agent.repositories import make_repository
from tests.stack.otlp import find_values, wait_for
from tests.taskscope.service.services import BROKEN, running_service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.conftest import MakeInstance

USUAL, INTERVAL = "127.0.0.1:8000", "scrape_interval: 15s"


def test_a_scraped_service_shows_its_tasks(make_instance: MakeInstance, tmp_path: Path) -> None:
    """With examples/prometheus.yaml, but for port and interval, a task counts once under both its names."""
    example = (ROOT / "examples" / "prometheus.yaml").read_text()
    assert USUAL in example
    assert INTERVAL in example
    config = tmp_path / "scrape.yaml"
    repository = make_repository(tmp_path / "repository", BROKEN)
    with running_service(tmp_path / "home", tmp_path) as service:
        service.wait_for_end(service.start_task(repository)["task_id"])
        target = service.url.removeprefix("http://")
        config.write_text(example.replace(USUAL, target).replace(INTERVAL, "scrape_interval: 1s"))
        instance = make_instance(configs={"prometheus": [config]})
        instance.start("prometheus")
        wait_for(lambda: find_values(instance, 'up{job="taskscope"}'), [1.0])
        wait_for(lambda: find_values(instance, "tasks_executed_total"), [1.0])
        wait_for(lambda: find_values(instance, "sum(taskscope_task_executions_total)"), [1.0])
