"""The fleet: two hosts with their services, one well and one ill, and what is made to happen on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tests.taskscope.otlp_sink import Fault, OtlpSink

from .host import Host, fetch
from .models import PRICES
from .scenarios import STANDARD, Scenario

if TYPE_CHECKING:
    from .runs import Run

_DOWN: Final = Fault(status=503, headers={"Retry-After": "1"}, times=10_000)
"""A backend that is down, until its faults are taken away."""
_REFUSED: Final = "search_memory"
"""Spans that the picky backend does not take: one of each task."""


class Fleet:
    """Two hosts that send to one address; open as a context manager, whose end ends what still runs.

    The ill host has two more destinations, and falls ill when it is told to: `picky` then refuses some
    records, `away` does not take any, and its service does not find git.
    """

    def __init__(self, folder: Path, otlp_url: str, *, interval: float = 2.0, **settings: str) -> None:
        self.runs: list[Run] = []
        """What was done so far, in the order in which it ended."""
        self._open = ExitStack()
        self._folder = folder
        self._otlp_url = otlp_url
        folder.mkdir(parents=True, exist_ok=True)
        prices = folder / "prices.yaml"
        prices.write_text(PRICES)
        self._is_ill = False
        self._picky = self._open.enter_context(OtlpSink(refuses=self._is_refused))
        self._away = self._open.enter_context(OtlpSink())
        self._common = {
            "AGENT_PRICES_FILE": str(prices),
            "HEALTHCHECK_INTERVAL": "2s",
            "OTEL_METRIC_EXPORT_INTERVAL": str(round(interval * 1000)),
            **settings,
        }
        self.hosts: Final[dict[str, Host]] = {}
        self.well = self.add_host("well", OTEL_SERVICE_NAME="agents", COST_CAP_DAILY="1")
        destinations = f"picky={self._picky.url},away={self._away.url}"
        self.ill = self.add_host("ill", OTEL_SERVICE_NAME="nightly", TASKSCOPE_DESTINATIONS=destinations)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def add_host(self, name: str, **settings: str) -> Host:
        """One host more."""
        self.hosts[name] = Host(name, self._folder / name, self._otlp_url, **self._common, **settings)
        return self.hosts[name]

    def serve(self) -> None:
        """Start both services, and ask them something."""
        for host in (self.well, self.ill):
            url = host.serve()
            for page in ("/metrics", "/health", "/tasks", "/nowhere"):
                fetch(url + page)

    def fall_ill(self) -> None:
        """Let the ill host's checks fail, and those to whom it sends refuse what it has."""
        self._is_ill = True
        self._picky.fail(Fault("partial", rejected=1, paths=("/v1/logs",)))
        self._away.fail(_DOWN)
        self.ill.take_git_away()

    def recover(self) -> None:
        """Put right what went wrong on both hosts, as the runbook says."""
        self._is_ill = False
        self._picky.forgive()
        self._away.forgive()
        self.ill.give_git_back()
        self.ill.end_tasks()
        self.ill.call("records", "--retry")
        self.well.close()
        self.well.environment["COST_CAP_DAILY"] = "100"
        self.well.serve()

    def fill(
        self,
        scenarios: Iterable[Scenario] = STANDARD,
        *,
        copies: int = 1,
        tell: Callable[[Run], None] = lambda _run: None,
    ) -> list[Run]:
        """Do the scenarios, both hosts at a time, each its own in their order; what the ledgers say."""
        chosen = [scenario for scenario in scenarios for _ in range(copies)]
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            work = [
                pool.submit(self._fill_host, host, [one for one in chosen if one.host == host.name], tell)
                for host in self.hosts.values()
            ]
        done = [run for one in work for run in one.result()]
        self.runs += done
        return done

    def manifest(self) -> dict[str, Any]:
        """What was done and what should come of it, for proofs to read."""
        return {
            "hosts": {
                name: {"home": host.environment["AGENT_HOME"], "service": host.service}
                for name, host in self.hosts.items()
            },
            "runs": [run.shape() for run in self.runs],
        }

    def close(self) -> None:
        """End what still runs, and send what is left."""
        for host in self.hosts.values():
            host.close()
            host.ship()
        self._open.close()

    def _fill_host(self, host: Host, scenarios: Iterable[Scenario], tell: Callable[[Run], None]) -> list[Run]:
        done: list[Run] = []
        for scenario in scenarios:
            runs = scenario.act(host)
            ledger = {task["task_id"]: task for task in host.find_tasks()}
            for run in runs:
                run.found = ledger.get(run.task_id or "", {})
                tell(run)
            done += runs
        return done

    def _is_refused(self, record: Any) -> bool:
        return self._is_ill and str(getattr(record, "name", "")).startswith(_REFUSED)
