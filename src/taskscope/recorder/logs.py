"""Log lines of our own commands: structlog and `logging` into one pipeline, then file, stream and store.

Each line is made plain, gets the ids of what it belongs to, and is redacted once, before any of the three
sees it. A host program's logging is its own and is never touched from here. Nothing in this file raises into
a caller.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Protocol, TextIO

from . import _loglines as lines
from ._logfile import LogFile
from ._onimport import forget, on_import
from .cleaning import Cleaner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskscope.config import Settings
    from taskscope.redaction import Redactor
    from taskscope.store.records import LogRecord


_WAITING = 16
_SHIPPER = "taskscope.shipper"


class LogTaker(Protocol):
    """Who keeps log records: the recording of this process."""

    resource: bytes
    """Serialized OTLP `Resource` of this process."""

    def submit(self, record: LogRecord) -> object:
        """Take one record; never blocks, never raises."""


def configure_logging(
    settings: Settings,
    *,
    service: bool,
    redactor: Redactor,
    stream: TextIO | None = None,
    recording: LogTaker | None = None,
    context_fields: Callable[[], Mapping[str, object]] | None = None,
) -> None:
    """Send every line of structlog, `logging` and `warnings` through one pipeline; the last call counts.

    All lines of `log_level` and above go to the log file as JSON and to `recording`. A service writes them
    to stdout too; a command writes warnings and errors to stderr, or all lines at LOG_LEVEL=debug, so that
    stdout stays what it was asked for. A terminal gets readable lines, anything else JSON. `context_fields`
    tells what a line belongs to (task_id, request_id, agent_id, skill_id); trace_id and span_id come from
    the current span.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    stream_level = level if service or level <= logging.DEBUG else max(level, logging.WARNING)
    pipeline = _Pipeline(
        redactor=redactor,
        file=LogFile(settings.log_path, keep_days=settings.retention_days),
        stream=_Stream(stream, is_stdout=service, level=stream_level),
        recording=recording,
        context_fields=context_fields or dict,
    )
    _install(pipeline, level)
    on_import("structlog", _configure_structlog)


def reset_logging() -> None:
    """Take the pipeline out again, as if `configure_logging` had never been called."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Pipeline)]:
        root.removeHandler(handler)
        root.setLevel(handler.level_before)
        handler.close()
    logging.captureWarnings(capture=False)
    forget("structlog")
    if "structlog" in sys.modules:
        sys.modules["structlog"].reset_defaults()


def _install(pipeline: _Pipeline, level: int) -> None:
    root = logging.getLogger()
    before = next((old.level_before for old in root.handlers if isinstance(old, _Pipeline)), root.level)
    reset_logging()
    pipeline.level_before = before
    root.addHandler(pipeline)
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    pipeline.file.expire()


def _configure_structlog() -> None:
    """Send structlog through the pipeline; called once somebody has loaded it, which costs 0.1 s."""
    import structlog

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # a second configure_logging() has to reach loggers that exist
    )


class _Stream:
    """A text stream that shows lines: readable on a terminal, JSON elsewhere."""

    def __init__(self, stream: TextIO | None, *, is_stdout: bool, level: int) -> None:
        self._stream = stream
        self._is_stdout = is_stdout
        self.level = level

    def write(self, line: Mapping[str, object]) -> None:
        # Looked up each time: a live display puts itself in the place of sys.stderr.
        stream = self._stream or (sys.stdout if self._is_stdout else sys.stderr)
        if stream.isatty():
            text = lines.as_text(line, has_color="NO_COLOR" not in os.environ)
        else:
            text = lines.as_json(line).decode()
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()


class _Pipeline(logging.Handler):
    """The one handler: from a record to file, stream and store; what fails there is said once on stderr."""

    def __init__(
        self,
        *,
        redactor: Redactor,
        file: LogFile,
        stream: _Stream,
        recording: LogTaker | None,
        context_fields: Callable[[], Mapping[str, object]],
    ) -> None:
        super().__init__()
        self.file = file
        self.level_before = logging.WARNING
        self._cleaner = Cleaner(redactor)
        self._stream = stream
        self._recording = recording
        self._context_fields = context_fields
        self._inside = threading.local()
        self._has_warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; what is logged meanwhile on this thread comes after it."""
        waiting = getattr(self._inside, "waiting", None)
        if waiting is not None:
            waiting.append(record)
            return
        self._inside.waiting = [record]
        try:
            self._write_waiting(self._inside.waiting)
        finally:
            self._inside.waiting = None

    def _write_waiting(self, waiting: list[logging.LogRecord]) -> None:
        """Write the record and what came up by writing it, up to a bound."""
        for record in itertools.islice(waiting, _WAITING):  # sees what is appended on the way
            try:
                self._write(record)
            except Exception as error:  # noqa: BLE001  a border: logging never fails its caller
                self._warn("line", f"a log line was lost: {type(error).__name__} at {record.name}")

    def close(self) -> None:
        """Close the file and leave the list of handlers."""
        self.file.close()
        super().close()

    def _write(self, record: logging.LogRecord) -> None:
        line = lines.build_line(record, {**_span_fields(), **self._told()}, self._cleaner)
        try:
            self.file.write(lines.as_json(line))
        except OSError as error:
            reason = error.strerror or str(error)
            self._warn("file", f"the log file cannot be written ({reason}); lines go without it until it can")
        # What the shipper says of its own requests would make another request.
        if self._recording is not None and record.name != _SHIPPER:
            self._submit(self._recording, line, record)
        if record.levelno >= self._stream.level:
            # A closed pipe or stream: nobody is there to be told.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(line)

    def _submit(self, recording: LogTaker, line: Mapping[str, object], record: logging.LogRecord) -> None:
        try:
            recording.submit(lines.as_record(line, record, recording.resource))
        except Exception as error:  # noqa: BLE001  the line is in the file; the stream comes next
            self._warn("store", f"log lines do not reach the store: {type(error).__name__}")

    def _told(self) -> Mapping[str, object]:
        try:
            return self._context_fields()
        except Exception:  # noqa: BLE001  a line without its context is better than none
            self._warn("context", "log lines do not know what they belong to: the context cannot be read")
            return {}

    def _warn(self, what: str, message: str) -> None:
        if what not in self._has_warned:
            self._has_warned.add(what)
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.write(f"taskscope: {message}\n")


def _span_fields() -> dict[str, object]:
    """Return the ids of the current span; without the OTel API loaded there is none."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
