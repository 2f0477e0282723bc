"""What a person does with the stack: up, down, status, logs. Each prints a line for each program."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from .addresses import build_environment
from .errors import StackError
from .instance import USUAL, Instance
from .places import DATA
from .ports import load_ports
from .programs import PROGRAMS, find_collector_configs

_OURS: Final = "TASKSCOPE_"
_MIB: Final = 1024


def up(names: Sequence[str], overlay: str | None) -> None:
    """Start what does not run yet, wait until all is ready; when that fails, end what this call started."""
    names = names or _usual(overlay)
    with _opened(overlay) as instance:
        before = [name for name in PROGRAMS if instance.is_running(name)]
        began = time.monotonic()
        try:
            instance.start(*names)
        except BaseException:
            instance.stop(*(name for name in PROGRAMS if name not in before))
            raise
        _say(f"ready after {time.monotonic() - began:.1f} s; data, logs and process ids are in {DATA}")
        _print_status(instance, names)


def down(names: Sequence[str]) -> None:
    """End what `up` started, whoever called it, and nothing else; the data stays."""
    with _opened() as instance:
        ended = instance.stop(*(names or PROGRAMS))
        for name, was_killed in ended.items():
            _say(f"{name} ended" + (" by SIGKILL, for it did not in time by itself" if was_killed else ""))
        if not ended:
            _say("nothing of it runs")


def status(names: Sequence[str]) -> None:
    """Tell of each program whether it runs and is ready, its process, its memory and its address."""
    instance = Instance(DATA, load_ports())
    running = {name for name in PROGRAMS if instance.is_running(name)}
    _print_status(instance, names or [name for name in PROGRAMS if name in running | set(USUAL)])


def logs(names: Sequence[str], lines: int) -> None:
    """Print the last lines that each program wrote."""
    instance = Instance(DATA, load_ports())
    for name in names or [name for name in PROGRAMS if instance.log(name).exists()]:
        _say(f"{name}: {instance.log(name)}")
        if written := instance.processes[name].read_log_end(lines):
            sys.stdout.write(f"{written}\n")


def _usual(overlay: str | None) -> list[str]:
    """The laptop overlay makes one process of both tiers."""
    return [name for name in USUAL if not (overlay == "laptop" and name == "agent")]


@contextlib.contextmanager
def _opened(overlay: str | None = None) -> Iterator[Instance]:
    """The person's instance, with nobody else starting or ending programs in it meanwhile."""
    DATA.mkdir(parents=True, exist_ok=True)
    configs = {"gateway": _find_overlaid(overlay)} if overlay else {}
    with (DATA / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Instance(DATA, load_ports(), configs=configs, environment=_read_own())


def _find_overlaid(overlay: str) -> tuple[Path, ...]:
    configs = find_collector_configs("gateway", overlay)
    if not configs[-1].exists():
        msg = f"there is no overlay {overlay!r}: {configs[-1]} does not exist"
        raise StackError(msg)
    return configs


def _read_own() -> dict[str, str]:
    """The person's own settings, as for an overlay; addresses are those of ports.toml all the same."""
    settled = build_environment(load_ports(), DATA)
    own = {
        name: value for name, value in os.environ.items() if name.startswith(_OURS) and name not in settled
    }
    if "TASKSCOPE_ALERT_WEBHOOK" in own:
        own.setdefault("TASKSCOPE_ALERT_RECEIVER", "webhook")
    return own


def _print_status(instance: Instance, names: Sequence[str]) -> None:
    for name in names:
        pid = instance.processes[name].pid
        if pid is None:
            _say(f"{name:<12} down")
            continue
        state = "ready" if instance.is_ready(name) else "runs, but is not ready"
        addresses = ", ".join(f"{purpose} {port}" for purpose, port in instance.ports[name].items())
        _say(f"{name:<12} {state}, process {pid}, {_read_mib(pid)} MiB, 127.0.0.1: {addresses}")


def _read_mib(pid: int) -> int:
    """The memory that a process holds; 0 when it has just ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) // _MIB
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"stack: {line}\n")
    sys.stdout.flush()
