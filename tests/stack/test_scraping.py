"""The example for those without a Collector: a real Prometheus asks a real service, which has run a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stack.places import ROOT
from taskscope.semconv.metrics import METRICS
from tests.coding_agent.repositories import make_repository
from tests.stack.metadata import describe, read_metadata
from tests.stack.otlp import find_values, wait_for
from tests.taskscope.service.services import BROKEN, running_service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.conftest import MakeInstance

USUAL, INTERVAL = "127.0.0.1:8000", "scrape_interval: 15s"


def write_example(folder: Path, target: str) -> Path:
    """`examples/prometheus.yaml`, but for port and interval."""
    example = (ROOT / "examples" / "prometheus.yaml").read_text()
    assert USUAL in example
    assert INTERVAL in example
    config = folder / "scrape.yaml"
    config.write_text(example.replace(USUAL, target).replace(INTERVAL, "scrape_interval: 1s"))
    return config


def test_a_scraped_service_shows_its_tasks(make_instance: MakeInstance, tmp_path: Path) -> None:
    """With the example a task counts once under both its names."""
    repository = make_repository(tmp_path / "repository", BROKEN)
    with running_service(tmp_path / "home", tmp_path) as service:
        service.wait_for_end(service.start_task(repository)["task_id"])
        config = write_example(tmp_path, service.url.removeprefix("http://"))
        instance = make_instance(configs={"prometheus": [config]})
        instance.start("prometheus")
        wait_for(lambda: find_values(instance, 'up{job="taskscope"}'), [1.0])
        wait_for(lambda: find_values(instance, "tasks_executed_total"), [1.0])
        wait_for(lambda: find_values(instance, "sum(taskscope_task_executions_total)"), [1.0])


def test_a_scraped_service_says_types_and_units(make_instance: MakeInstance, tmp_path: Path) -> None:
    """All metrics of the contract are on the page, those that never leave by OTLP too, with type and unit."""
    with running_service(tmp_path / "home", tmp_path) as service:
        config = write_example(tmp_path, service.url.removeprefix("http://"))
        instance = make_instance(configs={"prometheus": [config]})
        instance.start("prometheus")
        wait_for(lambda: find_values(instance, 'up{job="taskscope"}'), [1.0])
        told = read_metadata(instance, "taskscope")
    assert {metric.name: told.get(metric.prometheus_name) for metric in METRICS} == {
        metric.name: describe(metric) for metric in METRICS
    }
