"""What is asked of a running Grafana, and that each thing that can be wrong with it is found.

A stand-in answers as its HTTP API does; the real one is asked in the GitHub workflow.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from grafana import live
from grafana.live import Grafana

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "made-up"
PAGE = {
    "uid": "fleet",
    "templating": {"list": [{"name": "job", "allValue": ".+"}, {"name": "task"}, {"name": "trace"}]},
    "panels": [
        {
            "title": "Rate",
            "targets": [
                {
                    "refId": "A",
                    "datasource": {"uid": "prometheus"},
                    "expr": 'rate(x_total{job=~"$job", task="${task}"}[$__rate_interval])',
                }
            ],
        },
        {
            "title": "Folded",
            "type": "row",
            "panels": [
                {
                    "title": "Tasks",
                    "targets": [
                        {"refId": "A", "datasource": {"uid": "tempo"}, "query": '{ span.id = "$task" }'},
                        {"refId": "B", "datasource": {"uid": "tempo"}, "query": "$trace"},
                    ],
                }
            ],
        },
    ],
}


class StandIn(ThreadingHTTPServer):
    """Answers by path; `answers` is changed by a test to be wrong in one place."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, Any]] = []
        self.open_to: set[str] = {f"admin:{PASSWORD}"}
        frame = {"data": {"values": [[1, 2], [3, 4]]}}
        self.answers: dict[str, tuple[int, Any]] = {
            "/api/search": (200, []),
            "/api/datasources/uid/prometheus/health": (200, {"status": "OK"}),
            "/api/dashboards/uid/fleet": (200, {"dashboard": PAGE}),
            "/api/ds/query": (200, {"results": {"A": {"status": 200, "frames": [frame]}}}),
            "/api/datasources/proxy/uid/tempo/api/search": (200, {"traces": [{}]}),
            "/api/datasources/proxy/uid/tempo/api/traces/abc": (200, {"batches": [{}]}),
            "/api/v1/provisioning/alert-rules": (200, [{"uid": "failing"}]),
            "/api/prometheus/grafana/api/v1/rules": (
                200,
                {"data": {"groups": [{"rules": [{"name": "Failing", "health": "ok"}]}]}},
            ),
        }


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        scheme, _, pair = self.headers.get("Authorization", "").partition(" ")
        who = base64.b64decode(pair).decode() if scheme == "Basic" else "guest"
        status, answer = self.server.answers.get(urlsplit(self.path).path, (404, {"message": "not found"}))
        if who not in self.server.open_to:
            status, answer = 401, {"message": "Unauthorized"}
        else:
            self.server.asked.append((self.path, body))
        raw = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  upstream's name
        """Say nothing."""


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def provisioning(tmp_path: Path) -> Path:
    """What this Grafana was given."""
    for name, content in {
        "datasources/all.yaml": {"datasources": [{"uid": "prometheus"}]},
        "alerting/all.yaml": {"groups": [{"rules": [{"uid": "failing"}]}]},
        "dashboards/taskscope/fleet.json": PAGE,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content) if name.endswith("json") else yaml.safe_dump(content))
    return tmp_path


def check(stand_in: StandIn, provisioning: Path) -> live.Findings:
    grafana = Grafana(f"http://127.0.0.1:{stand_in.server_port}", PASSWORD)
    return live.check(grafana, {"task": "t-1", "trace": "abc"}, provisioning)


def test_a_grafana_that_is_well_has_no_fault(stand_in: StandIn, provisioning: Path) -> None:
    """Everything was asked, panels of folded rows too, and every one has rows."""
    found = check(stand_in, provisioning)
    assert (found.faults, found.empty, found.queries, found.rules) == ([], [], 3, 1)


def test_queries_are_asked_as_the_page_would(stand_in: StandIn, provisioning: Path) -> None:
    """Variables have their values, every value where none is named; Grafana's own are left to Grafana."""
    check(stand_in, provisioning)
    asked = next(body for path, body in stand_in.asked if path == "/api/ds/query")
    assert asked["queries"][0]["expr"] == 'rate(x_total{job=~".+", task="t-1"}[$__rate_interval])'
    searched = next(path for path, _ in stand_in.asked if "/tempo/api/search" in path)
    assert parse_qs(urlsplit(searched).query)["q"] == ['{ span.id = "t-1" }']


@pytest.mark.parametrize(
    "path, answer, fault",
    [
        (
            "/api/datasources/uid/prometheus/health",
            (200, {"status": "ERROR", "message": "refused"}),
            "data source prometheus: HTTP 200, refused",
        ),
        ("/api/datasources/uid/prometheus/health", (404, {}), "data source prometheus: HTTP 404, None"),
        ("/api/dashboards/uid/fleet", (404, {}), "dashboard fleet: HTTP 404"),
        (
            "/api/ds/query",
            (200, {"results": {"A": {"error": "parse error"}}}),
            "fleet, Rate, A: HTTP 200, parse error",
        ),
        ("/api/ds/query", (400, {"message": "bad"}), "fleet, Rate, A: HTTP 400, bad"),
        (
            "/api/datasources/proxy/uid/tempo/api/search",
            (400, {"message": "bad"}),
            "fleet, Tasks, A: HTTP 400, bad",
        ),
        ("/api/v1/provisioning/alert-rules", (200, []), "alert rule failing: not there"),
        (
            "/api/prometheus/grafana/api/v1/rules",
            (200, {"data": {"groups": [{"rules": [{"name": "F", "health": "error", "lastError": "no"}]}]}}),
            "alert rule F: no",
        ),
    ],
)
def test_each_fault_is_found(
    stand_in: StandIn, provisioning: Path, path: str, answer: tuple[int, Any], fault: str
) -> None:
    """One thing is wrong, and that one is named."""
    stand_in.answers[path] = answer
    assert check(stand_in, provisioning).faults == [fault]


@pytest.mark.parametrize(
    "who, fault",
    [("guest", "a guest without a password is let in"), ("admin:admin", "the password is admin")],
)
def test_an_open_door_is_found(stand_in: StandIn, provisioning: Path, who: str, fault: str) -> None:
    """Anonymous access and the default password are faults."""
    stand_in.open_to.add(who)
    assert check(stand_in, provisioning).faults == [fault]


def test_panels_without_a_row_are_told(stand_in: StandIn, provisioning: Path) -> None:
    """An answer without rows is no fault of the query, and the panel is named."""
    stand_in.answers["/api/ds/query"] = (200, {"results": {"A": {"status": 200, "frames": [{"data": {}}]}}})
    found = check(stand_in, provisioning)
    assert (found.faults, found.empty) == ([], ["fleet, Rate"])


def test_without_a_password_or_a_grafana_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 without the password, 3 when nobody answers; one line each."""
    monkeypatch.delenv(live.PASSWORD, raising=False)
    assert live.main(["--url", "http://127.0.0.1:9"]) == 2
    monkeypatch.setenv(live.PASSWORD, PASSWORD)
    assert live.main(["--url", "http://127.0.0.1:9"]) == 3
    said = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0].split(":")[0] for line in said] == [
        f"{live.PASSWORD} is not set",
        "no Grafana at http",
    ]
