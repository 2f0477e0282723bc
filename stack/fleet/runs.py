"""What the fleet knows of each run: what should come of it, and what the host's ledger says came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Expected:
    """What a scenario is made for."""

    outcome: str
    """As `taskscope history --json` has it; `running` of a task that is left open."""
    error_type: str | None = None
    cost_status: str = "no_llm_calls"
    llm_calls: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    micro_usd: int | None = None


@dataclass(slots=True)
class Run:
    """One run of one scenario."""

    scenario: str
    host: str
    service: str
    trace_id: str
    expected: Expected
    task_id: str | None = None
    """None of a foreign agent, which has spans but no ledger."""
    found: dict[str, Any] = field(default_factory=dict)
    """The task in the host's ledger."""

    @property
    def outcome(self) -> str:
        """How it ended, as the ledger has it; a foreign agent's is as it was told to end."""
        return str(self.found.get("outcome") or "running") if self.task_id else self.expected.outcome

    @property
    def is_as_expected(self) -> bool:
        """Whether the ledger says what the scenario is made for."""
        return self.task_id is None or self.seen == self.expected

    @property
    def seen(self) -> Expected:
        """What the ledger says, in the words of the expectation."""
        cost = self.found.get("cost") or {}
        return Expected(
            self.outcome,
            self.found.get("error_type"),
            cost.get("status", "no_llm_calls"),
            self.found.get("llm_calls", 0),
            self.found.get("input_tokens"),
            self.found.get("output_tokens"),
            cost.get("micro_usd"),
        )

    def shape(self) -> dict[str, Any]:
        """The run as an object of the manifest."""
        return {
            "scenario": self.scenario,
            "host": self.host,
            "service": self.service,
            "task_id": self.task_id,
            "trace_id": self.trace_id,
            "expected": asdict(self.expected),
            "seen": asdict(self.seen) if self.task_id else None,
        }
