"""What a check is, and the checks of our own: store, disk, settings, tools, and what the agent has to tell.

A check says what it found in words of ours. What it raises is a failure, and its message goes to the log,
never into an answer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from taskscope.errors import SettingsError, StoreError
from taskscope.store.damage import find_set_aside
from taskscope.store.database import open_database
from taskscope.store.mounts import find_network_type
from taskscope.telemetry import spans

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

Status: TypeAlias = Literal["pass", "warn", "fail"]

READY = ("ready",)
STARTUP = ("startup",)
READY_AND_STARTUP = ("ready", "startup")

FREE_BYTES_NEEDED = 1_000_000_000
"""What has to be free where the home lies."""

_VERSION = re.compile(r"\d+(?:\.\d+)+\S*")
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one run of a check found."""

    status: Status
    detail: str = ""
    """One line for a person; no secret, no text of a foreign exception."""


class Check(Protocol):
    """One question about this host that has an answer within its timeout."""

    @property
    def name(self) -> str:
        """What it is called in spans, metrics and answers."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Which probes it belongs to: live, ready, startup; the first one is its label in metrics."""

    @property
    def required(self) -> bool:
        """Whether nothing works without it."""

    @property
    def timeout(self) -> float:
        """Seconds after which no answer is a failure."""

    def run(self) -> CheckResult:
        """Look; on a thread of its own, and what it raises is a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCheck:
    """Asks something that is handed in: whether it is good, and a line about it; if not, it warns."""

    name: str
    probe: Callable[[], tuple[bool, str]]
    groups: tuple[str, ...] = READY
    required: bool = False
    timeout: float = _TIMEOUT_S

    def run(self) -> CheckResult:
        """Ask."""
        is_good, detail = self.probe()
        return CheckResult("pass" if is_good else "warn", detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck:
    """Whether the store answers `SELECT 1`, and whether this process's records reach it."""

    path: Path
    is_in_memory: Callable[[], bool] = lambda: False
    """Whether the recorder keeps records because it cannot write them."""
    is_disabled: bool = False
    name: str = "store"
    groups: tuple[str, ...] = READY_AND_STARTUP
    required: bool = True
    timeout: float = 6.0
    """A second more than SQLite waits for a lock."""

    def run(self) -> CheckResult:
        """Open, ask and close; a store that is not there yet is made, as by any writing command."""
        if self.is_disabled and not self.path.exists():
            return CheckResult("warn", "telemetry is disabled, and there is no store")
        try:
            with spans.database("SELECT", system="sqlite"), closing(self._open()) as connection:
                connection.execute("SELECT 1").fetchone()
        except StoreError as error:
            return CheckResult("fail", str(error))
        if self.is_in_memory():
            return CheckResult("warn", "it can be read but not written; telemetry waits in the journal")
        if kind := find_network_type(self.path.parent):
            return CheckResult(
                "warn", f"lies on a network file system ({kind}): set AGENT_HOME to a local folder"
            )
        if damaged := find_set_aside(self.path):
            return CheckResult(
                "warn", f"a damaged store was set aside: {damaged[-1]}; move it away when seen"
            )
        return CheckResult("pass", "answers")

    def _open(self) -> sqlite3.Connection:
        return open_database(self.path, create=not self.is_disabled)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCheck:
    """Whether more than 1 GB is free where the home lies."""

    home: Path
    needed_bytes: int = FREE_BYTES_NEEDED
    name: str = "disk"
    groups: tuple[str, ...] = READY_AND_STARTUP
    required: bool = True
    timeout: float = _TIMEOUT_S

    def run(self) -> CheckResult:
        """Ask the file system."""
        free = shutil.disk_usage(self.home).free
        detail = f"{free / 1e9:.1f} GB free"
        if free > self.needed_bytes:
            return CheckResult("pass", detail)
        return CheckResult("fail", f"{detail}, more than {self.needed_bytes / 1e9:g} GB is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsCheck:
    """Whether the settings, read again, are right, so that this service would start again."""

    load: Callable[[], tuple[str, ...]]
    """Returns warnings; SettingsError when the settings are wrong."""
    name: str = "config"
    groups: tuple[str, ...] = STARTUP
    required: bool = False
    timeout: float = _TIMEOUT_S

    def run(self) -> CheckResult:
        """Read them."""
        try:
            warnings = self.load()
        except SettingsError as error:
            return CheckResult("fail", f"wrong settings: {', '.join(error.violations)}")
        if warnings:
            return CheckResult("warn", "; ".join(warnings))
        return CheckResult("pass", "all settings are right")


@dataclass(slots=True, kw_only=True)
class ToolCheck:
    """Whether a program is there and tells its version; asked anew when its file changes."""

    name: str
    program: str
    required: bool = False
    groups: tuple[str, ...] = READY
    timeout: float = 10.0
    _known: dict[tuple[str, int], str] = field(default_factory=dict)

    def run(self) -> CheckResult:
        """Find it and ask it."""
        path = self._find()
        if path is None:
            status: Status = "fail" if self.required else "warn"
            return CheckResult(status, f"{self.program} is not installed")
        key = (path, os.stat(path).st_mtime_ns)  # noqa: PTH116  a path of PATH is text
        if key not in self._known:
            self._known = {key: self._ask(path)}
        return CheckResult("pass", f"{self.program} {self._known[key]}")

    def _find(self) -> str | None:
        """Return our own environment's program, as the agent takes it, else the one on PATH."""
        own = Path(sysconfig.get_path("scripts"), self.program)
        return str(own) if own.is_file() else shutil.which(self.program)

    def _ask(self, path: str) -> str:
        with spans.command(path) as span:
            child = subprocess.Popen(
                [path, "--version"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            try:
                text, _ = child.communicate(timeout=self.timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                span.finish(pid=child.pid, exit_code=None, is_timed_out=True)
                raise
            span.finish(pid=child.pid, exit_code=child.returncode)
        found = _VERSION.search(text)
        if child.returncode != 0 or found is None:
            msg = f"{self.program} --version ended with exit code {child.returncode}"
            raise RuntimeError(msg)
        return found[0]
