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

_REFUSED: Final = "search_memory"
"""Spans that the picky backend does not take: one of each task."""


class Fleet:
    """Two hosts that send to one address; open as a context manager, whose end ends what still runs.

    The ill host has two more destinations: a picky one, that refuses some records, and one where nobody
    listens. Its service loses git once its checks have passed.
    """

    def __init__(self, folder: Path, otlp_url: str, *, interval: float = 2.0, **settings: str) -> None:
        self.runs: list[Run] = []
        """What was done so far, in the order in which it ended."""
        self._open = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        prices = folder / "prices.yaml"
        prices.write_text(PRICES)
        picky = self._open.enter_context(OtlpSink(refuses=_is_refused))
        picky.fail(Fault("partial", rejected=1, paths=("/v1/logs",)))
        common = {
            "AGENT_PRICES_FILE": str(prices),
            "HEALTHCHECK_INTERVAL": "2s",
            "OTEL_METRIC_EXPORT_INTERVAL": str(round(interval * 1000)),
            **settings,
        }
        self.well = Host(
            "well", folder / "well", otlp_url, OTEL_SERVICE_NAME="agents", COST_CAP_DAILY="1.5", **common
        )
        destinations = f"picky={picky.url},away=http://127.0.0.1:9"
        self.ill = Host(
            "ill",
            folder / "ill",
            otlp_url,
            OTEL_SERVICE_NAME="nightly",
            TASKSCOPE_DESTINATIONS=destinations,
            **common,
        )
        self.hosts: Final = {host.name: host for host in (self.well, self.ill)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def serve(self) -> None:
        """Start both services, ask them something, and let the ill host's checks fail."""
        for host in self.hosts.values():
            url = host.serve()
            for page in ("/metrics", "/health", "/tasks", "/nowhere"):
                fetch(url + page)
        self.ill.take_git_away()

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


def _is_refused(record: Any) -> bool:
    return str(getattr(record, "name", "")).startswith(_REFUSED)
