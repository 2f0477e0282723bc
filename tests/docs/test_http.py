"""docs/http.md says which routes, fields and checks there are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskscope.bootstrap import build_checks, build_runtime
from taskscope.config import load_settings
from taskscope.health.monitor import HealthMonitor
from taskscope.recorder.cleaning import VALUE_LIMIT_BYTES
from taskscope.recorder.foreign import ATTRIBUTES_LIMIT, RECORDS_LIMIT
from taskscope.service.access import INTAKE_PATHS, OPEN_PATHS
from taskscope.service.app import build_app
from taskscope.service.otlp import intake
from taskscope.service.otlp.receiver import Receiver
from taskscope.service.tasks import NewTask
from taskscope.store.foreign_points import SERIES_LIMIT, TOTAL_LIMIT
from tests.taskscope.otel_globals import fresh_otel
from tests.taskscope.service.services import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskscope.bootstrap import Runtime
    from tests.taskscope.service.services import Service

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text(encoding="utf-8")


SECTION = PAGE.split("## Agents in other languages", 1)[1].split("\n## ", 1)[0]


def blocks(kind: str) -> list[str]:
    """The blocks of code of the section on agents in other languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    return [text for one, text in found if one == kind]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with fresh_otel():
        made = build_runtime(load_settings(tmp_path, {"AGENT_HOME": str(tmp_path / "home")}))
        yield made
        assert made.close(10)


def test_every_route_and_its_need_of_the_token_is_told(runtime: Runtime) -> None:
    """The table of routes is that of the application."""
    receiver = Receiver(runtime)
    app = build_app(runtime, HealthMonitor([]), token="x", receiver=receiver)
    receiver.close()
    paths = app.openapi()["paths"]
    known = {(verb.upper(), path) for path, verbs in paths.items() for verb in verbs}
    told = re.findall(r"^\| `([A-Z]+) (/\S*)` \| (yes|no) \|", PAGE, re.MULTILINE)
    assert {(verb, path) for verb, path, _ in told} == {*known, ("GET", "/openapi.json")}
    assert {path for _, path, need in told if need == "no"} == {*OPEN_PATHS, *INTAKE_PATHS}


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


def in_shell(service: Service, script: str) -> str:
    """What a script of the page prints, at this service's address and with our `taskscope` on the PATH."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return subprocess.run(
        ["sh", "-e", "-c", script.replace("http://127.0.0.1:8000", service.url)],
        env=environment(service.home, PATH=path, PYTHONIOENCODING="utf-8"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on the PATH")
def test_the_agent_in_a_shell_is_shown_as_told(service: Service) -> None:
    """Its commands run as they stand, and print what stands below them."""
    (shown,) = blocks("")
    assert in_shell(service, blocks("sh")[1]) == shown


def test_the_agent_in_python_is_recorded(service: Service) -> None:
    """With the environment that the page names and no more."""
    (program,) = blocks("python")
    script = f"{blocks('sh')[0]}\n{sys.executable} -W error - <<'PROGRAM'\n{program}PROGRAM\ntaskscope show"
    shown = in_shell(service, script)
    assert "task      writer" in shown
    assert "tokens    1 LLM call, 420 in, 17 out" in shown


def test_the_bounds_are_told() -> None:
    """Each number of the table is that of the code."""
    told = SECTION.split("| bound | |", 1)[1]
    for number in (
        f"{intake.BODY_LIMIT_BYTES >> 20} MiB",
        f"{intake.BODY_SECONDS:.0f} s",
        f"compressed by {intake.RATIO_LIMIT}",
        f"{intake.HELD_LIMIT_BYTES >> 20} MiB, {intake.WAITING_LIMIT} requests",
        f"{RECORDS_LIMIT:,} records",
        f"{ATTRIBUTES_LIMIT} attributes",
        f"{VALUE_LIMIT_BYTES >> 10} KiB a value",
    ):
        assert number in told, number
    for number in (f"{SERIES_LIMIT:,} of a metric", f"{TOTAL_LIMIT:,} in all"):
        assert number in " ".join(SECTION.split()), number
