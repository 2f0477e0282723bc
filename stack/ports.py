"""The ports of the stack by name: those of `ports.toml`, or free ones for an instance of its own.

Instances that run at the same time, in other processes too, get different ports: each holds a lock on a block
of them. The blocks lie below the range from which Linux takes the ports of outgoing connections.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

from .errors import StackError
from .places import PORTS

HOST: Final = "127.0.0.1"

Ports = Mapping[str, Mapping[str, int]]
"""Port numbers by program and purpose: `ports["tempo"]["http"]`."""

_FIRST_BLOCK: Final = 15_000
_BLOCK: Final = 40
_BLOCKS: Final = 200


def load_ports(file: Path = PORTS) -> Ports:
    """The ports of a file: of ports.toml, or of the one that TASKSCOPE_STACK_PORTS names."""
    ports: dict[str, dict[str, int]] = tomllib.loads(file.read_text())
    return ports


class ReservedPorts:
    """As many free ports as ports.toml names, nobody else's until `release` or the end of this process."""

    def __init__(self) -> None:
        names = load_ports()
        first, self._lock = _reserve_block()
        numbers = iter(range(first, first + _BLOCK))
        self.ports: Ports = {
            program: {purpose: _next_free(numbers) for purpose in purposes}
            for program, purposes in names.items()
        }
        """The reserved ones."""

    def release(self) -> None:
        """Let others have them."""
        self._lock.close()


def is_free(port: int) -> bool:
    """Whether one could listen on a port of loopback; ports of connections that just ended count as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _reserve_block() -> tuple[int, IO[str]]:
    """The first port of a block that was nobody's, and the lock that keeps it ours while it is open."""
    folder = Path(tempfile.gettempdir()) / f"taskscope-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(_BLOCKS):
        first = _FIRST_BLOCK + number * _BLOCK
        lock = (folder / str(first)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return first, lock
    msg = f"no free block of ports: all {_BLOCKS} from {_FIRST_BLOCK} on are locked in {folder}"
    raise StackError(msg)


def _next_free(numbers: Iterator[int]) -> int:
    for number in numbers:
        if is_free(number):
            return number
    msg = f"{_BLOCK} ports are too few: others listen on most of them"
    raise StackError(msg)
