"""A host program that calls `configure`, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from taskscope.store.history import open_history

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def run(program: str, home: Path, **variables: str) -> str:
    """Run a host program with warnings as errors and return what it prints."""
    environment: Mapping[str, str] = {**os.environ, "TASKSCOPE_HOME": str(home), **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_configure_twice_is_configure_once(tmp_path: Path) -> None:
    """Each span is recorded once however often `configure` is called, and nothing is opened before it."""
    program = """
import os, taskscope
first, second = taskscope.configure(), taskscope.configure()
print(first is second, os.path.exists(os.environ["TASKSCOPE_HOME"]))
with taskscope.task("answer"): pass
print(taskscope.shutdown(5))
"""
    assert run(program, tmp_path / "home").split() == ["True", "False", "True"]
    with open_history(tmp_path / "home" / "taskscope.db") as history:
        (task,) = history.tasks()
        tree = history.tree(task.trace_id)
    assert tree.name == "invoke_workflow answer"
    assert len(list(tree.walk())) == 1


def test_foreign_spans_and_logs_of_a_task_carry_its_id(tmp_path: Path) -> None:
    """What other instrumentation records inside a task is found by its id; outside is left alone."""
    program = """
import taskscope
from opentelemetry import trace
from opentelemetry._logs import get_logger
taskscope.configure()
tracer = trace.get_tracer("foreign")
with taskscope.task("answer", task_id="t-1"), tracer.start_as_current_span("inside"):
    get_logger("foreign").emit(event_name="something", attributes={"a": 1})
with tracer.start_as_current_span("outside"): pass
assert taskscope.shutdown(5)
"""
    run(program, tmp_path / "home")
    with open_history(tmp_path / "home" / "taskscope.db") as history:
        (task,) = history.tasks()
        (inside,) = history.tree(task.trace_id).children
        logs = [line for line in history.logs(task) if line.event_name == "something"]
    assert inside.attributes == {"taskscope.task.id": "t-1", "taskscope.task.kind": "answer"}
    assert [line.attributes["taskscope.task.kind"] for line in logs] == ["answer"]


def test_a_host_keeps_its_signals_settings_and_logging(tmp_path: Path) -> None:
    """`configure` installs no handler, touches no logger, and reads no plain name such as AGENT_HOME."""
    program = """
import logging, signal, taskscope
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)], logging.root.handlers[:]
recording = taskscope.configure()
after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)], logging.root.handlers[:]
print(before == after, recording.store_path.parent.name)
taskscope.shutdown(1)
"""
    answer = run(program, tmp_path / "home", AGENT_HOME=str(tmp_path / "other"), LOG_LEVEL="nonsense")
    assert answer.split() == ["True", "home"]


def test_a_provider_that_exists_is_joined(tmp_path: Path) -> None:
    """The host's own TracerProvider stays, and its processors go on getting every span."""
    program = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
mine, kept = TracerProvider(), InMemorySpanExporter()
mine.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(mine)
import taskscope
taskscope.configure()
with taskscope.task("answer"), taskscope.step("search"): pass
assert taskscope.shutdown(5)
print(trace.get_tracer_provider() is mine, *sorted(span.name for span in kept.get_finished_spans()))
"""
    answer = run(program, tmp_path / "home").strip()
    assert answer == "True invoke_workflow answer step search"
    with open_history(tmp_path / "home" / "taskscope.db") as history:
        (task,) = history.tasks()
        assert [child.name for child in history.tree(task.trace_id).children] == ["step search"]


def test_wrong_settings_are_a_warning_to_a_host(tmp_path: Path) -> None:
    """A wrong variable is said in the log and its default holds; the host goes on."""
    program = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
import taskscope
taskscope.configure()
with taskscope.task("answer"): pass
print(taskscope.shutdown(5))
"""
    lines = run(program, tmp_path / "home", TASKSCOPE_RETENTION_DAYS="soon").splitlines()
    assert lines[-1] == "True"
    assert any(line.startswith("WARNING") and "TASKSCOPE_RETENTION_DAYS" in line for line in lines)


def test_disabled_is_nothing_and_harmless(tmp_path: Path) -> None:
    """With TASKSCOPE_DISABLED the API does nothing, loads no SDK, and leaves no file."""
    program = """
import sys, taskscope
taskscope.configure()
with taskscope.task("answer") as task:
    task.finish("succeeded")
print(taskscope.flush(1), taskscope.shutdown(1), "opentelemetry.sdk.trace" in sys.modules)
"""
    answer = run(program, tmp_path / "home", TASKSCOPE_DISABLED="1")
    assert answer.split() == ["True", "True", "False"]
    assert not (tmp_path / "home").exists()


def test_flush_and_shutdown_without_configure_have_nothing_to_wait_for(tmp_path: Path) -> None:
    """Both are true, at once, where nothing was set up."""
    program = "import taskscope\nprint(taskscope.flush(0), taskscope.shutdown(0))"
    assert run(program, tmp_path / "home").split() == ["True", "True"]


def test_a_setting_that_the_sdk_refuses_does_not_reach_the_host(tmp_path: Path) -> None:
    """One warning, nothing is recorded, and the program goes on."""
    program = """
import logging, taskscope
logging.basicConfig(format="%(message)s")
print(taskscope.configure().is_disabled)
with taskscope.task("answer"):
    print("done")
"""
    said = run(program, tmp_path / "home", OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="many")
    assert said.split() == ["True", "done"]


def test_a_clock_before_1970_loses_nothing(tmp_path: Path) -> None:
    """A machine whose clock was never set: times are told as the begin of 1970, and all spans are there."""
    program = """
import time
time.time_ns, time.time = lambda: -5_000_000_000, lambda: -5.0
import taskscope
taskscope.configure()
with taskscope.task("answer"), taskscope.step("search"):
    pass
print(taskscope.shutdown(5))
"""
    assert run(program, tmp_path / "home").split() == ["True"]
    with open_history(tmp_path / "home" / "taskscope.db") as history:
        (task,) = history.tasks()
        nodes = list(history.tree(task.trace_id).walk())
    assert [(node.name, node.start_ns, node.end_ns) for node in nodes] == [
        ("invoke_workflow answer", 0, 0),
        ("step search", 0, 0),
    ]


def test_a_home_that_cannot_be_made_costs_the_host_nothing(tmp_path: Path) -> None:
    """One warning, records wait in memory, and the end says how many are lost."""
    (tmp_path / "home").write_text("a file stands in the way")
    program = """
import logging, sys, taskscope
logging.basicConfig(format="%(message)s", stream=sys.stdout)
taskscope.configure()
with taskscope.task("answer"), taskscope.step("search"):
    pass
for _ in range(3):
    print(taskscope.flush(5))
"""
    lines = run(program, tmp_path / "home").splitlines()
    assert [line for line in lines if line in {"True", "False"}] == ["False"] * 3
    told = [line for line in lines if line not in {"True", "False"}]
    assert [line.split(" (")[0] for line in told[:1]] == ["taskscope: the store cannot be written"]
    assert "telemetry waits in memory" in told[0]
    assert told[1:] == ["taskscope: 6 records were not stored before the end and are lost"]


def test_disabled_is_nothing_at_all(tmp_path: Path) -> None:
    """Blocks, functions, generators and coroutines do what they do; no id, no file, no thread, no SDK."""
    program = """
import asyncio, os, sys, threading, taskscope
taskscope.configure()

@taskscope.tool("add")
def add(a, b): return a + b

@taskscope.tool("count")
def count():
    yield 1
    yield 2

@taskscope.step("wait")
async def wait(): return "waited"

with taskscope.task("answer") as task:
    task.set("key", "value")
    task.finish("failed")
    print(add(1, 2), list(count()), asyncio.run(wait()), taskscope.current_task())
is_there = os.path.exists(os.environ["TASKSCOPE_HOME"])
print("opentelemetry.sdk" in sys.modules, threading.active_count(), is_there)
print(taskscope.flush(1), taskscope.shutdown(1))
"""
    for variable in ("TASKSCOPE_DISABLED", "OTEL_SDK_DISABLED"):
        said = run(program, tmp_path / "home", **{variable: "true"})
        assert said.splitlines() == ["3 [1, 2] waited None", "False 1 False", "True True"]
