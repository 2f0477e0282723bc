"""Whole programs that record and send: what arrives, what does not, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from taskscope.shipper.once import ship_once
from taskscope.store.database import open_database
from taskscope.store.delivery import Account, read_accounts
from tests.taskscope.otlp_sink import Fault, OtlpSink

from .deliveries import Host, courier, destination

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse-battery-staple"
_PRELUDE = """
import logging, os, sys, threading, time
import taskscope
def task(number=0):
    return taskscope.task("answer")
"""


def run(program: str, home: Path, endpoint: str, *, returncode: int = 0, **environ: str) -> str:
    """Run it with warnings as errors; what it wrote to standard error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PRELUDE + program],
        env={
            **os.environ,
            "TASKSCOPE_HOME": str(home),
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_METRICS_EXPORTER": "none",
            "MY_TOKEN": SECRET,
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == returncode, done.stderr
    return done.stderr


def ship(home: Path, sink: OtlpSink) -> None:
    """Send what is left: how much a program itself could send before its end is a matter of time."""
    with closing(courier(Host(home / "taskscope.db"), destination(sink))) as rest:
        assert ship_once(home / "taskscope.db", rest).pending == 0


def accounts(home: Path) -> dict[tuple[str, str], Account]:
    with closing(open_database(home / "taskscope.db", create=False, read_only=True)) as connection:
        return {(one.signal, one.destination): one for one in read_accounts(connection)}


def _ways(found: dict[tuple[str, str], Account]) -> list[Account]:
    """What is said of spans to the backend."""
    return [account for (signal, way), account in found.items() if (signal, way) == ("traces", "otlp")]


def test_what_is_recorded_arrives_without_a_secret(tmp_path: Path, sink: OtlpSink) -> None:
    """Spans and log records, redacted, as many as were made; nothing of our own requests."""
    program = f"""
taskscope.configure()
with taskscope.task("answer"), taskscope.step("search"):
    from opentelemetry import trace
    trace.get_current_span().set_attribute("a", {SECRET!r})
    trace.get_current_span().add_event({SECRET!r}, {{"b": {SECRET!r}}})
assert taskscope.shutdown(60)
"""
    assert run(program, tmp_path, sink.url) == ""
    ship(tmp_path, sink)
    found = accounts(tmp_path)
    for signal, arrived in (("traces", sink.spans), ("logs", sink.logs)):
        account = found[signal, "otlp"]
        assert account.emitted == account.delivered + account.pending
        assert account.delivered == len({record.SerializeToString() for record in arrived})
    assert sorted({span.name for span in sink.spans}) == ["invoke_workflow answer", "step search"]
    raw = b"".join(one.message.SerializeToString() for one in sink.arrived)
    assert SECRET.encode() not in raw
    assert b"[redacted:known_value]" in raw


def test_what_one_program_left_the_next_one_sends(tmp_path: Path, sink: OtlpSink) -> None:
    """A backend that hangs holds the end of a program a moment, and costs it no record."""
    program = """
taskscope.configure()
with taskscope.task("answer"): pass
"""
    with OtlpSink() as hanging:
        hanging.fail(Fault("hang", times=20))
        run(program, tmp_path, hanging.url)
        assert hanging.spans == []
    first = accounts(tmp_path)
    assert first["traces", "store"].emitted == 1
    # On a slow machine the moment is over before the way to the destination has begun.
    assert all((way.delivered, way.pending) == (0, 1) for way in _ways(first))
    run(
        "taskscope.configure()\nwith taskscope.task('answer'): pass\ntaskscope.shutdown(60)",
        tmp_path,
        sink.url,
    )
    second = accounts(tmp_path)["traces", "otlp"]
    assert (second.emitted, second.delivered, second.pending) == (2, len(sink.spans), 2 - len(sink.spans))


def test_programs_that_end_beside_a_backend_that_hangs_do_not_pile_up(tmp_path: Path) -> None:
    """Only the first of them sends anything; all of it is kept."""
    with OtlpSink() as hanging:
        hanging.fail(Fault("hang", times=20))
        for _ in range(3):
            run("taskscope.configure()\nwith taskscope.task('answer'): pass", tmp_path, hanging.url)
        assert hanging.attempts <= 1
    found = accounts(tmp_path)
    assert found["traces", "store"].emitted == 3
    assert all((way.delivered, way.pending) == (0, 3) for way in _ways(found))


def test_nobody_there_is_one_line(tmp_path: Path) -> None:
    """A wrong address is told once on standard error, and the program goes its way."""
    program = """
taskscope.configure()
for number in range(3):
    with taskscope.task("answer"): pass
    assert taskscope.flush(60)
    time.sleep(0)
"""
    told = run(program, tmp_path, "http://127.0.0.1:9")
    assert told.count("\n") <= 1
    assert accounts(tmp_path)["traces", "store"].delivered == 3


def test_our_own_words_are_not_sent(tmp_path: Path, sink: OtlpSink) -> None:
    """Where `logging` goes into OpenTelemetry, the shipper's warning about a backend is not sent to it."""
    program = """
from opentelemetry.sdk._logs import LoggerProvider
from taskscope.bootstrap import build_runtime
from taskscope.config import load_settings
os.environ["AGENT_HOME"] = os.environ["TASKSCOPE_HOME"]
runtime = build_runtime(load_settings())
with taskscope.task("answer"): pass
assert runtime.recording.flush(60)
logging.getLogger("other").warning("theirs")
logging.getLogger("taskscope.shipper").warning("ours")
runtime.close(60)
"""
    run(program, tmp_path, sink.url)
    with closing(open_database(tmp_path / "taskscope.db", create=False, read_only=True)) as connection:
        bodies = b"".join(row[0] for row in connection.execute("SELECT body FROM log"))
    assert b"theirs" in bodies
    assert b"ours" not in bodies


def test_importing_is_nothing(tmp_path: Path) -> None:
    """`configure` with a destination starts no thread, opens no file and loads no ssl."""
    program = """
taskscope.configure()
assert threading.active_count() == 1
assert not os.path.exists(os.environ["TASKSCOPE_HOME"] + "/taskscope.db")
assert "ssl" not in sys.modules and "taskscope.shipper.http" not in sys.modules
"""
    run(program, tmp_path, "", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:9/v1/traces")


def test_who_has_no_proxy_loads_nothing_for_one(tmp_path: Path, sink: OtlpSink) -> None:
    """Whatever is loaded to send may be loaded while a program's end waits for it."""
    program = f"""
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
from taskscope.shipper.destinations import Endpoint
from taskscope.shipper.http import Client
url = {sink.url + "/v1/traces"!r}
headers = {{"Content-Type": "application/x-protobuf"}}
assert Client(Endpoint(url=url)).post(url, b"", headers, 60).status == 200
assert "urllib.request" not in sys.modules
"""
    run(program, tmp_path, sink.url)
