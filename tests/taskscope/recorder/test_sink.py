from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace

from taskscope.config import load_host_settings
from taskscope.recorder.setup import install
from taskscope.recorder.sink import YOUNG_NS, RecordingSink
from taskscope.redaction import Redactor
from taskscope.semconv import attributes as attr
from taskscope.store.journals import read_journal
from taskscope.store.wire import SpanBody
from tests.taskscope.otel_globals import fresh_otel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskscope.recorder.recording import Recording

_TOOL = {attr.GEN_AI_OPERATION_NAME: "execute_tool"}


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    with fresh_otel():
        recording = install(load_host_settings({"TASKSCOPE_HOME": str(tmp_path)}), Redactor())
        assert recording._writer is not None
        # Nobody drains the journal: what stands in it is what a kill would leave.
        monkeypatch.setattr(recording._writer, "_start", lambda: None)
        yield recording
        recording.shutdown(0)


def _journal(recording: Recording) -> list[tuple[str, bool]]:
    """Name, and whether it is open, of each record that a kill would leave now."""
    (path,) = recording.store_path.parent.glob("journal/*.journal")
    bodies = [SpanBody(record.body) for record in read_journal(path).records]
    return [(body.name, body.end_ns is None) for body in bodies]


def test_what_starts_on_record_takes_the_young_spans_around_it_along(recording: Recording) -> None:
    """Outermost first, each once: a kill never leaves a span whose parent nobody knows."""
    tracer = trace.get_tracer("host")
    with tracer.start_as_current_span("request"), tracer.start_as_current_span("query"):
        with tracer.start_as_current_span("execute_tool a", attributes=_TOOL):
            assert _journal(recording) == [("request", True), ("query", True), ("execute_tool a", True)]
        with tracer.start_as_current_span("execute_tool b", attributes=_TOOL):
            pass
    names = [name for name, is_open in _journal(recording) if is_open]
    assert names == ["request", "query", "execute_tool a", "execute_tool b"]


def test_what_ends_takes_the_young_spans_around_it_along(recording: Recording) -> None:
    """And a span with none below it costs no start."""
    tracer = trace.get_tracer("host")
    with tracer.start_as_current_span("request"):
        with tracer.start_as_current_span("query"):
            pass
        assert _journal(recording) == [("request", True), ("query", False)]
    assert _journal(recording)[2:] == [("request", False)]


def test_a_fork_puts_open_spans_on_record(recording: Recording) -> None:
    """What the child makes belongs below them, and the child cannot tell of them."""
    tracer = trace.get_tracer("host")
    with tracer.start_as_current_span("before"):
        pass
    with tracer.start_as_current_span("pool"):
        if not (child := os.fork()):
            os._exit(0)
        os.waitpid(child, 0)
        assert _journal(recording) == [("before", False), ("pool", True)]


def test_a_span_that_is_not_young_any_more_goes_on_record(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its start, once; one that ended meanwhile has none."""
    tracer, sink = trace.get_tracer("host"), _sink(recording)
    span, short = tracer.start_span("long"), tracer.start_span("short")
    assert 0 < (sink.sweep() or 0) <= YOUNG_NS / 1e9
    short.end()
    later_ns = time.time_ns() + 2 * YOUNG_NS
    monkeypatch.setattr(time, "time_ns", lambda: later_ns)
    assert sink.sweep() is None
    assert sink.sweep() is None
    span.end()
    assert _journal(recording) == [("short", False), ("long", True), ("long", False)]


def test_a_young_span_around_another_goes_on_record_by_its_name_first(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quickly, without its attributes; when it is not young any more, with them."""
    tracer = trace.get_tracer("host")
    later_ns = time.time_ns() + 2 * YOUNG_NS
    with tracer.start_as_current_span("request", attributes={"http.route": "/"}):
        with tracer.start_as_current_span("query"):
            pass
        monkeypatch.setattr(time, "time_ns", lambda: later_ns)
        _sink(recording).sweep()
        (path,) = recording.store_path.parent.glob("journal/*.journal")
        bodies = [SpanBody(record.body) for record in read_journal(path).records]
    assert [(body.name, body.attributes) for body in bodies] == [
        ("request", {}),
        ("query", {}),
        ("request", {"http.route": "/"}),
    ]


def _sink(recording: Recording) -> RecordingSink:
    sink = recording._writer._spans if recording._writer is not None else None
    assert isinstance(sink, RecordingSink)
    return sink
