"""Large stores: filled through the writing side of the store, with the bodies that the recorder writes.

    python -m benchmarks.loads.store fill HOME SPANS
    python -m benchmarks.loads.store cost HOME OTHER_HOME ROUNDS SPANS
    python -m benchmarks.loads.store query HOME TASK ROUNDS

A trace is a task of 100 spans, the last one of 1,000. `cost` writes the same to two stores by turns,
SPANS in a transaction.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans as names
from taskscope.store import wire
from taskscope.store.accounts import Accounts
from taskscope.store.decoding import decode_span
from taskscope.store.history import open_history
from taskscope.store.records import Source, SpanRecord
from taskscope.store.session import StoreSession

from ._answer import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SPANS_OF_TASK = 100
LARGE = 1000
_BATCH = 4096
"""Spans of a transaction, as many as the writer takes at most."""
_BRANCH = 9
"""Tools below each step."""
SOURCE = Source(
    wire.attributes(b"\x0a", {"service.name": "bench"}),
    wire.text(b"\x0a", "taskscope") + wire.text(b"\x12", "1"),
)
_STEP_NS = 1_000_000
_TOOL = {attr.GEN_AI_OPERATION_NAME: names.EXECUTE_TOOL, attr.GEN_AI_TOOL_NAME: "read"}


def main() -> None:
    """Do what is asked."""
    verb, *rest = sys.argv[1:]
    verbs: dict[str, Callable[..., None]] = {"fill": _fill, "cost": _compare_cost, "query": _time_query}
    verbs[verb](*rest)


def _store(home: str) -> Path:
    return Path(home) / "taskscope.db"


def _fill(home: str, spans: str) -> None:
    """Answer the large task's id, and how many tasks and bytes there are."""
    wanted, batch, tasks = int(spans) - LARGE, list[SpanRecord](), 0
    session = StoreSession(_store(home))
    probe = next(make_task(0, 3))
    if decode_span(probe.body, probe.source) != probe:
        sys.exit(f"made {probe}, but its body says {decode_span(probe.body, probe.source)}")
    for first in range(0, wanted, SPANS_OF_TASK):
        batch += make_task(tasks, min(SPANS_OF_TASK, wanted - first))
        tasks += 1
        if len(batch) >= _BATCH:
            session.write(batch, Accounts())
            batch = []
    session.write([*batch, *make_task(tasks, LARGE)], Accounts())
    session.close()
    answer(task=_task_id(tasks), tasks=tasks + 1, size_bytes=_store(home).stat().st_size)


def _compare_cost(home: str, other_home: str, rounds: str, spans: str) -> None:
    """Answer the CPU time of a span, decoding included, in each store, round by round."""
    sessions = [StoreSession(_store(home)), StoreSession(_store(other_home))]
    costs: list[list[float]] = [[], []]
    number, batch = 1 << 40, int(spans)
    for turn in range(-1, int(rounds)):  # the first one, of cold caches, does not count
        for position in (0, 1) if turn % 2 else (1, 0):
            cost = _time_write(sessions[position], number, batch)
            number += batch
            if turn >= 0:
                costs[position].append(cost)
    for session in sessions:
        session.close()
    answer(us=costs[0], other_us=costs[1])


def _time_write(session: StoreSession, number: int, batch: int) -> float:
    """Microseconds of CPU of a span, in four transactions: the log file is checkpointed in one of them."""
    bodies = [[span.body for span in make_task(number + turn, batch)] for turn in range(4)]
    began = time.process_time()
    for some in bodies:
        session.write([decode_span(body, SOURCE) for body in some], Accounts())
    return (time.process_time() - began) / (4 * batch) * 1e6


def _time_query(home: str, task: str, rounds: str) -> None:
    """Answer the milliseconds of reading one task's spans from the store, undecoded; warm."""
    took = []
    for _ in range(int(rounds) + 1):
        with closing(open_history(_store(home))) as history:
            trace = bytes.fromhex(history.find_task(task).trace_id)
            began = time.perf_counter()
            rows = history.connection.execute("SELECT body FROM span WHERE trace = ? ORDER BY seq", (trace,))
            found = len(rows.fetchall())
            took.append((time.perf_counter() - began) * 1e3)
        if found != LARGE:
            sys.exit(f"{found} spans of {LARGE} found")
    answer(ms=took[1:])


def _task_id(number: int) -> str:
    return f"t-{number:016X}"


def make_task(number: int, spans: int) -> Iterator[SpanRecord]:
    """Yield a task, its agent, steps and their tools, parents first; ids are random, as they come."""
    trace, task, agent = os.urandom(16), _span_id(), _span_id()
    start = time.time_ns() - spans * _STEP_NS
    stamps = {attr.TASK_ID: _task_id(number), attr.TASK_KIND: "repair"}
    outcome = {attr.TASK_OUTCOME: "succeeded", attr.TASK_VERIFICATION: "passed"}
    workflow = {attr.GEN_AI_OPERATION_NAME: names.INVOKE_WORKFLOW}
    yield _make_span("invoke_workflow repair", trace, task, None, start, {**workflow, **stamps, **outcome})
    role = {attr.GEN_AI_OPERATION_NAME: names.INVOKE_AGENT, attr.GEN_AI_AGENT_NAME: "coder"}
    yield _make_span("invoke_agent coder", trace, agent, task, start, {**role, **stamps})
    step = agent
    for index in range(spans - 2):
        began, span = start + index * _STEP_NS, _span_id()
        if index % (_BRANCH + 1) == 0:
            step = span
            facts = {attr.STEP_KIND: "edit", attr.STEP_INDEX: index % 100, attr.STEP_OUTCOME: "succeeded"}
            yield _make_span("step edit", trace, span, agent, began, {**facts, **stamps})
        else:
            facts = {**_TOOL, **stamps, "app.path": f"src/shop/orders_{index}.py"}
            yield _make_span("execute_tool read", trace, span, step, began, facts)


def _span_id() -> bytes:
    return os.urandom(8)


def _make_span(  # noqa: PLR0917  the fields of a span
    name: str, trace: bytes, span: bytes, parent: bytes | None, start_ns: int, facts: dict[str, object]
) -> SpanRecord:
    end_ns = start_ns + _STEP_NS
    body = b"".join((
        b"\x0a\x10", trace, b"\x12\x08", span, b"" if parent is None else b"\x22\x08" + parent,
        wire.text(b"\x2a", name), b"\x30\x01", wire.fixed64(b"\x39", start_ns), wire.fixed64(b"\x41", end_ns),
        wire.attributes(b"\x4a", facts), b"\x7a\x00\x85\x01\x00\x01\x00\x00",  # type: ignore[arg-type]
    ))  # fmt: skip
    known = {key: value for key, value in facts.items() if not key.startswith("app.")}
    return SpanRecord(
        trace, span, parent, name, 1, start_ns, end_ns, 0, "", known, body, SOURCE  # type: ignore[arg-type]
    )  # fmt: skip


if __name__ == "__main__":
    main()
