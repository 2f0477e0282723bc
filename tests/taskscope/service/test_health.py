"""Probes: what they answer, and that they cost nothing and leave no trace."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskscope.store.history import open_history

from .services import Service, running_service, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize(
    "group, checks",
    [
        ("live", {"monitor"}),
        (
            "ready",
            {
                "store",
                "disk",
                "git",
                "pytest",
                "ruff",
                "index",
                "vector:codebase",
                "vector:skills",
                "embedder",
            },
        ),
        ("startup", {"store", "disk", "config"}),
    ],
)
def test_a_group_answers_with_its_checks(service: Service, group: str, checks: set[str]) -> None:
    """200 in the form of application/health+json, each check with status, time and need."""
    answer = service.client.get(f"/health/{group}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/health+json")
    body = answer.json()
    assert set(body["checks"]) == checks
    for (found,) in body["checks"].values():
        assert {"status", "time", "required", "groups", "duration_s", "consecutive_failures"} <= found.keys()
        assert ("output" in found) == (found["status"] != "pass")


def test_two_hundred_probes_at_once_run_no_check_and_make_no_span(service: Service) -> None:
    """All get the result of the same run, and neither probes nor scrapes stand in the record."""
    wait_until(lambda: _times(service.client.get("/health/ready").json()), all)
    _, before = ask_and_wait(service)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: service.client.get("/health/ready"), range(200)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({_times(answer.json()) for answer in answers}) == 1
    service.client.get("/metrics")
    asked, after = ask_and_wait(service)
    new = {trace: after[trace] or "" for trace in after.keys() - before.keys()}
    assert [trace for trace, name in new.items() if not name.startswith("health_check ")] == [asked]


def ask_and_wait(service: Service) -> tuple[str, dict[str, str | None]]:
    """Make a request that is traced, and wait for it: those before it are on record by then as well.

    Gives its trace, and the name of the root of each that is on record.
    """
    trace_id = secrets.token_hex(16)
    service.ask("GET", "/tasks", headers={"traceparent": f"00-{trace_id}-{'a' * 16}-01"})

    def look() -> dict[str, str | None]:
        with closing(open_history(service.home / "taskscope.db")) as history:
            return dict(history.connection.execute("SELECT lower(hex(trace)), root_name FROM trace"))

    return trace_id, wait_until(look, lambda traces: trace_id in traces)


def _times(body: Mapping[str, Mapping[str, list[dict[str, str]]]]) -> tuple[str, ...]:
    return tuple(found[0]["time"] for found in body["checks"].values())


def test_monitor_serves_and_prints_each_check_also_without_git(tmp_path: Path) -> None:
    """Each run of a check is a line of its standard output; 503 from `ready` alone, which says what fails."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python").symlink_to(sys.executable)
    with running_service(tmp_path / "home", tmp_path, "monitor", PATH=f"{tools}{os.pathsep}") as service:
        assert service.process.stdout is not None
        lines = [service.process.stdout.readline() for _ in range(10)]
        codes = [service.client.get(f"/health/{group}").status_code for group in ("live", "ready", "startup")]
        (git,) = service.client.get("/health/ready").json()["checks"]["git"]
    assert codes == [200, 503, 200]
    assert (git["status"], git["output"]) == ("fail", "git is not installed")
    assert {line.split("  ")[2].strip() for line in lines} >= {"store", "disk", "git", "index", "embedder"}
    assert all(" UTC  " in line for line in lines)
    assert any("  fail  git " in line for line in lines)


def put_folder_in_place(home: Path) -> None:
    """Put a folder where the store's file was; the writer makes a new file as soon as there is none."""
    while True:
        for file in home.glob("taskscope.db*"):
            file.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):
            (home / "taskscope.db").mkdir()
            return


def test_a_store_that_is_spoilt_under_a_running_service_ends_nothing(tmp_path: Path) -> None:
    """A damaged one is set aside, and it goes on with a new one, and says in `ready`, as a warning, where the
    old one lies. With one that cannot be used `ready`, metrics and tasks answer 503 as problems, `live` 200,
    and the end is a good one.
    """
    home = tmp_path / "home"
    with running_service(home, tmp_path, HEALTHCHECK_INTERVAL="1") as service:
        for file in home.glob("taskscope.db-*"):
            file.unlink()
        (tmp_path / "damaged").write_bytes(b"damaged" * 1000)
        (tmp_path / "damaged").replace(home / "taskscope.db")
        wait_until(lambda: service.client.get("/health/ready").text, lambda text: "set aside" in text)
        wait_until(lambda: service.client.get("/metrics").status_code, lambda code: code == 200)
        (aside,) = home.glob("taskscope.db.damaged-*")
        assert aside.read_bytes() == b"damaged" * 1000
        assert service.client.get("/health/ready").status_code == 200
        put_folder_in_place(home)
        wait_until(lambda: service.client.get("/health/ready").status_code, lambda code: code == 503)
        assert service.client.get("/health/live").status_code == 200
        for path in ("/metrics", "/tasks", "/tasks/t-1/spans"):
            answer = service.ask("GET", path)
            assert (answer.status_code, answer.json()["title"]) == (503, "Service Unavailable")
        assert service.end() == 0
