"""Stores filled by the real writer with spans, log lines and notes of fixed ids and times."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskscope.cli import main
from taskscope.semconv import attributes as attr
from taskscope.store import wire
from taskscope.store.database import open_database
from taskscope.store.ingest import Ingest
from taskscope.store.processes import ProcessLock, register_process
from taskscope.store.records import LogRecord, Source, SpanRecord, TaskNote

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

ROOT = Path(__file__).resolve().parents[3]
START_NS = 1_763_720_000_000_000_000
"""2025-11-21 10:13:20 UTC."""
SECOND = 1_000_000_000
TASK_ID = "t-01KAAAAAAA"
TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
ERROR = 2


def span_id(number: int) -> bytes:
    """The id of the span with this number."""
    return number.to_bytes(8, "big")


def make_span(
    number: int,
    name: str,
    parent: int | None,
    times: tuple[float, float | None],
    attributes: dict[str, Any] | None = None,
    *,
    kind: int = 1,
    status: int = 0,
    task_id: str = TASK_ID,
    trace: bytes = TRACE,
) -> SpanRecord:
    """A span; `times` are seconds after START_NS, None for one that is open."""
    start = START_NS + round(times[0] * SECOND)
    end = None if times[1] is None else START_NS + round(times[1] * SECOND)
    facts = {attr.TASK_ID: task_id, attr.TASK_KIND: "repair", **(attributes or {})}
    body = b"".join(
        (
            wire.sized(b"\x0a", trace),
            wire.sized(b"\x12", span_id(number)),
            b"" if parent is None else wire.sized(b"\x22", span_id(parent)),
            wire.text(b"\x2a", name),
            wire.counted(b"\x30", kind),
            wire.fixed64(b"\x39", start),
        )
    )
    if end is None:
        body += wire.attributes(b"\x4a", facts)
    else:
        body += wire.closing(end, status, "", facts)
    return SpanRecord(
        trace_id=trace,
        span_id=span_id(number),
        parent_id=None if parent is None else span_id(parent),
        name=name,
        kind=kind,
        start_ns=start,
        end_ns=end,
        status_code=status,
        status_message="",
        attributes=facts,
        body=body,
        source=Source(b"", b""),
    )


def make_task(times: tuple[float, float | None], outcome: str | None = None, **more: Any) -> SpanRecord:
    """The span of a task."""
    facts = {
        attr.GEN_AI_OPERATION_NAME: "invoke_workflow",
        attr.TASK_ATTEMPT: 1,
        attr.TASK_SOURCE: "cli",
        **more.pop("attributes", {}),
    }
    if outcome is not None:
        facts[attr.TASK_OUTCOME] = outcome
    return make_span(1, "invoke_workflow repair", None, times, facts, **more)


def make_repair(outcome: str = "succeeded", **task: Any) -> list[SpanRecord]:
    """The spans of a small task by rules: 10 s, of which pytest took 6.5 and ruff 0.1."""
    operation = attr.GEN_AI_OPERATION_NAME
    agent = {operation: "invoke_agent", attr.GEN_AI_AGENT_NAME: "coder"}
    pytest = {attr.PROCESS_EXECUTABLE_NAME: "python"}
    facts = {attr.TASK_VERIFICATION: "passed" if outcome == "succeeded" else "failed"}
    is_error = ERROR if outcome == "failed" else 0
    return [
        make_span(3, "search_memory", 2, (0.1, 0.102), {operation: "search_memory"}),
        make_span(4, "index codebase", 2, (0.2, 0.23), {attr.RETRIEVAL_INDEX: "codebase"}),
        make_span(6, "bm25 codebase", 5, (0.3, 0.301), {attr.RETRIEVAL_STAGE: "bm25"}),
        make_span(
            5, "retrieval codebase", 2, (0.3, 0.304), {operation: "retrieval", attr.RETRIEVAL_RESULTS: 8}
        ),
        make_span(
            9, "ruff", 8, (1.0, 1.1), {attr.PROCESS_EXECUTABLE_NAME: "ruff", attr.PROCESS_EXIT_CODE: 1}
        ),
        make_span(8, "execute_tool ruff", 7, (1.0, 1.2), {operation: "execute_tool"}),
        make_span(7, "step lint", 2, (1.0, 1.25), {attr.STEP_KIND: "lint"}),
        make_span(10, "plan coder", 2, (1.5, 1.52), {operation: "plan", attr.PLAN_STEP_COUNT: 1}),
        make_span(2, "invoke_agent coder", 1, (0.1, 2.0), agent),
        make_span(13, "python", 12, (2.2, 8.7), {**pytest, attr.PROCESS_EXIT_CODE: 0}, kind=3),
        make_span(12, "execute_tool pytest", 11, (2.1, 8.8), {operation: "execute_tool"}),
        make_span(11, "step verify", 1, (2.1, 9.0), {attr.STEP_KIND: "verify"}),
        make_task((0, 10), outcome, attributes=facts, status=is_error, **task),
    ]


def make_log(
    seconds: float, event: str | None, body: str, *, severity: tuple[int, str] = (9, "INFO"), **facts: Any
) -> LogRecord:
    """A log line of the task."""
    attributes = {attr.TASK_ID: TASK_ID, **facts}
    time_ns = START_NS + round(seconds * SECOND)
    encoded = b"".join(
        (
            wire.fixed64(b"\x09", time_ns),
            wire.counted(b"\x10", severity[0]),
            wire.text(b"\x1a", severity[1]),
            wire.sized(b"\x2a", wire.any_value(body)) if body else b"",
            wire.attributes(b"\x32", attributes),
            wire.sized(b"\x4a", TRACE),
            wire.text(b"\x62", event or ""),
        )
    )
    return LogRecord(time_ns, *severity, event, body, attributes, TRACE, None, Source(b"", b""), encoded)


@contextlib.contextmanager
def writing(home: Path) -> Iterator[Ingest]:
    """The writer of this process for the store below a home folder."""
    home.mkdir(parents=True, exist_ok=True)
    connection = open_database(home / "taskscope.db", create=True)
    lock = ProcessLock(home / "journal")
    try:
        yield Ingest(connection, register_process(connection, lock))
    finally:
        connection.close()
        lock.release()


def fill(home: Path, *records: SpanRecord | LogRecord | TaskNote) -> None:
    """Write records, as a process does that ends well."""
    with writing(home) as ingest:
        ingest.write(list(records))
        ingest.end_process(START_NS + 60 * SECOND)


def fill_and_die(home: Path) -> None:
    """Leave a task behind whose process was killed in the middle of the tests."""
    script = "from tests.taskscope.cli import stores; import sys; stores.die_in_the_middle(sys.argv[1])"
    died = subprocess.run([sys.executable, "-c", script, str(home)], cwd=ROOT, check=False)
    assert died.returncode == -signal.SIGKILL


def die_in_the_middle(home: str) -> None:
    """Be that process."""
    with writing(Path(home)) as ingest:
        ingest.write(make_begun())
        os.kill(os.getpid(), signal.SIGKILL)


def make_begun() -> list[Any]:
    """The records of a task that runs its tests now."""
    operation = attr.GEN_AI_OPERATION_NAME
    return [
        make_task((0, None)),
        TaskNote(TASK_ID, text="repair it", repository="/src/shop", model="rules"),
        make_span(2, "invoke_agent coder", 1, (0.1, None), {operation: "invoke_agent"}),
        make_span(3, "search_memory", 2, (0.1, 0.102), {operation: "search_memory"}),
        make_span(7, "step test", 2, (1.0, None), {attr.STEP_KIND: "test"}),
        make_span(8, "execute_tool pytest", 7, (1.0, None), {operation: "execute_tool"}),
        make_span(9, "python", 8, (1.1, None), {attr.PROCESS_EXECUTABLE_NAME: "python"}, kind=3),
    ]


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run a command in this process, hold its exit code, and return what it printed."""
    assert main(arguments) == code
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    """Run a command that fails: nothing on standard output; return its one line on standard error."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("taskscope: ")
    return err.removeprefix("taskscope: ").rstrip("\n")


def run_taskscope(
    *arguments: str, home: Path, cwd: Path | None = None, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command as a whole process, with a home of its own."""
    return subprocess.run(
        [sys.executable, "-m", "taskscope", *arguments],
        env={**os.environ, "AGENT_HOME": str(home), **more.pop("env", {})},
        cwd=cwd or home.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **more,
    )
