"""What is asked for and what comes of it, as plain data for the command line, HTTP and tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """What a person asks for; what is left out is taken from the settings."""

    text: str
    repository: Path
    id: str | None = None
    """A new one is made where none is given."""
    kind: str = "repair"
    source: str = "cli"
    """cli, http, api, queue or background."""
    priority: int = 5
    model: str | None = None
    budget_usd: float | None = None
    timeout: float | None = None
    """Seconds."""
    python: Path | None = None
    test_command: tuple[str, ...] = ()
    in_place: bool = False
    tools: tuple[str, ...] = ()
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the live model calls of a task cost."""

    calls: int = 0
    """Live calls; those of a recording are not among them."""
    micro_usd: int = 0
    """Millionths of a US dollar, of the priced calls."""
    unpriced_calls: int = 0
    is_replayed: bool = False
    """Whether the model's answers came from a recording, which cost nothing now."""

    @property
    def status(self) -> str:
        """`no_llm_calls`, `replayed`, `known`, or `unknown` as soon as one call could not be priced."""
        if not self.calls:
            return "replayed" if self.is_replayed else "no_llm_calls"
        return "unknown" if self.unpriced_calls else "known"

    def as_json(self) -> dict[str, Any]:
        """Return `{micro_usd, status, unpriced_calls}`; the amount is null unless it is known."""
        amount = self.micro_usd if self.status == "known" else None
        return {"micro_usd": amount, "status": self.status, "unpriced_calls": self.unpriced_calls}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a task ended."""

    task_id: str
    trace_id: str
    """32 hex digits; all zeros when nothing is recorded."""
    outcome: str
    verification: str
    patch: Path | None
    """Absolute path of the patch; None when nothing changed or the edits are in place."""
    apply_to: Path
    """The folder in which `git apply` takes the patch."""
    findings: tuple[Mapping[str, Any], ...]
    """Each with rule, message, path, line, column."""
    error: Mapping[str, Any] | None
    """type, message, phase, step, hint."""
    cost: Cost
    started_at: datetime
    duration_s: float
    summary: str = ""
    files_changed: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the object that `run --json` prints; its shape is part of the public surface."""
        return {
            "task_id": self.task_id,
            "trace_id": self.trace_id,
            "outcome": self.outcome,
            "verification": self.verification,
            "patch": str(self.patch) if self.patch else None,
            "findings": [dict(finding) for finding in self.findings],
            "error": dict(self.error) if self.error else None,
            "cost": self.cost.as_json(),
            "duration_s": round(self.duration_s, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What the agent found and would do, nothing done yet."""

    findings: tuple[Mapping[str, Any], ...]
    steps: tuple[Mapping[str, Any], ...] = field(default=())
    """Each with kind, title, skill, and the finding that it treats."""
    untreated: tuple[Mapping[str, Any], ...] = ()
    """Findings for which no step is known."""
