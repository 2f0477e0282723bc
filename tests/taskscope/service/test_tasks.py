"""Tasks by HTTP: from the request's trace to the patch, refusals, and how one is stopped."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from taskscope.store.history import open_history
from tests.coding_agent.repositories import make_repository

from .services import BROKEN, HANGING, HOPELESS, PATIENCE_S, Service, running_service, wait_until

if TYPE_CHECKING:
    from pathlib import Path

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "b7ad6b7169203331"


@pytest.fixture
def work(service: Service) -> Path:
    """The folder below which this service may start tasks."""
    return service.home.parent / "work"


def test_a_task_belongs_to_the_trace_of_its_caller_and_reads_as_the_commands_print_it(
    service: Service, work: Path
) -> None:
    """Caller, one server span, task: each is the parent of the next, and the answer names the trace. Its tree
    begins with the task's span, its log has its start and end, the list has it first.
    """
    repository = make_repository(work / "water", BROKEN)
    body = {"text": "make the tests pass", "repository": str(repository)}
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    answer = service.ask("POST", "/tasks", json=body, headers=headers)
    accepted = answer.json()
    task_id = accepted["task_id"]
    assert (answer.status_code, accepted["trace_id"]) == (202, TRACE)
    assert answer.headers["location"] == accepted["links"]["self"] == f"/tasks/{task_id}"
    task = service.wait_for_end(task_id)
    assert (task["outcome"], task["verification"], task["source"]) == ("succeeded", "passed", "http")
    with closing(open_history(service.home / "taskscope.db")) as history:
        roots = history.roots(TRACE)
    servers = [node for root in roots for node in root.walk() if node.kind == "SERVER"]
    assert [(node.name, node.parent_id) for node in servers] == [("POST /tasks", CALLER)]
    assert [node.name for node in servers[0].children] == ["invoke_workflow repair"]
    assert servers[0].attributes["http.route"] == "/tasks"
    assert servers[0].attributes["http.response.status_code"] == 202
    tree = wait_until(lambda: service.ask("GET", f"/tasks/{task_id}/spans").json(), lambda t: t["ended_at"])
    assert (tree["name"], tree["attributes"]["taskscope.task.id"]) == ("invoke_workflow repair", task_id)
    assert "invoke_agent coder" in [child["name"] for child in tree["children"]]
    events = wait_until(
        lambda: [line["event"] for line in service.ask("GET", f"/tasks/{task_id}/logs").json()],
        lambda names: "taskscope.task.finished" in names,
    )
    assert "taskscope.task.started" in events
    assert service.ask("GET", "/tasks?limit=1").json()[0]["task_id"] == task_id


def test_a_large_body_keeps_no_later_request_in_its_trace(service: Service, work: Path) -> None:
    """On the same connection, which goes on being read from within the request whose body had to wait."""
    repository = str(make_repository(work / "rain", HOPELESS))
    with closing(HTTPConnection(urlsplit(service.url).netloc, timeout=PATIENCE_S)) as connection:
        for number, text in enumerate(("x" * 200_000, "look", "look"), start=1):
            trace_id = f"{number:032x}"
            headers = {
                **service.headers,
                "Content-Type": "application/json",
                "traceparent": f"00-{trace_id}-{CALLER}-01",
            }
            body = json.dumps({"text": text, "repository": repository})
            connection.request("POST", "/tasks", body, headers)
            answer = connection.getresponse()
            task = json.loads(answer.read())
            if number == 1:
                assert answer.status == 422
            else:
                assert (answer.status, task["trace_id"]) == (202, trace_id)
                service.wait_for_end(task["task_id"])


def test_a_caller_who_samples_costs_no_task(service: Service, work: Path) -> None:
    """With the sampled flag off the request has no span, but the task has all of its own, in that trace."""
    trace_id = "f" * 32
    body = {"text": "look", "repository": str(make_repository(work / "ice", HOPELESS))}
    headers = {"traceparent": f"00-{trace_id}-{CALLER}-00"}
    task = service.ask("POST", "/tasks", json=body, headers=headers).json()
    assert service.wait_for_end(task["task_id"])["trace_id"] == trace_id
    with closing(open_history(service.home / "taskscope.db")) as history:
        names = [root.name for root in history.roots(trace_id)]
    assert names == ["invoke_workflow repair"]


@pytest.mark.parametrize(
    "change, status",
    [
        ({"repository": "/"}, 403),
        ({"repository": "/etc"}, 403),
        ({"repository": "work"}, 403),
        ({"repository": "{work}/../secret"}, 403),
        ({"repository": "{work}/link-out"}, 403),
        ({"repository": "{work}-twin"}, 403),
        ({"repository": "{work}/x\0"}, 403),
        ({"model": "replay:/etc/passwd"}, 403),
        ({"repository": "{work}/nowhere"}, 422),
        ({"text": " "}, 422),
        ({"text": "x" * 70_000}, 422),
        ({"text": 1}, 422),
        ({"model": "oracle"}, 422),
        ({"priority": 10}, 422),
        ({"budget_usd": -1}, 422),
        ({"in_place": True}, 422),
        ({"python": "/bin/sh"}, 422),
        ({"test_command": ["sh"]}, 422),
        ({"kind": "../x"}, 422),
        ({"text": "x" * 300_000}, 413),
    ],
)
def test_a_task_is_refused_before_it_starts(
    service: Service, work: Path, change: dict[str, Any], status: int
) -> None:
    """Outside of the allowed roots, however it is written, or with a wrong field: a problem, no task."""
    if not (work / "good").exists():
        make_repository(work / "good", BROKEN)
        make_repository(work.parent / "secret", BROKEN)
        make_repository(work.parent / "work-twin", BROKEN)
        (work / "link-out").symlink_to(work.parent / "secret")
    before = [task["task_id"] for task in service.ask("GET", "/tasks").json()]
    body = {"text": "do it", "repository": "{work}/good", **change}
    text = json.dumps(body).replace("{work}", str(work))
    answer = service.ask("POST", "/tasks", content=text, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["status"]) == (status, status), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert [task["task_id"] for task in service.ask("GET", "/tasks").json()] == before


def test_all_violations_are_named_at_once_without_their_values(service: Service) -> None:
    """Each wrong field stands in the problem; what the caller wrote does not."""
    body = {"text": 5, "repository": ["hunter2"], "priority": "high", "extra": "hunter2"}
    answer = service.ask("POST", "/tasks", json=body)
    fields = {one["field"] for one in answer.json()["violations"]}
    assert fields == {"body.text", "body.repository", "body.priority", "body.extra"}
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("content", [b"[" * 5000 + b"]" * 5000, b'{"text":' * 40 + b"1" + b"}" * 40])
def test_a_nested_bomb_is_refused(service: Service, content: bytes) -> None:
    """Deeper than 32 is no task; brackets inside of a text are no depth."""
    headers = {"Content-Type": "application/json"}
    assert service.ask("POST", "/tasks", content=content, headers=headers).status_code == 400
    flat = b'{"text": "' + b"[" * 5000 + b'\\"[[", "repository": "/"}'
    assert service.ask("POST", "/tasks", content=flat, headers=headers).status_code == 403


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"null", b"[]"])
def test_what_is_no_task_is_a_problem(service: Service, content: bytes) -> None:
    """A body that is no JSON object never ends in an internal error."""
    headers = {"Content-Type": "application/json"}
    answer = service.ask("POST", "/tasks", content=content, headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["", "/spans", "/logs"])
@pytest.mark.parametrize("task_id", ["t-none", "t", "..%2f..%2fetc", "%00", "a" * 65])
def test_an_unknown_task_is_not_found(service: Service, task_id: str, path: str) -> None:
    """Neither the beginning of an id nor a path is one."""
    answer = service.ask("GET", f"/tasks/{task_id}{path}")
    assert answer.status_code in {404, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_running_task_can_be_stopped(service: Service, work: Path) -> None:
    """DELETE ends it as `stopped`, in the middle of a test suite that hangs; a second one says so."""
    task_id = service.start_task(make_repository(work / "slow", HANGING))["task_id"]
    wait_for_step(service, task_id)
    answer = service.ask("DELETE", f"/tasks/{task_id}")
    assert (answer.status_code, answer.json()) == (202, {"task_id": task_id, "state": "stopping"})
    task = service.wait_for_end(task_id)
    assert (task["outcome"], task["error_type"]) == ("stopped", "cancelled")
    wait_until(lambda: service.ask("DELETE", f"/tasks/{task_id}").status_code, lambda code: code == 409)
    assert service.ask("DELETE", "/tasks/t-none").status_code == 404


def wait_for_step(service: Service, task_id: str) -> None:
    """Wait until the task's tests run."""

    def open_names() -> list[str]:
        answer = service.ask("GET", f"/tasks/{task_id}/spans")
        left, names = [answer.json()] if answer.status_code == 200 else [], []
        while left:
            node = left.pop()
            left += node["children"]
            names += [node["name"]] if node["ended_at"] is None else []
        return names

    wait_until(open_names, lambda names: any(name.startswith("execute_tool pytest") for name in names))


def test_ctrl_c_stops_running_tasks_and_keeps_the_record(tmp_path: Path) -> None:
    """The running task and those in line are on record as stopped, no span is left open; exit code 130."""
    repository = make_repository(tmp_path / "work" / "slow", HANGING)
    with running_service(tmp_path / "home", tmp_path / "work") as service:
        running = service.start_task(repository)["task_id"]
        wait_for_step(service, running)
        others = [service.start_task(repository)["task_id"] for _ in range(3)]
        assert service.end(signal.SIGINT) == 130
    check_all_stopped(service, [running, *others])


def check_all_stopped(service: Service, tasks: list[str]) -> None:
    """These tasks and no others are on record, all as stopped, and nothing is left open."""
    with closing(open_history(service.home / "taskscope.db")) as history:
        found = {task.task_id: task.outcome for task in history.tasks()}
        left = history.connection.execute("SELECT count(*) FROM open").fetchone()[0]
    assert found == dict.fromkeys(tasks, "stopped")
    assert left == 0


def test_more_than_run_and_wait_are_refused_and_none_is_lost(tmp_path: Path) -> None:
    """The nineteenth gets 429 and when to come again; SIGTERM ends with 0, and all that were accepted, the
    running and those in line, are on record as stopped.
    """
    repository = make_repository(tmp_path / "work" / "slow", HANGING)
    with running_service(tmp_path / "home", tmp_path / "work") as service:
        accepted = [service.start_task(repository)["task_id"] for _ in range(18)]
        wait_for_step(service, accepted[0])
        body = {"text": "one more", "repository": str(repository)}
        refused = service.ask("POST", "/tasks", json=body)
        listed = [task["task_id"] for task in service.ask("GET", "/tasks").json()]
        assert service.ask("GET", f"/tasks/{accepted[-1]}").json()["state"] == "waiting"
        assert service.end() == 0
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    assert sorted(listed) == sorted(accepted)
    check_all_stopped(service, accepted)
