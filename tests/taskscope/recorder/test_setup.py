from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.resources import Resource

from taskscope.config import load_host_settings
from taskscope.recorder.setup import _make_resource
from taskscope.semconv import events
from taskscope.store.aggregates import read_aggregates
from taskscope.store.database import open_database
from taskscope.store.history import open_history
from taskscope.version import VERSION
from tests.taskscope.store.builders import values_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PRELUDE = """
import os, sys, threading
from pathlib import Path
from taskscope.config import load_host_settings
from taskscope.redaction import Redactor
from taskscope.recorder.setup import install
from opentelemetry import trace
HOME = Path(os.environ["TASKSCOPE_HOME"])
REDACTOR = Redactor(["correct-horse-battery-staple"])
def start(): return install(load_host_settings(), REDACTOR)
def task(number=0):
    facts = {"gen_ai.operation.name": "invoke_workflow", "taskscope.task.id": f"t-{os.getpid()}-{number}",
        "taskscope.task.kind": "repair", "taskscope.task.outcome": "succeeded"}
    return trace.get_tracer("program").start_as_current_span("invoke_workflow repair", attributes=facts)
def tool(): return trace.get_tracer("program").start_as_current_span("execute_tool x",
    attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "x"})
"""


def _run(program: str, home: Path, *, returncode: int = 0, environ: Mapping[str, str] | None = None) -> str:
    process = _start(program, home, environ)
    out, errors = process.communicate()
    assert process.returncode == returncode, errors
    return out


def _start(program: str, home: Path, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TASKSCOPE_"))}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _PRELUDE + program],
        env={**clean, "TASKSCOPE_HOME": str(home), **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _count(home: Path, table: str) -> int:
    with closing(open_database(home / "taskscope.db", create=False, read_only=True)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  our own words


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_importing_loads_no_sdk(home: Path) -> None:
    """Nor does it open a file or start a thread; the recorder's own rooms are light."""
    program = """
import taskscope.recorder.recording, taskscope.recorder.writer
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "google.protobuf"))]
assert threading.active_count() == 1 and not HOME.exists()
"""
    _run(program, home)


def test_nothing_happens_before_the_first_record(home: Path) -> None:
    """`install` twice is `install` once, without file and thread; the first span brings both."""
    program = """
threads = []
threading.setprofile(lambda frame, event, argument: threads.append(threading.current_thread()))
recording = start()
assert start() is recording
assert not threads and threading.active_count() == 1 and not HOME.exists()
threading.setprofile(None)
with tool(): pass
assert recording.flush(30) and not recording.is_in_memory
names = sorted(path.name for path in HOME.iterdir() if "-" not in path.name)
assert names == ["journal", "taskscope.db", "taskscope.db.lock"]
assert [thread.name for thread in threading.enumerate()][1:] == ["taskscope-writer"]
assert recording.shutdown(30) and threading.active_count() == 1
assert not list((HOME / "journal").iterdir())
"""
    _run(program, home)
    assert _count(home, "span") == 1


@pytest.mark.parametrize(
    "said, name",
    [
        ({}, "unknown_service:python"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=x%20y,broken,telemetry.sdk.name=own,service.name=till"}, "till"),
        ({"OTEL_SERVICE_NAME": "shop", "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=i-1"}, "shop"),
        ({"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process,os"}, "unknown_service:python"),
    ],
)
def test_the_resource_is_upstreams(monkeypatch: pytest.MonkeyPatch, said: dict[str, str], name: str) -> None:
    """However it is put together: what the SDK itself would make of our attributes and this environment."""
    for variable, value in said.items():
        monkeypatch.setenv(variable, value)
    made = _make_resource(load_host_settings())
    ours = {"telemetry.distro.name": "taskscope", "telemetry.distro.version": VERSION, "service.name": name}
    assert made == Resource.create(ours)
    assert ours.items() <= dict(made.attributes).items()


def test_a_loss_is_told_by_the_process_that_had_it(home: Path) -> None:
    """A record that no table takes is told of by an event of the process's own resource."""
    program = """
import sqlite3
recording = start()
with tool(): pass
assert recording.flush(30)
other = sqlite3.connect(HOME / "taskscope.db", isolation_level=None)
other.execute("CREATE TRIGGER fault BEFORE INSERT ON span BEGIN SELECT raise(ABORT, 'no'); END")
with tool(): pass
assert not recording.flush(30) and recording.shutdown(30)
"""
    _run(program, home, environ={"OTEL_SERVICE_NAME": "night-shift"})
    with closing(open_database(home / "taskscope.db", create=False, read_only=True)) as connection:
        rows = connection.execute(
            "SELECT event, resource FROM log JOIN source ON source.id = source"
        ).fetchall()
    ((event, resource),) = rows
    assert event == events.RECORDS_DROPPED
    assert b"night-shift" in resource


@pytest.mark.parametrize("name", ["TASKSCOPE_DISABLED", "OTEL_SDK_DISABLED"])
def test_disabled_is_nothing_at_all(home: Path, name: str) -> None:
    """No provider is set, no SDK loaded, and the recording's own methods are harmless."""
    program = """
recording = start()
with task(): pass
assert recording.is_disabled and recording.flush(0) and recording.shutdown(0)
assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
assert not HOME.exists()
"""
    _run(program, home, environ={name: "true"})


def test_a_hosts_own_provider_is_joined(home: Path) -> None:
    """Its spans go on to its own processor too, and its sampler and resource count."""
    program = """
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
seen = InMemorySpanExporter()
provider = TracerProvider(resource=Resource.create({"service.name": "host"}))
provider.add_span_processor(SimpleSpanProcessor(seen))
trace.set_tracer_provider(provider)
recording = start()
assert trace.get_tracer_provider() is provider
with task():
    with tool(): pass
assert recording.flush(30)
assert len(seen.get_finished_spans()) == 2
"""
    _run(program, home)
    assert _count(home, "span") == 2
    with closing(open_database(home / "taskscope.db", create=False)) as connection:
        assert b"host" in connection.execute("SELECT resource FROM source").fetchone()[0]


def test_without_a_hosts_provider_ours_serves_all(home: Path) -> None:
    """It is an SDK provider: a processor added to it gets all spans, and one that raises is counted."""
    program = """
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
class Raising(SpanProcessor):
    def on_start(self, span, parent_context=None): raise ZeroDivisionError
recording = start()
provider = trace.get_tracer_provider()
assert isinstance(provider, TracerProvider)
seen = InMemorySpanExporter()
provider.add_span_processor(Raising())
provider.add_span_processor(SimpleSpanProcessor(seen))
with task():
    with tool(): pass
assert [span.name for span in seen.get_finished_spans()] == ["execute_tool x", "invoke_workflow repair"]
assert provider.force_flush()
"""
    _run(program, home)
    with closing(open_database(home / "taskscope.db", create=False, read_only=True)) as connection:
        points = read_aggregates(connection)
    assert _count(home, "span") == 2
    assert values_of(points, "taskscope.internal.errors") == {("processor", "ZeroDivisionError"): 2}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("del contextvars_context.ContextVarsRuntimeContext", id="missing at import"),
        pytest.param("del sampling.DEFAULT_ON", id="missing at a span's start"),
    ],
)
def test_an_sdk_with_other_insides_loses_nothing(home: Path, change: str) -> None:
    """Where ours cannot be made, upstream's own tracer serves, and that it had to is counted."""
    program = """
from opentelemetry.context import contextvars_context
from opentelemetry.sdk.trace import TracerProvider, sampling
CHANGE
recording = start()
assert type(trace.get_tracer_provider()) is TracerProvider
with task():
    with tool(): pass
"""
    _run(program.replace("CHANGE", change), home)
    with closing(open_database(home / "taskscope.db", create=False, read_only=True)) as connection:
        points = read_aggregates(connection)
    assert _count(home, "span") == 2
    assert sum(values_of(points, "taskscope.internal.errors").values()) == 1


def test_a_later_recording_takes_an_earlier_ones_place(home: Path) -> None:
    """While both run, both record; the one that ended gets no more, and the other goes on."""
    program = """
first = start()
def start_at(name):
    return install(load_host_settings({**os.environ, "TASKSCOPE_HOME": str(HOME / name)}), REDACTOR)
second = start_at("second")
with tool(): pass
assert first.shutdown(30) and second.flush(30)
with tool(): pass
third = start_at("third")
with tool(): pass
assert second.shutdown(30) and third.shutdown(30)
with tool(): pass
"""
    _run(program, home)
    assert [_count(home / name, "span") for name in ("", "second", "third")] == [1, 3, 1]


def test_an_event_is_stored_with_its_span(home: Path) -> None:
    """The OTel logs API ends in the same store, joined by trace and span."""
    program = """
from opentelemetry._logs import SeverityNumber, get_logger
recording = start()
with task() as span:
    get_logger("program").emit(event_name="taskscope.task.started", severity_number=SeverityNumber.INFO,
        attributes={"taskscope.task.id": f"t-{os.getpid()}-0"}, body="begun correct-horse-battery-staple")
"""
    _run(program, home)
    with open_history(home / "taskscope.db") as history:
        (line,) = history.logs(history.find_task())
        assert (line.event_name, line.body) == ("taskscope.task.started", "begun [redacted:known_value]")
        tree = history.tree(history.find_task())
        assert (line.trace_id, line.span_id) == (tree.trace_id, tree.span_id)


def test_the_end_of_a_program_stores_what_it_made(home: Path) -> None:
    """Without any call of flush or shutdown, even when an exception ends it."""
    _run("start()\nwith task():\n    for _ in range(99):\n        with tool(): pass\n", home)
    _run("start()\nwith task():\n    raise SystemExit(3)\n", home, returncode=3)
    assert _count(home, "span") == 101
    assert _count(home, "open") == 0


def test_four_processes_write_at_once(home: Path) -> None:
    """Every span of each is stored once, and the sums of all are the sums that are shown."""
    program = """
recording = start()
for number in range(25):
    with task(number):
        for _ in range(20):
            with tool(): pass
assert recording.shutdown(60)
"""
    processes = [_start(program, home) for _ in range(4)]
    for process in processes:
        assert process.communicate()[1] == ""
    with closing(open_database(home / "taskscope.db", create=False, read_only=True)) as connection:
        points = read_aggregates(connection)
        spans = connection.execute("SELECT count(*), count(DISTINCT span) FROM span").fetchone()
        tasks = connection.execute("SELECT count(*), sum(outcome = 'succeeded') FROM task").fetchone()
    assert spans == (2100, 2100)
    assert tasks == (100, 100)
    assert values_of(points, "taskscope.task.executions") == {
        ("repair", "succeeded", "not_verified", ""): 100
    }
    assert values_of(points, "gen_ai.execute_tool.duration")["x", "", "", ""].count == 2000
    assert values_of(points, "taskscope.records.emitted") == {("traces",): 2100}


def test_a_start_survives_kill_9(home: Path) -> None:
    """What was open and recorded reads as interrupted; what had ended before stays as it was."""
    program = """
recording = start()
with task():
    with tool(): pass
    with tool():
        assert recording.flush(30)
        os.kill(os.getpid(), 9)
"""
    _run(program, home, returncode=-9)
    with open_history(home / "taskscope.db") as history:
        tree = history.tree(history.find_task())
        assert history.find_task().outcome == "interrupted"
        assert [(node.name, node.status) for node in tree.walk()] == [
            ("invoke_workflow repair", "ERROR"),
            ("execute_tool x", "UNSET"),
            ("execute_tool x", "ERROR"),
        ]


def test_a_forked_child_records_on_its_own(home: Path) -> None:
    """Children of a process with open spans and a busy writer: each span is stored once."""
    program = """
recording = start()
with task():
    for _ in range(10):
        with tool(): pass
        child = os.fork()
        if child == 0:
            with tool(): pass
            os._exit(0 if recording.flush(30) else 1)
        assert os.waitpid(child, 0)[1] == 0
assert recording.flush(30)
"""
    _run(program, home)
    with closing(open_database(home / "taskscope.db", create=False, read_only=True)) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT span) FROM span").fetchone() == (21, 21)
        assert connection.execute("SELECT count(*) FROM process").fetchone() == (11,)
    with open_history(home / "taskscope.db") as history:
        tree = history.tree(history.find_task())
        assert (history.find_task().outcome, len(tree.children)) == ("succeeded", 20)


def test_a_child_outlives_its_parent(home: Path) -> None:
    """The parent's last connection tidies the log file away; what the child writes then is there too."""
    program = """
recording = start()
with tool(): pass
assert recording.flush(30)
ready = os.pipe()
if os.fork():
    os.read(ready[0], 1)
    assert recording.shutdown(30)
    os._exit(0)
parent = os.getppid()
with tool(): pass
assert recording.flush(30)
os.write(ready[1], b"x")
while os.getppid() == parent: pass
for _ in range(5):
    with tool(): pass
    assert recording.flush(30)
os._exit(0)
"""
    _run(program, home)
    assert _count(home, "span") == 7


def test_a_child_that_leaves_its_parents_span_does_not_end_it(home: Path) -> None:
    """The span was opened by the parent, and only its end there is recorded."""
    program = """
recording = start()
with task():
    recording.flush(30)
    child = os.fork()
    if child: assert os.waitpid(child, 0)[1] == 0
if not child:
    os._exit(0 if recording.flush(30) else 1)
"""
    _run(program, home)
    assert _count(home, "span") == 1


def test_what_is_said_at_the_end_is_stored(home: Path) -> None:
    """An exporter that reports its failure while it shuts down is heard: its log line is no lost record."""
    program = """
from taskscope.store.records import LogRecord, Source
recording = start()
with task(): pass
def close():
    recording.flush(10)  # the writer has nothing left to do by now
    recording.submit(LogRecord(1, 9, "INFO", None, "bye", {}, None, None, Source(b"", b""), b""))
recording.on_shutdown(close)
assert recording.shutdown(10.0)
"""
    _run(program, home)
    assert (_count(home, "span"), _count(home, "log")) == (1, 1)


def test_the_end_of_a_program_does_not_wait_for_a_foreign_exporter(home: Path) -> None:
    """One that hangs keeps its thread; what is ours is stored and the end goes on."""
    program = """
recording = start()
with task(): pass
recording.on_shutdown(threading.Event().wait, is_foreign=True)
assert recording.shutdown(600.0, foreign_s=0.0)
"""
    _run(program, home)
    assert _count(home, "span") == 1


def test_ours_close_where_no_thread_can_be_started(home: Path) -> None:
    """Python 3.12 starts none while the interpreter ends; a foreign one, which may hang, is left alone."""
    program = """
recording = start()
with task(): pass
assert recording.flush(30)
def start_no_thread(self): raise RuntimeError("can't create new thread at interpreter shutdown")
threading.Thread.start = start_no_thread
closed = []
recording.on_shutdown(lambda: closed.append("ours"))
recording.on_shutdown(lambda: closed.append("theirs"), is_foreign=True)
assert recording.shutdown(30)
assert closed == ["ours"], closed
"""
    _run(program, home)


def test_an_unusable_store_does_not_hurt_the_program(home: Path) -> None:
    """A store from a newer version: one warning on stderr, all spans in memory, the program's own way."""
    with closing(open_database(home / "taskscope.db", create=True)) as connection:
        connection.execute("PRAGMA user_version = 99")
    program = """
recording = start()
with task():
    with tool(): pass
assert not recording.flush(30) and recording.is_in_memory and recording.queue_bytes
print("done")
"""
    process = _start(program, home)
    out, errors = process.communicate()
    assert (out, process.returncode) == ("done\n", 0)
    assert errors.count("the store cannot be written") == 1
    assert "Traceback" not in errors


def test_a_full_disk_is_outlived(home: Path) -> None:
    """The file may not grow, as on a full disk, then it may again: nothing is lost or counted twice."""
    program = """
import resource
recording = start()
with tool(): pass
assert recording.flush(30)
size = max(path.stat().st_size for path in HOME.iterdir() if path.is_file())
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
for _ in range(2000):
    with tool(): pass
assert not recording.flush(30) and recording.is_in_memory
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert recording.flush(30) and not recording.is_in_memory
"""
    _run(program, home)
    with closing(open_database(home / "taskscope.db", create=False, read_only=True)) as connection:
        points = read_aggregates(connection)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*), count(DISTINCT span) FROM span").fetchone() == (
            2001,
            2001,
        )
    assert values_of(points, "taskscope.records.emitted") == {("traces",): 2001}
    assert values_of(points, "gen_ai.execute_tool.duration")["x", "", "", ""].count == 2001


def test_hostile_attributes_do_not_reach_the_program(home: Path) -> None:
    """What cannot be stored as it is becomes words; no span is lost and nothing is raised."""
    program = """
class Hostile:
    def __str__(self): raise RuntimeError("no")
recording = start()
with task() as span:
    span._attributes["hostile"] = Hostile()
    span._attributes["big"] = 2 ** 99999
    span._name = Hostile()
assert recording.flush(30)
"""
    _run(program, home)
    assert _count(home, "span") == 1


def test_the_hosts_own_instruments_are_read_and_ours_are_not_doubled(home: Path) -> None:
    """A reader sees the host's metrics; an SDK twin of a contract metric is dropped."""
    program = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
recording = install(load_host_settings(), REDACTOR, metric_readers=[reader])
meter = metrics.get_meter("program")
meter.create_counter("orders").add(1)
meter.create_histogram("http.server.request.duration").record(1.0)
data = reader.get_metrics_data()
names = [m.name for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
assert names == ["orders"], names
assert recording.shutdown(30)
"""
    _run(program, home)


def test_metrics_of_the_sdk_are_loaded_with_the_first_meter(home: Path) -> None:
    """With an endpoint too: a program without instruments of its own does not pay for their exporter."""
    program = """
import sys
from opentelemetry import metrics
recording = start()
with task(): pass
assert not {"requests", "opentelemetry.sdk.metrics"} & sys.modules.keys()
provider = metrics.get_meter_provider()
assert provider.force_flush()
metrics.get_meter("program")
assert {"requests", "opentelemetry.sdk.metrics"} <= sys.modules.keys()
assert start() is recording
assert metrics.get_meter_provider() is provider
recording.shutdown(30)
"""
    _run(program, home, environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})


def test_a_meter_after_the_end_measures_nothing(home: Path) -> None:
    """Nothing is loaded for it, and nothing is raised."""
    program = """
import sys
from opentelemetry import metrics
recording = start()
recording.shutdown(30)
metrics.get_meter("program").create_counter("orders").add(1)
assert "opentelemetry.sdk.metrics" not in sys.modules
"""
    _run(program, home, environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
