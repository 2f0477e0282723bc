"""Ports: each has one owner, and instances do not get each other's."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from stack.addresses import build_environment
from stack.holders import describe_holder
from stack.places import ROOT, STACK
from stack.ports import HOST, ReservedPorts, is_free, load_ports
from stack.rendering import render

if TYPE_CHECKING:
    from pathlib import Path

CONFIGS = [
    path
    for folder in (ROOT / "stack", ROOT / "collector")
    for path in sorted(folder.rglob("*.yaml"))
    if path.name != "builder.yaml"
]
_DEFAULT = re.compile(r"\$\{(?:env:)?(TASKSCOPE_[A-Z_]+):-([^}]*)\}")


def test_no_port_has_two_owners() -> None:
    """Each number of ports.toml stands there once."""
    numbers = [port for purposes in load_ports(STACK / "ports.toml").values() for port in purposes.values()]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_defaults_of_configurations_are_the_ports_of_the_file(path: Path) -> None:
    """An address that a configuration has for the case that nobody names one is that of ports.toml."""
    folders = ("_DATA", "_QUEUE", "_RULES")
    wanted = build_environment(load_ports(STACK / "ports.toml"), ROOT)
    for name, default in _DEFAULT.findall(path.read_text()):
        if name in wanted and not name.endswith(folders):
            assert (name, default) == (name, wanted[name])


def test_a_rendered_configuration_names_the_ports_of_its_instance() -> None:
    """Of Prometheus' targets none stays at its default when an instance has other ports."""
    reserved = ReservedPorts()
    template = (ROOT / "stack" / "prometheus.yaml").read_text()
    usual = set(re.findall(r"127\.0\.0\.1:\d+", render(template, {})))
    own = set(re.findall(r"127\.0\.0\.1:\d+", render(template, build_environment(reserved.ports, ROOT))))
    reserved.release()
    assert len(usual) == len(own)
    assert not usual & own


def test_two_instances_share_no_port() -> None:
    """What one reserved the other does not get, and what was released can be had again."""
    one, other = ReservedPorts(), ReservedPorts()
    taken, others = _numbers(one), _numbers(other)
    one.release()
    other.release()
    assert not taken & others
    again = ReservedPorts()
    again.release()
    assert _numbers(again) & (taken | others)


def test_a_port_on_which_somebody_listens_is_not_reserved() -> None:
    """Ports of a free block that a stranger took are left out."""
    first = ReservedPorts()
    wanted = min(_numbers(first))
    first.release()
    with closing(socket.create_server((HOST, wanted))):
        assert not is_free(wanted)
        second = ReservedPorts()
        second.release()
    assert wanted not in _numbers(second)


def test_the_holder_of_a_port_is_named_with_its_command() -> None:
    """Who listens is told by process and command line; a port without a listener has no holder."""
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1]); input()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        port = int(holder.stdout.readline())
        told = describe_holder(port)
        holder.communicate("\n", timeout=60)
    assert told.startswith(f"process {holder.pid} ({sys.executable} -u -c import socket; s = ")
    assert len(told.splitlines()) == 1
    assert describe_holder(port) == "nobody"


def _numbers(reserved: ReservedPorts) -> set[int]:
    return {port for purposes in reserved.ports.values() for port in purposes.values()}
