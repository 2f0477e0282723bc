"""The SDK's logs come with the first logger that somebody asks for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from opentelemetry._logs import NoOpLogger, SeverityNumber
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from taskscope.recorder.loggers import LateLoggerProvider

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from opentelemetry.sdk._logs import ReadWriteLogRecord


class _Noting(LogRecordProcessor):
    def __init__(self, said: list[str], name: str) -> None:
        self._said, self._name = said, name

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self._said.append(f"{self._name} {log_record.log_record.body!r}")

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits."""
        return timeout_millis > 0


def _provider(errors: list[tuple[str, str]] | None = None) -> LateLoggerProvider:
    seen = [] if errors is None else errors
    return LateLoggerProvider(Resource.get_empty(), lambda *error: seen.append(error))


def test_configuring_loads_neither_the_sdks_logs_nor_the_store(tmp_path: Path) -> None:
    """Both come with the first record that needs them; nor is any installed metadata read."""
    program = """
import sys, taskscope
taskscope.configure()
print([name for name in ("opentelemetry.sdk._logs", "opentelemetry.sdk.metrics", "importlib.metadata",
    "taskscope.store.ingest", "taskscope.store.history", "taskscope.telemetry.spans",
    "sqlite3", "requests", "ssl") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={"TASKSCOPE_HOME": str(tmp_path / "home")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_processors_that_came_before_the_sdk_get_every_record_in_their_order() -> None:
    """And a foreign one that is added by the SDK's own method comes after ours."""
    said: list[str] = []
    provider = _provider()
    provider.add_later(lambda: _Noting(said, "first"))
    provider.add_later(lambda: None)
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # upstream lacks the annotation
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.add_later(lambda: _Noting(said, "last"))

    provider.get_logger("program").emit(body="hello", severity_number=SeverityNumber.INFO)

    assert said == ["first 'hello'", "last 'hello'"]
    assert [data.log_record.body for data in exporter.get_finished_logs()] == ["hello"]


def test_one_logger_serves_a_scope() -> None:
    """The provider behind it is made once."""
    provider = _provider()

    assert provider.get_logger("program") is provider.get_logger("program")


def test_an_sdk_that_cannot_be_loaded_costs_the_logs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host gets a logger that does nothing, and the error is counted."""
    errors: list[tuple[str, str]] = []
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "many")

    logger = _provider(errors).get_logger("program")

    assert isinstance(logger, NoOpLogger)
    assert errors == [("recorder", "ValueError")]
