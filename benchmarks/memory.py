"""How much memory a process holds and ever held, of itself alone."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_PROCESSES = Path("/proc")
_RESIDENT = 1
"""The field of resident pages in `statm`."""


def resident_bytes() -> int:
    """What is resident of this process now; where there is no /proc, the most that ever was."""
    statm = _PROCESSES / "self" / "statm"
    if statm.exists():
        return int(statm.read_text().split()[_RESIDENT]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_bytes(pid: int | str | None = "self") -> int:
    """The most that was ever resident of a process; `ru_maxrss` goes on from the one that started it.

    Linux only: FileNotFoundError elsewhere, and for a process that is not there.
    """
    status = (_PROCESSES / str(pid) / "status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
