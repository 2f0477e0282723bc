"""Who may ask: every route, walked without token, under another name and from another site's page."""

from __future__ import annotations

import asyncio
import http.client
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from taskscope.cli import main
from taskscope.errors import StoreError, UsageError
from taskscope.service import access
from taskscope.service.access import INTAKE_PATHS, OPEN_PATHS, is_loopback, load_token, refuse_open_host

from .services import Service, running_service

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

PROBES = ("/metrics", "/health/live", "/health/ready", "/health/startup", "/openapi.json")
ANYWHERE = "0.0.0.0"  # noqa: S104  it is refused
UNKNOWN = ("/", "/docs", "/tasks/", "/tasks/t-1/other", "//tasks", "/health", "/metrics/../tasks")


def routes(service: Service) -> list[tuple[str, str]]:
    """Every route that the service names, and some that it has not."""
    paths = service.client.get("/openapi.json").json()["paths"]
    known = [(verb.upper(), path.format(task_id="t-1")) for path, verbs in paths.items() for verb in verbs]
    assert len(known) == 13, known
    return [*known, ("GET", "/openapi.json"), *(("GET", path) for path in UNKNOWN)]


def test_without_the_token_numbers_and_states_are_all_there_is(service: Service) -> None:
    """What is not named as open answers 401, whether it exists or not; OTLP of this machine may come in."""
    for method, path in routes(service):
        status = service.client.request(method, path).status_code
        assert (status != 401) == (path in {*OPEN_PATHS, *INTAKE_PATHS}), (method, path, status)
    assert set(PROBES) == set(OPEN_PATHS)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", ""]
)
def test_under_another_name_nothing_is_answered(service: Service, host: str) -> None:
    """A name that was bound to this address by somebody else is refused on every route, token or not."""
    for method, path in routes(service):
        answer = service.ask(method, path, headers={"Host": host})
        assert answer.status_code in {400, 403}, (method, path, answer.text)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_gets_nothing(service: Service, origin: str) -> None:
    """Every route refuses it, token or not, and no answer allows it to be read."""
    for method, path in routes(service):
        answer = service.ask(method, path, headers={"Origin": origin})
        assert answer.status_code == 403, (method, path)
        assert "access-control-allow-origin" not in answer.headers


def test_its_own_origin_and_names_may_ask(service: Service) -> None:
    """localhost, and an Origin that is the service itself."""
    port = urlsplit(service.url).port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "127.9.9.9"):
        assert service.ask("GET", "/tasks", headers={"Host": host}).status_code == 200
    assert service.ask("GET", "/tasks", headers={"Origin": service.url}).status_code == 200


def test_two_hosts_are_none(service: Service) -> None:
    """A request that names two hosts is refused, whichever comes first."""
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc)
    connection.putrequest("GET", "/metrics", skip_host=True)
    connection.putheader("Host", "127.0.0.1")
    connection.putheader("Host", "evil.example")
    connection.endheaders()
    assert connection.getresponse().status in {400, 403}
    connection.close()


@pytest.mark.parametrize("value", ["Bearer", "Bearer x", "Basic {}", "{}", "Bearer {}x", "Bearer  é"])
def test_another_token_is_none(service: Service, value: str) -> None:
    """Only the whole token after `Bearer` opens."""
    headers = {b"Authorization": value.format(service.token).encode()}
    answer = service.client.get("/tasks", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_refusal_is_a_problem_with_a_trace_id(service: Service) -> None:
    """RFC 9457, with the id under which the refusal stands in the record; nothing may be cached."""
    answer = service.client.get("/tasks", headers={"X-Request-Id": "r-1"})
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["title"]) == (401, "Unauthorized")
    assert len(problem["trace_id"]) == 32
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"] == "r-1"


def test_a_request_id_that_is_no_word_is_replaced(service: Service) -> None:
    """What stands in log lines is not the caller's text."""
    answer = service.client.get("/tasks", headers={"X-Request-Id": "a b<script>" + "x" * 99})
    assert answer.headers["x-request-id"].isalnum()


def test_the_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """Of many who begin at once, all get the same token; its file has mode 600."""
    path = tmp_path / "token"
    with ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(lambda _: load_token(path), range(64)))
    assert len(tokens) == 1
    assert len(tokens.pop()) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff"])
def test_a_token_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty token would open to everybody."""
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(StoreError, match="remove it"):
        load_token(tmp_path / "token")


@pytest.mark.parametrize(
    "host", [ANYWHERE, "::", "192.168.1.2", "example.com", "127.0.0.1.evil.example", "*"]
)
def test_an_address_beyond_this_machine_is_refused(host: str) -> None:
    """There is no TLS here; the message names what may be used."""
    with pytest.raises(UsageError, match="METRICS_HOST"):
        refuse_open_host(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_this_machine_is_no_other(host: str) -> None:
    """All of 127/8, ::1 and the name localhost."""
    assert is_loopback(host)


def test_serve_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong address: exit code 2; a port that is taken: 3; each one line, no traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_HOME", str(tmp_path / "home"))

    def serve(**variables: str) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            return main(("serve",)), capsys.readouterr().err

    code, message = serve(METRICS_HOST=ANYWHERE)
    assert (code, message.count("\n")) == (2, 1), message
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, message = serve(METRICS_PORT=str(taken.getsockname()[1]))
    assert (code, message.count("\n")) == (3, 1), message
    assert "Address already in use" in message
    assert not (tmp_path / "home").exists()


def find_own_address() -> str:
    """An address of this machine that is no loopback; what goes by it comes from outside, to a server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, only chooses a route (RFC 5737)
        except OSError:
            pytest.skip("this machine has no other address than loopback")
        return str(probe.getsockname()[0])


def test_from_outside_its_container_no_more_is_open_than_numbers_and_states(tmp_path: Path) -> None:
    """In a container every address is listened on; by a published port the probes and numbers answer, all
    else needs the token, OTLP too, and another Host than loopback still gets nothing.
    """
    address = find_own_address()
    with running_service(
        tmp_path / "home", tmp_path, METRICS_HOST=ANYWHERE, TASKSCOPE_SERVE_IN_CONTAINER="true"
    ) as service:
        port = service.url.rpartition(":")[2]
        outside = f"http://{address}:{port}"
        published = {"Host": "127.0.0.1:8000"}
        for method, path in routes(service):
            status = service.client.request(method, outside + path, headers=published).status_code
            assert (status != 401) == (path in OPEN_PATHS), (method, path, status)
            assert service.client.request(method, outside + path).status_code == 403, (method, path)


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """408 for who holds the token too: a byte a minute keeps no request for ever."""
    monkeypatch.setattr(access, "BODY_SECONDS", 0.01)
    answers: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(0)
        if answers or not parts:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": parts.pop(), "more_body": True}

    async def send(message: Message) -> None:
        answers.append(message)
        await asyncio.sleep(0)

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise AssertionError

    parts = [b"{"]
    headers = [(b"host", b"localhost"), (b"authorization", b"Bearer x")]
    scope: Scope = {"type": "http", "method": "POST", "path": "/tasks", "headers": headers}
    asyncio.run(access.Gate(app, token="x")(scope, receive, send))
    assert answers[0]["status"] == 408
