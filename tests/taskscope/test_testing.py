"""The public recorder for tests: fixed numbers, plain trees, and a leak is a failure."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry.trace import use_span

from taskscope.telemetry import manual
from taskscope.testing import SpanRecorder

if TYPE_CHECKING:
    from pathlib import Path


def record() -> SpanRecorder:
    """Record a small task, whose tool fails."""

    @manual.task("answer")
    @manual.step("read", index=2)
    @manual.tool("files")
    def read() -> None:
        raise OSError("disk")

    with SpanRecorder() as recorder, pytest.raises(OSError, match="disk"):
        read()
    return recorder


def test_tree_is_the_same_in_every_run() -> None:
    """Ids, times and task ids are fixed, so that a whole tree can be compared."""
    tree = record().tree(ids=True, times=True)
    assert tree == record().tree(ids=True, times=True)
    (task,) = tree
    (step,) = task["children"]
    assert (task["trace_id"], task["span_id"], task["start"], task["end"]) == (1, 1, 1.0, 9.0)
    assert (step["trace_id"], step["span_id"], step["start"], step["end"]) == (1, 2, 3.0, 7.0)
    assert task["attributes"]["taskscope.task.id"] == "t-1"


def test_tree_is_plain_data() -> None:
    """A node tells name, kind, status, attributes, events and children, and no stack trace."""
    (task,) = record().tree()
    assert task["children"][0]["children"] == [
        {
            "name": "execute_tool files",
            "kind": "INTERNAL",
            "status": "ERROR: OSError: disk",
            "attributes": {
                "taskscope.task.id": "t-1",
                "taskscope.task.kind": "answer",
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "files",
                "gen_ai.tool.type": "function",
                "error.type": "OSError",
            },
            "events": [
                {
                    "name": "exception",
                    "severity": "ERROR",
                    "attributes": {
                        "taskscope.task.id": "t-1",
                        "taskscope.task.kind": "answer",
                        "exception.type": "OSError",
                        "exception.message": "disk",
                        "error.type": "OSError",
                        "taskscope.task.phase": "execute",
                        "taskscope.step.index": 2,
                    },
                }
            ],
        }
    ]


def test_text_is_the_tree_at_a_glance() -> None:
    """The text shows each span's name, and why it failed."""
    assert record().text() == (
        "invoke_workflow answer ! OSError\n  step read ! OSError\n    execute_tool files ! OSError"
    )


def test_span_whose_parent_was_cleared_is_a_root() -> None:
    """After `clear` only what came later is seen; the numbers go on."""
    with SpanRecorder() as recorder, manual.task("answer"):
        recorder.clear()
        with manual.tool("files"):
            pass
    (node,) = recorder.tree(ids=True)
    assert (node["name"], node["span_id"]) == ("execute_tool files", 2)


def test_open_span_is_seen_and_is_a_leak() -> None:
    """A span that did not end is marked as open in the tree, and named as a leak."""
    with SpanRecorder() as recorder:
        operation = manual.tool("files")
        operation.start()
        assert recorder.tree()[0]["open"] is True
        with pytest.raises(AssertionError, match="spans that never ended: execute_tool files"):
            recorder.assert_nothing_leaks()
        operation.end()
        recorder.assert_nothing_leaks()


def test_span_that_stays_current_is_a_leak() -> None:
    """A span that ended and is still current would be a wrong parent, and is named."""
    recorder = SpanRecorder()
    span = recorder.tracer_provider.get_tracer("foreign").start_span("GET")
    span.end()
    with use_span(span), pytest.raises(AssertionError, match="still current"):
        recorder.assert_nothing_leaks()


def test_foreign_log_record_is_an_event() -> None:
    """What others emit through the recorder's logger provider is kept as well."""
    recorder = SpanRecorder()
    recorder.logger_provider.get_logger("foreign").emit(body="hello", severity_text="INFO")
    recorder.logger_provider.force_flush()
    recorder.logger_provider.shutdown()
    (event,) = recorder.events
    assert (event.name, event.severity, event.span_id, event.body) == ("", "INFO", 0, "hello")


def test_fixture_of_the_plugin_fails_a_test_that_leaks(tmp_path: Path) -> None:
    """As a pytest plugin it gives the fixture, and a test that leaves a span open does not pass."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["taskscope.testing"]\n')
    (tmp_path / "test_it.py").write_text(
        "import taskscope\n"
        "def test_good(span_recorder):\n"
        "    with taskscope.tool('files'): pass\n"
        "    assert span_recorder.text() == 'execute_tool files'\n"
        "def test_bad(span_recorder):\n"
        "    taskscope.tool('files').start()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "spans that never ended: execute_tool files" in ran.stdout
    assert "2 passed, 1 error" in ran.stdout


def test_recorder_needs_no_pytest() -> None:
    """Where pytest is not installed, the recorder can still be imported and used."""
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from taskscope.testing import SpanRecorder\n"
        "import taskscope\n"
        "with SpanRecorder() as recorder, taskscope.tool('files'): pass\n"
        "print(recorder.text())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "execute_tool files\n"
