"""A real store, couriers to a real sink, and the sums held by an independent count."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from taskscope.config import load_host_settings
from taskscope.shipper.courier import Courier, Step
from taskscope.shipper.destinations import Destination, Endpoint, load_destinations
from taskscope.store.accounts import Accounts
from taskscope.store.database import open_database
from taskscope.store.delivery import Account, read_accounts
from taskscope.store.outbox import Outbox
from taskscope.store.session import StoreSession
from tests.taskscope.store.builders import make_log, make_span

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from taskscope.store.records import Record
    from tests.taskscope.otlp_sink import OtlpSink

NAME = "otlp"


class Host:
    """A store that a process writes, and what it sends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = StoreSession(path)
        self.made = {"traces": 0, "logs": 0}

    def write(self, *records: Record) -> None:
        self.session.write(records, Accounts())
        for record in records:
            self.made["traces" if hasattr(record, "span_id") and hasattr(record, "end_ns") else "logs"] += 1

    def spans(self, number: int, size: int = 0, name: str = "work") -> None:
        self.write(*(make_span(name, {"text": "x" * size} if size else None) for _ in range(number)))

    def logs(self, number: int) -> None:
        first = self.made["logs"]
        self.write(*(make_log(f"line {first + index}") for index in range(number)))

    def lose(self, number: int, reason: str = "queue_full") -> None:
        """Spans that never reached the store."""
        accounts = Accounts()
        accounts.dropped["traces", reason] += number
        self.session.write((), accounts)
        self.made["traces"] += number

    def open(self, *, read_only: bool = True) -> closing[sqlite3.Connection]:
        return closing(open_database(self.path, create=False, read_only=read_only))

    def account(self, signal: str = "traces", destination: str = NAME) -> Account:
        with self.open() as connection:
            accounts = read_accounts(connection)
        (found,) = (one for one in accounts if (one.signal, one.destination) == (signal, destination))
        return found

    def assert_balance(self, sink: OtlpSink | None, destination: str = NAME) -> None:
        """Nothing is anywhere but where the accounts say: counted here without them, by what arrived."""
        for signal, table, ids in (
            ("traces", "span", {span.span_id for span in sink.spans} if sink else set()),
            ("logs", "log", {log.SerializeToString() for log in sink.logs} if sink else set()),
        ):
            with self.open() as connection:
                accounts = read_accounts(connection)
                (found,) = (one for one in accounts if (one.signal, one.destination) == (signal, destination))
                stored = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  our own words
            dropped = sum(found.dropped.values())
            assert found.emitted == self.made[signal]
            assert found.delivered + dropped + found.pending == found.emitted
            assert found.quarantined <= found.pending <= stored
            assert found.delivered == len(ids)


def destination(sink_or_url: OtlpSink | str, name: str = NAME, **more: Any) -> Destination:
    """Where a sink listens, for all three signals."""
    url = sink_or_url if isinstance(sink_or_url, str) else sink_or_url.url
    endpoints = {
        signal: Endpoint(url=f"{url}/v1/{signal}", **{"timeout_s": 5.0, **more})
        for signal in ("traces", "logs", "metrics")
    }
    return Destination(name=name, endpoints=endpoints)


def courier(host: Host, where: Destination, **more: Any) -> Courier:
    made = Courier(where, Outbox(host.path, where.name), **more)
    made.begin()
    return made


def send_all(made: Courier, signals: Iterable[str] = ("traces", "logs")) -> list[Step]:
    """Step until nothing is left or nothing is taken; what each step of all signals was."""
    steps = []
    for signal in signals:
        step = Step.SENT
        while step is Step.SENT:
            step = made.step(signal)
            steps.append(step)
    return steps


def load(**environ: str) -> tuple[tuple[Destination, ...], tuple[str, ...]]:
    """Destinations out of variables, as a host program has them."""
    return load_destinations(load_host_settings(environ), environ)
