"""docs/http.md says which routes, fields and checks there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskscope.bootstrap import build_checks, build_runtime
from taskscope.config import load_settings
from taskscope.health.monitor import HealthMonitor
from taskscope.service.access import OPEN_PATHS
from taskscope.service.app import build_app
from taskscope.service.tasks import NewTask
from tests.taskscope.otel_globals import fresh_otel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskscope.bootstrap import Runtime

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text(encoding="utf-8")


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with fresh_otel():
        made = build_runtime(load_settings(tmp_path, {"AGENT_HOME": str(tmp_path / "home")}))
        yield made
        assert made.close(10)


def test_every_route_and_its_need_of_the_token_is_told(runtime: Runtime) -> None:
    """The table of routes is that of the application."""
    app = build_app(runtime, HealthMonitor([]), token="x")
    paths = app.openapi()["paths"]
    known = {(verb.upper(), path) for path, verbs in paths.items() for verb in verbs}
    told = re.findall(r"^\| `([A-Z]+) (/\S*)` \| (yes|no) \|", PAGE, re.MULTILINE)
    assert {(verb, path) for verb, path, _ in told} == {*known, ("GET", "/openapi.json")}
    assert {path for _, path, need in told if need == "no"} == set(OPEN_PATHS)


def test_every_field_of_a_task_is_told() -> None:
    """The table of fields is that of the request's body."""
    section = PAGE.split("## Starting a task", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(NewTask.model_fields)


def test_every_check_is_told_with_groups_and_need(runtime: Runtime) -> None:
    """The table of checks is that of `build_checks`."""
    rows = re.findall(
        r"^\| (`[^|]+`) \| ([a-z, ]+) \| (yes|no) \|", PAGE.split("## Health", 1)[1], re.MULTILINE
    )
    told = {
        name: (tuple(groups.split(", ")), need == "yes")
        for names, groups, need in rows
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert told == {check.name: (tuple(check.groups), check.required) for check in build_checks(runtime)}
