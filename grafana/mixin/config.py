"""Every threshold and every window, once: with its unit, and why it is that one.

Alerts and dashboards take them from here. Another team changes a number here and builds anew
(`python -m grafana.build`); the unit tests of the rules then say which promise changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is too much; an alert fires from the limit on, unless its docstring says "above"."""

    tasks_failed: int = 3
    """Tasks. One failure is a hard task, two are chance; three of a kind within a window are a pattern."""
    tasks_failed_share: float = 0.5
    """Share of the tasks that ended. An agent that repairs most of what it gets is at work, not broken."""
    tasks_failed_in_a_row: int = 3
    """Tasks. Counted by the host itself over any time, for agents that run once a day."""
    tasks_interrupted: int = 1
    """Tasks. A process that died is never normal: memory, a kill, a crash of the machine."""
    cap_near: float = 0.8
    """Share of the daily cap; leaves a fifth to decide with."""
    cap_reached: float = 1.0
    """Share of the daily cap: from here on no live call is made."""
    cap_forecast: float = 1.0
    """Share of the daily cap that the day ends above, if the last hour goes on."""
    cap_forecast_from: float = 0.25
    """Share of the daily cap; below it a forecast of a young day is noise."""
    unpriced_calls: int = 1
    """Calls. One is enough: each makes the sums of cost too low, and the cap blind."""
    llm_failed: int = 5
    """Calls. Providers fail now and then; fewer say nothing about a share."""
    llm_failed_share: float = 0.1
    """Share of the calls, after the client's own retries."""
    llm_rate_limited: int = 3
    """Calls that ended with HTTP 429 although the client waited and repeated them."""
    llm_retries: int = 10
    """Repeated requests: the provider is slow or limits, before calls fail."""
    retrieval_p95_s: float = 2.56
    """Seconds, above. A bound of the histogram, so that the quantile on either side of it is exact. Local
    retrieval takes milliseconds; an API that embeds the question takes less than a second."""
    retrievals: int = 10
    """Retrievals without which the 95th percentile is one slow search."""
    health_failing: int = 1
    """Checks."""
    records_dropped: int = 1
    """Records. Nothing is dropped in normal work; what expired is not counted here."""
    internal_errors: int = 1
    """Errors of ours; 0 is the only good value."""
    records_quarantined: int = 1
    """Records that a backend refused and that wait for a person."""
    store_share: float = 0.95
    """Share of the store's limit. Retention keeps the records below 0.9; the log of SQLite comes on top."""
    collector_refused: int = 1
    """Items. Senders repeat them, so that it is no loss yet."""
    collector_dropped: int = 1
    """Items. Nobody repeats them."""
    collector_queue_share: float = 0.5
    """Share of a queue's capacity: half of the outage that it can bridge is over."""
    deltas_failed: int = 1
    """Points of derived metrics that were not added: a sum is too low from then on."""
    sampling_lost: int = 1
    """Traces that were dropped before the sampler had decided on them. Nobody repeats them."""
    sampling_waiting: int = 80_000
    """Traces that wait for their decision: four fifths of `num_traces` in collector/overlays/scale.yaml, from
    which on senders wait."""
    prometheus_lost: int = 1
    """Samples, or writes of many of them, that Prometheus did not keep."""
    tempo_flushes_failed: int = 1
    """Tries of Tempo to write a block; a later one may succeed, or may not."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How long, in seconds; `scaled` shortens all of them for a proof."""

    interval_s: float = 30.0
    """Between two evaluations: half of the minute in which hosts send."""
    tasks_s: float = 900.0
    """Over which tasks are counted: a few tasks of ten minutes, or many short ones."""
    task_silence_s: float = 900.0
    """An open task that said nothing: three times the time limit of one command (`command_timeout`)."""
    failures_held_s: float = 3600.0
    """How long the last word of a host that ended counts: an agent that runs each hour stays seen."""
    cost_s: float = 3600.0
    """Over which cost is projected and unpriced calls are counted."""
    forecast_for_s: float = 900.0
    """A burst of a few minutes is no forecast."""
    calls_s: float = 900.0
    """Over which calls of models are counted: longer than a provider's usual hiccup."""
    retrieval_s: float = 900.0
    """Over which retrievals are measured."""
    health_for_s: float = 120.0
    """Two of the minutes in which hosts send: four runs of a check at its usual interval."""
    loss_s: float = 900.0
    """Over which losses and errors of the telemetry are counted."""
    pending_age_s: float = 900.0
    """The oldest record that waits. Above the ten minutes that a backend may ask for by `Retry-After`."""
    store_for_s: float = 600.0
    """Retention works every few seconds; what it cannot do in ten minutes it cannot do."""
    host_silence_s: float = 600.0
    """Ten sendings missed."""
    host_forgotten_s: float = 7200.0
    """After that a host that fell silent is history."""
    collector_s: float = 300.0
    """Over which refusals and drops are counted: twenty scrapes and more."""
    collector_refused_for_s: float = 120.0
    """A burst that is refused once and repeated is the design at work."""
    collector_queue_for_s: float = 60.0
    """Longer than one large batch takes to leave."""
    sampling_for_s: float = 60.0
    """A burst is over when its traces are decided, half a minute later."""
    not_storing_s: float = 180.0
    """Without a sample of its own, of which there is one each five seconds, and then as long again."""
    backend_for_s: float = 60.0
    """A restart takes less."""
    memory_s: float = 86_400.0
    """How far back a counter's last value is looked for: a host that was off for a night is no new host."""

    def scaled(self, factor: float) -> Windows:
        """The same windows, all longer or shorter by a factor."""
        return replace(self, **{own.name: getattr(self, own.name) * factor for own in fields(self)})


@dataclass(frozen=True, slots=True)
class Marks:
    """Where a panel changes its colour without an alert."""

    tasks_failed_in_a_row: int = 1
    """Tasks. One failure is worth a look, not a call at night."""
    tasks_failed_share: float = 0.25
    """Share of the tasks that ended: half of what fires."""
    records_unaccounted: int = 1
    """Records. The sums of the accounting are exact: any gap is a fault of ours."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the generators are called with."""

    limits: Limits = field(default_factory=Limits)
    windows: Windows = field(default_factory=Windows)
    marks: Marks = field(default_factory=Marks)


CONFIG: Final = Config()
"""What is built and committed."""
RUNBOOK: Final = "docs/runbook.md"
"""Where each alert has a section of its own name."""
