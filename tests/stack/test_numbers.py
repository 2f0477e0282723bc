"""One number has one source: tokens, cost and outcomes of both kinds of senders are in Prometheus once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from stack.fleet.agents import foreign
from stack.fleet.agents.foreign import CACHED, COST, INPUT, OUTPUT
from stack.fleet.host import kill
from taskscope.semconv import metrics
from tests.coding_agent.repositories import make_repository
from tests.providers import ScriptedProvider, call_tool, chat_completion

from .otlp import PATIENCE, ask, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from stack.instance import Instance
    from taskscope.semconv.metrics import Metric

CART: Final = "def total(prices):\n    return sum(prices) * 2\n"
TEST: Final = "from cart import total\n\n\ndef test_total():\n    assert total([1]) == 1\n"
# Right after the repair: the verification is where this one stays until it is killed.
STUCK: Final = """\
import pathlib
import time

from cart import total


def test_total():
    assert total([1]) == 1
    pathlib.Path({mark!r}).touch()
    time.sleep(300)
"""
MEND: Final = call_tool("edit_file", {"path": "cart.py", "old": " * 2", "new": "", "finding": 1})
GIVE_UP: Final = call_tool("give_up", {"reason": "which rate?"})
PRICES: Final = """\
prices:
  - {model: priced, input: 2.00, output: 10.00, cache_read: 0.50}
"""
MODEL_LABEL: Final = "gen_ai_request_model"
OUTCOME_LABEL: Final = "taskscope_task_outcome"


class Run(NamedTuple):
    """One task of our own agent, and what its provider says of it."""

    model: str
    input: int
    output: int
    cached: int
    does: Any = MEND
    is_killed: bool = False

    def answer(self) -> Any:
        usage = {
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input + self.output,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }
        return chat_completion(None, [self.does], model=self.model, usage=usage)


FIRST_HOST: Final = (
    Run("priced", 1200, 34, 200),
    Run("priced", 1500, 61, 0, is_killed=True),
    Run("nobodys", 900, 17, 100, GIVE_UP),
)
SECOND_HOST: Final = (Run("priced", 700, 29, 300), Run("nobodys", 800, 11, 0))
CREW: Final = (
    ("openinference", 3, "ended"),
    ("openinference", 1, "ended"),
    ("openinference", 2, "killed"),
    ("genai", 5, "ended"),
    ("genai", 4, "killed"),
)
"""Agents without Taskscope: dialect, calls and end of each."""
CREW_CALLS: Final = {"claude-9": 6, "gpt-5": 9}
"""By the models that these dialects name."""


class Host:
    """A machine with our agent: a store, a provider of its own, tasks one after the other."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "prices.yaml").write_text(PRICES)
        self.environment = {
            **os.environ,
            "AGENT_HOME": str(folder / "home"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OPENAI_API_KEY": "none",
            "TASKSCOPE_PRICES_FILE": str(folder / "prices.yaml"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }

    def begin(self, number: int, run: Run, provider: ScriptedProvider) -> subprocess.Popen[bytes]:
        mark = self.folder / f"mark-{number}"
        test = STUCK.format(mark=str(mark)) if run.is_killed else TEST
        shop = make_repository(self.folder / f"shop-{number}", {"cart.py": CART, "test_cart.py": test})
        return subprocess.Popen(
            [sys.executable, "-m", "taskscope", "run", "Make the total right.",
             "--repo", str(shop), "--model", f"openai:{run.model}", "--json"],
            env={**self.environment, "OPENAI_BASE_URL": provider.openai_url},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def work(self, runs: Iterable[Run]) -> list[str]:
        """Do the tasks; the outcome of each as its command tells it."""
        outcomes = []
        for number, run in enumerate(runs):
            with ScriptedProvider([run.answer()]) as provider:
                process = self.begin(number, run, provider)
                if run.is_killed:
                    self.kill(process, self.folder / f"mark-{number}")
                    outcomes.append("interrupted")
                else:
                    said, complaint = process.communicate(timeout=PATIENCE)
                    assert said, complaint.decode()
                    outcomes.append(json.loads(said)["outcome"])
                assert len(provider.received) == 1
        return outcomes

    def kill(self, process: subprocess.Popen[bytes], mark: Path) -> None:
        wait_for(mark.exists, expected=True)
        kill(process)
        process.communicate()

    def taskscope(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "taskscope", *arguments],
            env=self.environment,
            cwd=self.folder,
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )


def start_crew(endpoint: str) -> list[subprocess.Popen[bytes]]:
    return [
        subprocess.Popen(
            [sys.executable, foreign.__file__, dialect, "--calls", str(calls), "--end", end],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": "crew"},
            stdout=subprocess.DEVNULL,
        )
        for dialect, calls, end in CREW
    ]


class Series(NamedTuple):
    """A series of Prometheus, and the time of its last sample in seconds."""

    labels: dict[str, str]
    last_at: float


class Numbers:
    """What Prometheus holds of a metric, over all series that ever were."""

    def __init__(self, instance: Instance) -> None:
        self._url = instance.url("prometheus") + "/api/v1/query"

    def by(self, metric: Metric, label: str) -> dict[str, float]:
        """The sums that are not 0, by a label."""
        query = f"sum by ({label}) (last_over_time({metric.prometheus_name}[1h]))"
        found = {one["metric"].get(label, ""): float(one["value"][1]) for one in self._ask(query)}
        return {key: value for key, value in found.items() if value}

    def series(self, metric: Metric) -> Iterator[Series]:
        """Each series of a metric."""
        for one in self._ask(f"{metric.prometheus_name}[1h]"):
            last_at, _ = one["values"][-1]
            yield Series(one["metric"], last_at)

    def increase(self, series: Series) -> float:
        """What `increase()` says at the last sample of a series; 0 where it says nothing.

        There it is exact if the first sample is 0: it extrapolates from the last sample to the moment that is
        asked for, and from the first one back as long as that stays above 0. Asked later it may say twice.
        """
        name = series.labels["__name__"]
        for one in self._ask(f"increase({name}[1h] @ {series.last_at})"):
            if {**one["metric"], "__name__": name} == series.labels:
                return float(one["value"][1])
        return 0.0

    def _ask(self, query: str) -> list[dict[str, Any]]:
        return list(ask(self._url, query=query)["data"]["result"])


def sums(runs: Iterable[Run], field: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for run in runs:
        found[run.model] = found.get(run.model, 0.0) + getattr(run, field)
    return {model: value for model, value in found.items() if value}


RUNS: Final = (*FIRST_HOST, *SECOND_HOST)
EXPECTED: Final[Mapping[Metric, Mapping[str, float]]] = {
    metrics.USAGE_INPUT_TOKENS: sums(RUNS, "input") | {m: n * INPUT for m, n in CREW_CALLS.items()},
    metrics.USAGE_OUTPUT_TOKENS: sums(RUNS, "output") | {m: n * OUTPUT for m, n in CREW_CALLS.items()},
    metrics.USAGE_CACHE_READ_TOKENS: sums(RUNS, "cached") | {m: n * CACHED for m, n in CREW_CALLS.items()},
    # By the prices above; the last one by what its spans say.
    metrics.LLM_COST: {
        "priced": sum(
            (run.input - run.cached) * 2 + run.cached * 0.5 + run.output * 10
            for run in RUNS
            if run.model == "priced"
        ),
        "gpt-5": CREW_CALLS["gpt-5"] * COST,
    },
    metrics.LLM_UNPRICED_CALLS: {"nobodys": 2, "claude-9": CREW_CALLS["claude-9"]},
}
"""By model."""


@pytest.fixture
def pipeline(instance: Instance) -> Instance:
    instance.start("prometheus", "gateway", "agent")
    return instance


@pytest.fixture
def told(pipeline: Instance, tmp_path: Path) -> list[str]:
    """All of them have worked, and nothing is on its way; the outcomes of our own agent's tasks."""
    endpoint = pipeline.url("agent", "otlp_http")
    crew = start_crew(endpoint)
    hosts = Host(tmp_path / "first", endpoint), Host(tmp_path / "second", endpoint)
    told = hosts[0].work(FIRST_HOST) + hosts[1].work(SECOND_HOST)
    for process, (*_, end) in zip(crew, CREW, strict=True):
        assert process.wait(PATIENCE) == (-signal.SIGKILL if end == "killed" else 0)
    for host in hosts:
        # A program that ends waits 40 ms for an answer, which a busy machine may not give; what is left is
        # sent by whoever comes next.
        host.taskscope("ship", "--once")
    return told


def expect(look: Callable[[], dict[str, float]], expected: Mapping[str, float]) -> None:
    """Look again until it is so; more than that is never so."""
    deadline = time.monotonic() + PATIENCE
    while (seen := look()) != expected and time.monotonic() < deadline:
        assert all(value <= expected.get(key, 0) for key, value in seen.items()), seen
        time.sleep(0.2)
    assert seen == expected


def test_each_number_is_there_once(pipeline: Instance, told: list[str]) -> None:
    """Short-lived and killed senders of both kinds: all that they said and no more, by `increase()` too."""
    assert told == ["succeeded", "interrupted", "failed", "succeeded", "succeeded"]
    numbers = Numbers(pipeline)
    outcomes = {outcome: float(told.count(outcome)) for outcome in told}
    # Of the others three tasks ended: two do not say how, one says that it succeeded.
    outcomes |= {"": 2.0, "succeeded": outcomes["succeeded"] + 1}
    for metric, expected in EXPECTED.items():
        expect(partial(numbers.by, metric, MODEL_LABEL), expected)
    expect(partial(numbers.by, metrics.TASK_EXECUTIONS, OUTCOME_LABEL), outcomes)
    for metric, label, expected in [
        *((metric, MODEL_LABEL, expected) for metric, expected in EXPECTED.items()),
        (metrics.TASK_EXECUTIONS, OUTCOME_LABEL, outcomes),
    ]:
        increased: dict[str, float] = {}
        for series in numbers.series(metric):
            assert ("collector_instance_id" in series.labels) == (series.labels["job"] == "crew")
            if increase := numbers.increase(series):
                key = series.labels.get(label, "")
                increased[key] = increased.get(key, 0.0) + increase
        assert increased == expected
