"""`make stack-up` and its sisters as a person calls them, on ports and in a folder of their own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from stack.places import CACHE, ROOT
from stack.ports import ReservedPorts
from tests.stack.otlp import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stack.instance import Instance

FEW = ("prometheus", "alertmanager")


class Person:
    """Somebody who calls `python -m stack` with a folder and a file of ports."""

    def __init__(self, folder: Path) -> None:
        self._reserved = ReservedPorts()
        self.ports = self._reserved.ports
        self.data = folder / "data"
        (folder / "ports.toml").write_text(
            "".join(
                f"[{program}]\n" + "".join(f"{purpose} = {port}\n" for purpose, port in purposes.items())
                for program, purposes in self.ports.items()
            )
        )
        self._environment = {
            **os.environ,
            "XDG_CACHE_HOME": str(CACHE.parent.parent),
            "TASKSCOPE_STACK_DATA": str(self.data),
            "TASKSCOPE_STACK_PORTS": str(folder / "ports.toml"),
        }

    def call(self, *arguments: str, expected: int = 0, **variables: str) -> str:
        """What one command says, on stdout and stderr."""
        done = subprocess.run(
            [sys.executable, "-m", "stack", *arguments],
            cwd=ROOT,
            env=self._environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout + done.stderr

    def leave(self) -> None:
        """End what was started, and give the ports back."""
        self.call("down")
        self._reserved.release()


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    someone = Person(tmp_path)
    yield someone
    someone.leave()


def test_what_is_up_is_told_with_process_and_ports(person: Person) -> None:
    """`up` ends when all is ready; `status` tells the same; `down` names what it ended."""
    assert len(re.findall("down$", person.call("status", *FEW), re.MULTILINE)) == 2
    told = person.call("up", *FEW)
    status = person.call("status", *FEW)
    for name in FEW:
        row = rf"stack: {name} +ready, process \d+, \d+ MiB, 127\.0\.0\.1: http {person.ports[name]['http']}"
        assert re.search(row, told)
        assert re.search(row, status)
    assert person.call("down") == "stack: alertmanager ended\nstack: prometheus ended\n"
    assert person.call("down") == "stack: nothing of it runs\n"


def test_a_second_up_leaves_what_runs(person: Person) -> None:
    """Programs that run keep their process; one that was killed meanwhile is started again."""
    person.call("up", *FEW)
    before = _read_pids(person.call("status", *FEW))
    os.kill(before["alertmanager"], 9)
    after = _read_pids(person.call("up", *FEW))
    assert after["prometheus"] == before["prometheus"]
    assert after["alertmanager"] != before["alertmanager"]


def test_down_ends_nobody_elses(person: Person, instance: Instance) -> None:
    """The same program that somebody else started still runs after `down`."""
    instance.start("alertmanager")
    person.call("up", "alertmanager")
    person.call("down")
    assert instance.is_ready("alertmanager")


def test_up_that_fails_leaves_nothing_behind(person: Person) -> None:
    """When one program does not start, those that this call has started are ended, and the reason is told."""
    told = person.call("up", *FEW, expected=1, TASKSCOPE_ALERT_GROUP_WAIT="soon")
    assert "stack: alertmanager ended before it was ready" in told
    assert "soon" in told
    assert person.call("down") == "stack: nothing of it runs\n"


def test_up_names_who_has_a_port(person: Person) -> None:
    """A port in use is told in one line, with the process that holds it."""
    port = person.ports["alertmanager"]["http"]
    with closing(socket.create_server(("127.0.0.1", port))):
        told = person.call("up", *FEW, expected=1)
    assert told.startswith(f"stack: port {port} (alertmanager http) is in use by process {os.getpid()} (")
    assert len(told.splitlines()) == 1


def test_logs_are_the_last_lines_of_each_program(person: Person) -> None:
    """`logs` shows what a program wrote and where all of it stands."""
    person.call("up", "nats")
    told = person.call("logs", "nats", "--lines", "1").splitlines()
    assert told[0] == f"stack: nats: {person.data}/run/nats.log"
    assert len(told) == 2
    assert told[1].endswith("Server is ready")


def test_a_program_that_there_is_not_is_refused(person: Person) -> None:
    """A slip in a name is answered with the names that there are."""
    told = person.call("up", "prometeus", expected=1)
    assert told.startswith("stack: there is no program 'prometeus'; there are prometheus, loki, ")


def test_an_overlay_that_there_is_not_is_refused(person: Person) -> None:
    """A slip in the name of an overlay is told before anything is started."""
    told = person.call("up", "--overlay", "labtop", expected=1)
    assert told.startswith("stack: there is no overlay 'labtop': ")
    assert person.call("down") == "stack: nothing of it runs\n"


def _read_pids(status: str) -> dict[str, int]:
    return {
        name: int(pid) for name, pid in re.findall(r"^stack: (\w+) .*process (\d+),", status, re.MULTILINE)
    }
