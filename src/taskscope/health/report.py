"""What the monitor knows, as an answer: of one check, of a group, of all; and its shape as JSON.

The shape is that of `application/health+json` (an expired Internet draft of 2022: a form that tools know, no
standard). A pass tells no detail there; a required check that has not run yet is no pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checks import Status

MEDIA_TYPE = "application/health+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The latest run of one check."""

    name: str
    status: Status
    detail: str
    groups: tuple[str, ...]
    required: bool
    time_ns: int | None
    """When it ended; None before the first run."""
    duration_s: float
    consecutive_failures: int
    stuck_runs: int = 0
    """1 while a run that got no answer in time still holds its thread."""

    def as_json(self, *, whole: bool = False) -> dict[str, Any]:
        """Return the object of one check; a pass tells what it found only in a `whole` one (the draft)."""
        shape: dict[str, Any] = {
            "status": self.status,
            "time": None if self.time_ns is None else _iso_time(self.time_ns),
            "required": self.required,
            "groups": list(self.groups),
            "duration_s": round(self.duration_s, 6),
            "consecutive_failures": self.consecutive_failures,
            "stuck_runs": self.stuck_runs,
        }
        return shape if self.status == "pass" and not whole else {**shape, "output": self.detail}


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Some checks and what they say together."""

    checks: tuple[CheckReport, ...]
    note: str = ""
    """Why it fails whatever the checks say: an empty group, a service that ends."""

    @property
    def status(self) -> Status:
        """fail: a required check fails; warn: another one does, or one warns."""
        if self.note or any(check.required and check.status == "fail" for check in self.checks):
            return "fail"
        return "pass" if all(check.status == "pass" for check in self.checks) else "warn"

    def as_json(self, *, whole: bool = False) -> dict[str, Any]:
        """Return the object of `/health/*` and (whole) of `health --json`."""
        shape: dict[str, Any] = {"status": self.status}
        if self.note:
            shape["output"] = self.note
        return {**shape, "checks": {check.name: [check.as_json(whole=whole)] for check in self.checks}}


def _iso_time(time_ns: int) -> str:
    return (
        datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
