"""Who listens on a port: read from /proc, which needs no root for processes of one's own."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS: Final = "0A"
_SHOWN: Final = 120
"""Characters of a command line."""


def describe_holder(port: int) -> str:
    """Who listens on a port, such as `process 4711 (nginx -g daemon off;)`, as far as one may see."""
    sockets = _listening_sockets(port)
    for process in Path("/proc").glob("[0-9]*"):
        if _holds(process, sockets):
            return f"process {process.name} ({_read_command(process)})"
    owners = ", ".join(sorted(set(sockets.values())))
    return (
        f"a process of the user with id {owners}, which only that user or root may see"
        if owners
        else "nobody"
    )


def _listening_sockets(port: int) -> dict[str, str]:
    """The owners' user ids by socket, as `socket:[inode]`."""
    found = {}
    for table in _TABLES:
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            # number, local HEX:PORT, remote, state, queues, timer, retransmits, user, timeout, inode
            fields = line.split()
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                found[f"socket:[{fields[9]}]"] = fields[7]
    return found


def _holds(process: Path, sockets: dict[str, str]) -> bool:
    try:
        for handle in (process / "fd").iterdir():
            try:
                if str(handle.readlink()) in sockets:
                    return True
            except FileNotFoundError:
                continue
    except OSError:
        return False  # it ended, or is somebody else's
    return False


def _read_command(process: Path) -> str:
    """Its command line, in one line that can be read."""
    try:
        words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
    except OSError:
        return "?"
    return textwrap.shorten(" ".join(words), _SHOWN, placeholder=" …")
