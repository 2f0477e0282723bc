"""Laws of the log lines: what they hold, where they go, and that nothing is lost, torn or shown."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as OtlpLogRecord
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from taskscope.config import Settings
from taskscope.recorder._logfile import LogFile
from taskscope.recorder.logs import configure_logging, reset_logging
from taskscope.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskscope.store.records import LogRecord

SECRET = "correct-horse-battery-9"
TOKEN = "ghp_" + "a1B2" * 9


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class FakeRecording:
    resource = b"resource"

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.records: list[LogRecord] = []
        self.then = then

    def submit(self, record: LogRecord) -> None:
        self.records.append(record)
        self.then()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def no_pipeline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take our pipeline off, before monkeypatch gives the root logger its handlers back."""
    yield
    reset_logging()


def configure(home: Path, *, service: bool = False, level: str = "info", **more: Any) -> None:
    more.setdefault("stream", io.StringIO())
    settings = Settings(home=home, log_level=level)
    configure_logging(settings, service=service, redactor=Redactor([SECRET]), **more)


def lines(home: Path) -> list[dict[str, Any]]:
    text = (home / "logs" / "taskscope.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_one_json_object(home: Path) -> None:
    """Time in UTC, level, logger and event come first, then the fields as given."""
    configure(home)
    before = time.time()
    structlog.get_logger("a.b").info("indexed", files=3, path=Path("/x"), names=["ä", None], share=0.5)
    (line,) = lines(home)
    assert list(line) == ["timestamp", "level", "logger", "event", "files", "path", "names", "share"]
    assert list(line.values())[1:] == ["info", "a.b", "indexed", 3, "/x", ["ä", None], 0.5]
    assert line["timestamp"].endswith("Z")
    assert line["timestamp"] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before))


def test_libraries_and_warnings_pass_the_same_way(home: Path) -> None:
    """`logging` with arguments, extra levels and `warnings` become the same lines."""
    configure(home)
    logging.getLogger("lib").error("%s of %d", "one", 2)
    logging.getLogger("lib").debug("not at this level")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    first, second = lines(home)
    assert (first["logger"], first["level"], first["event"]) == ("lib", "error", "one of 2")
    assert (second["logger"], second["level"]) == ("py.warnings", "warning")
    assert "UserWarning: old" in second["event"]


def test_level_decides_what_is_kept(home: Path) -> None:
    """Below LOG_LEVEL nothing is kept, also of loggers that existed before."""
    log = structlog.get_logger("early")
    for level, expected in (("debug", 5), ("warning", 3), ("critical", 1)):
        configure(home, level=level)
        for name in ("debug", "info", "warning", "error", "critical"):
            getattr(log, name)(name)
        assert len(lines(home)) == expected
        (home / "logs" / "taskscope.log").unlink()


def test_ids_stand_where_they_exist(home: Path) -> None:
    """trace_id and span_id come from the current span, the others from the context; both may be missing."""
    configure(home, context_fields=lambda: {"task_id": "t-1", "agent_id": "coder"})
    log = structlog.get_logger()
    context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(context)):
        log.info("inside", request_id="r-1")
    log.info("outside")
    inside, outside = lines(home)
    assert inside["trace_id"] == f"{0xABC:032x}"
    assert inside["span_id"] == f"{0xDEF:016x}"
    assert (inside["task_id"], inside["agent_id"], inside["request_id"]) == ("t-1", "coder", "r-1")
    assert "trace_id" not in outside


def test_bound_context_is_on_every_line(home: Path) -> None:
    """What a service binds for one request (structlog's context variables) stands on its lines."""
    configure(home)
    with structlog.contextvars.bound_contextvars(request_id="r-2"):
        structlog.get_logger().info("x")
    assert lines(home)[0]["request_id"] == "r-2"


def test_a_field_cannot_pose_as_ours(home: Path) -> None:
    """A caller's `timestamp` or `task_id` is kept under another name."""
    configure(home, context_fields=lambda: {"task_id": "t-1"})
    structlog.get_logger().info("x", timestamp=0, task_id="t-2", level="none")
    (line,) = lines(home)
    assert (line["task_id"], line["field_task_id"]) == ("t-1", "t-2")
    assert (line["level"], line["field_level"], line["field_timestamp"]) == ("info", "none", 0)


def raise_secret() -> None:
    raise ValueError(SECRET)


@pytest.mark.parametrize("how", ["exception", "instance", "triple", "logging"])
def test_exceptions_are_shown_redacted(how: str, home: Path) -> None:
    """A traceback stands in the field `exception`, without the secret in its message."""
    configure(home)
    try:
        raise_secret()
    except ValueError as error:
        if how == "logging":
            logging.getLogger("a").exception("failed")
        elif how == "exception":
            structlog.get_logger("a").exception("failed")
        else:
            structlog.get_logger("a").error("failed", exc_info=error if how == "instance" else sys.exc_info())
    (line,) = lines(home)
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert line["exception"].endswith("ValueError: [redacted:known_value]")
    assert "exc_info" not in line


def test_no_secret_reaches_file_stream_or_store(home: Path) -> None:
    """Message, field, nested field, key name, logger and context are redacted before all three."""
    stream, recording = io.StringIO(), FakeRecording()
    configure(home, service=True, stream=stream, recording=recording, context_fields=lambda: {"a": SECRET})
    structlog.get_logger(SECRET).warning(
        f"got {TOKEN}", url=f"https://u:{SECRET}@h", deep={"list": [SECRET], SECRET: 1}, password="short"
    )
    logging.getLogger("a").warning("%s", SECRET)
    stored = repr(recording.records)
    for text in (json.dumps(lines(home)), stream.getvalue(), stored):
        assert "[redacted:known_value]" in text
        assert SECRET not in text
        assert TOKEN not in text
        assert '"short"' not in text
    assert SECRET.encode() not in b"".join(
        record.encoded + record.source.scope for record in recording.records
    )


@pytest.mark.parametrize(
    "service, level, expected", [(True, "info", 2), (False, "info", 1), (False, "debug", 2)]
)
def test_commands_keep_quiet_below_warning(service: bool, level: str, expected: int, home: Path) -> None:
    """A service shows every line it keeps, a command only warnings, unless it is asked for debug."""
    stream = io.StringIO()
    configure(home, service=service, level=level, stream=stream)
    structlog.get_logger().info("one")
    structlog.get_logger().warning("two")
    assert len(stream.getvalue().splitlines()) == expected
    assert len(lines(home)) == 2


@pytest.mark.parametrize("service", [True, False])
def test_a_command_leaves_stdout_alone(service: bool, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines go to stderr, and to stdout for a service only; piped, they are JSON."""
    configure(home, service=service, stream=None)
    structlog.get_logger().warning("x")
    said = capsys.readouterr()
    assert (bool(said.out), bool(said.err)) == (service, not service)
    assert json.loads(said.out or said.err)["event"] == "x"


def test_a_terminal_gets_readable_lines(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time, level, event and fields; NO_COLOR is heeded."""
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    configure(home, service=True, stream=terminal, context_fields=lambda: {"task_id": "t-1"})
    structlog.get_logger("a").info("indexed", files=3, note="two words")
    assert terminal.getvalue()[8:] == ' info     indexed task_id=t-1 files=3 note="two words"\n'
    monkeypatch.delenv("NO_COLOR")
    structlog.get_logger("a").error("x")
    assert "\x1b[31merror   \x1b[0m x" in terminal.getvalue()


def test_a_terminal_obeys_no_log_line(home: Path) -> None:
    """Controls, bidirectional marks and hyperlinks of a message are shown, not obeyed."""
    terminal = Terminal()
    configure(home, service=True, stream=terminal)
    hostile = ["\x1b]8;;http://x\x07", "\x1b[2J", "\x9b1m", "\u202e", "\u2066", "\r", "\x7f", "\x00", "\x08"]
    for text in hostile:
        structlog.get_logger().info(f"a{text}b", **{"field": text, f"k{text}": 1})
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger().exception("c")
    shown = terminal.getvalue()
    for color in ("\x1b[32m", "\x1b[31m", "\x1b[0m"):
        shown = shown.replace(color, "")
    assert not {char for char in "".join(hostile) if not char.isprintable()} & set(shown)


def test_a_line_stays_one_line(home: Path) -> None:
    """No character of a value ends a line of the file, for any reader."""
    configure(home)
    structlog.get_logger().info("a\nb\r\x0b\x0c\x1c\x85\u2028\u2029c", end="\n")
    (line,) = lines(home)
    assert line["event"] == "a\nb\r\x0b\x0c\x1c\x85\u2028\u2029c"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize(
    "value",
    [Hostile(), "\ud800", float("nan"), 1 << 80, b"\xff", object(), {1: {2: Hostile()}}, 10**5000],
    ids=["hostile", "surrogate", "nan", "80 bits", "bytes", "object", "nested", "5001 digits"],
)
def test_any_value_can_be_logged(value: object, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What JSON, UTF-8 or OTLP cannot carry is changed, and the line stays."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own raise at a wrong call
    recording = FakeRecording()
    configure(home, recording=recording)
    structlog.get_logger().info("x", value=value)
    logging.getLogger().info("%s", value)
    logging.getLogger().info(*("%d %d", value))
    assert len(lines(home)) == len(recording.records) == 3
    assert lines(home)[0]["event"] == "x"


def test_a_cycle_can_be_logged(home: Path) -> None:
    """A value that holds itself ends at a depth."""
    configure(home)
    cycle: list[object] = []
    cycle.append(cycle)
    structlog.get_logger().info("x", value=cycle)
    assert "[nested too deep]" in json.dumps(lines(home))


def test_long_values_are_cut_after_redaction(home: Path) -> None:
    """A field of 10 MB leaves a line of a bounded length, and no half secret at the cut."""
    configure(home)
    structlog.get_logger().info("x", value="e" * (65_536 - 10) + SECRET + "t" * 10_000_000)
    assert (home / "logs" / "taskscope.log").stat().st_size < 70_000
    assert SECRET[:8] not in json.dumps(lines(home))


def test_the_store_gets_an_otlp_record(home: Path) -> None:
    """The record's body decodes with OpenTelemetry's own classes to the same facts."""
    recording = FakeRecording()
    told = {"task_id": "t-1", "task_kind": "repair", "skill_id": "colon"}
    configure(home, recording=recording, context_fields=lambda: told)
    context = SpanContext(0xABC, 0xDEF, is_remote=False)
    with trace.use_span(NonRecordingSpan(context)):
        structlog.get_logger("a.b").warning("slow", seconds=1.5, error=None)
    (record,) = recording.records
    decoded = OtlpLogRecord.FromString(record.encoded)
    attributes = {item.key: item.value for item in decoded.attributes}
    assert (decoded.severity_number, decoded.severity_text, decoded.body.string_value) == (13, "WARN", "slow")
    assert decoded.time_unix_nano == decoded.observed_time_unix_nano == record.time_ns
    assert (decoded.trace_id, decoded.span_id) == (record.trace_id, record.span_id)
    assert (record.trace_id, record.span_id) == ((0xABC).to_bytes(16), (0xDEF).to_bytes(8))
    assert attributes["taskscope.task.id"].string_value == record.attributes["taskscope.task.id"] == "t-1"
    assert attributes["taskscope.task.kind"].string_value == "repair"
    assert attributes["gen_ai.skill.name"].string_value == "colon"
    assert "error" not in attributes
    assert attributes["seconds"].double_value == 1.5
    assert InstrumentationScope.FromString(record.source.scope).name == "a.b"
    assert record.source.resource == b"resource"


@pytest.mark.parametrize(
    "name, number, text",
    [
        ("debug", 5, "DEBUG"),
        ("info", 9, "INFO"),
        ("warning", 13, "WARN"),
        ("error", 17, "ERROR"),
        ("critical", 21, "FATAL"),
    ],
)
def test_levels_have_otel_severities(name: str, number: int, text: str, home: Path) -> None:
    """Each level of Python is the first number of its range in OpenTelemetry."""
    recording = FakeRecording()
    configure(home, level="debug", recording=recording)
    getattr(structlog.get_logger(), name)("x")
    assert [(record.severity_number, record.severity_text) for record in recording.records] == [
        (number, text)
    ]


def test_logging_while_logging_ends(home: Path) -> None:
    """A recording that logs at each record makes a bounded number of lines; the first stands first."""
    recording = FakeRecording(then=lambda: logging.getLogger("recorder").warning("again"))
    configure(home, recording=recording)
    structlog.get_logger().info("first")
    structlog.get_logger().info("second")
    events = [line["event"] for line in lines(home)]
    assert events.count("first") == events.count("second") == 1
    assert events[0] == "first"
    assert 2 < len(events) <= 32


@pytest.mark.parametrize("part", ["recording", "context", "stream"])
def test_a_broken_part_costs_no_line_and_no_exception(
    part: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever fails beside it, the line is in the file, and the caller hears nothing."""

    def fail() -> Any:
        raise KeyError

    closed = io.StringIO()
    closed.close()
    more: dict[str, dict[str, Any]] = {
        "recording": {"recording": FakeRecording(then=fail)},
        "context": {"context_fields": fail},
        "stream": {"stream": closed},
    }
    configure(home, **more[part])
    for number in range(3):
        structlog.get_logger().warning("x", number=number)
    assert [line["number"] for line in lines(home)] == [0, 1, 2]
    assert len(capsys.readouterr().err.splitlines()) == (part != "stream")


def test_an_unwritable_log_folder_is_one_warning(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The host goes on, stream and store get every line, and the file has them again once it can."""
    home.mkdir()
    (home / "logs").write_text("a file in the way")
    stream, recording = io.StringIO(), FakeRecording()
    configure(home, service=True, stream=stream, recording=recording)
    for _ in range(3):
        structlog.get_logger().info("x")
    assert capsys.readouterr().err == (
        "taskscope: the log file cannot be written (File exists); lines go without it until it can\n"
    )
    assert len(stream.getvalue().splitlines()) == len(recording.records) == 3
    (home / "logs").unlink()
    structlog.get_logger().info("again")
    assert [line["event"] for line in lines(home)] == ["again"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_one_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No space left is said once, and the host goes on."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "taskscope.log").symlink_to("/dev/full")
    configure(tmp_path)
    for _ in range(3):
        structlog.get_logger().info("x")
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a full disk takes half a line, the next line begins on one of its own."""
    file = LogFile(tmp_path / "a.log")
    with monkeypatch.context() as patch:
        real = os.write
        patch.setattr(os, "write", lambda target, data: real(target, data[:5]))
        with pytest.raises(OSError, match="only 5 of 14 bytes were written"):
            file.write(b'{"event":"x"}')
    file.write(b'{"event":"y"}')
    file.close()
    assert (tmp_path / "a.log").read_bytes() == b'{"eve\n{"event":"y"}\n'


def test_files_are_private(home: Path) -> None:
    """The log folder is 700 and every file in it 600, rotated ones too."""
    configure(home)
    structlog.get_logger().info("x")
    file = LogFile(home / "logs" / "b.log", rotate_bytes=10)
    file.write(b"0123456789")
    file.close()
    assert (home / "logs").stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in (home / "logs").iterdir()}
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


def test_files_rotate_at_their_size(tmp_path: Path) -> None:
    """A file that reached the size is put aside, its name sorts by time, and a new one begins."""
    file = LogFile(tmp_path / "a.log", rotate_bytes=100)
    for number in range(25):
        file.write(f"{number:09}".encode())
    file.close()
    rotated = sorted(path for path in tmp_path.glob("a.log.2*"))
    assert [path.stat().st_size for path in rotated] == [100, 100]
    parts = [*rotated, tmp_path / "a.log"]
    assert "".join(path.read_text() for path in parts).split() == [f"{number:09}" for number in range(25)]


def test_old_files_go(tmp_path: Path) -> None:
    """Rotated files older than the days to keep go, and all but the newest 50; foreign files stay."""
    names = [f"a.log.20260101T0000{number:02}.000000" for number in range(55)]
    for name in [*names, "a.log", "a.log.lock", "b.log.20260101T000000.000000"]:
        (tmp_path / name).write_text("x")
    week_old = time.time() - 7 * 86400 - 60
    for name in (names[54], "b.log.20260101T000000.000000"):
        os.utime(tmp_path / name, (week_old, week_old))
    LogFile(tmp_path / "a.log", keep_days=7).expire()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*names[5:54], "a.log", "a.log.lock", "b.log.20260101T000000.000000"}


WRITER = """
import sys
from pathlib import Path
from taskscope.recorder._logfile import LogFile
who, path = sys.argv[1], Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
file = LogFile(path, rotate_bytes=20_000)
for number in range(3000):
    file.write(f"{who} {number} {'x' * (number % 90)}.".encode())
"""


def test_processes_share_a_file_across_rotations(tmp_path: Path) -> None:
    """Four processes write 12,000 lines while the file rotates: each line is there once, whole, in order."""
    path = tmp_path / "a.log"
    call = [sys.executable, "-c", WRITER]
    writers = [
        subprocess.Popen(
            [*call, str(who), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for who in range(4)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n")
        assert writer.returncode == 0
    files = [*sorted(tmp_path.glob("a.log.2*")), path]
    found = [line.split() for file in files if file.exists() for line in file.read_text().splitlines()]
    assert len(files) > 10
    for who in range(4):
        own = [(int(number), tail) for writer_id, number, tail in found if writer_id == str(who)]
        assert sorted(own) == [(number, "x" * (number % 90) + ".") for number in range(3000)]


def test_threads_share_a_file(home: Path) -> None:
    """Lines of eight threads are each there once and whole."""
    configure(home)

    def write(who: int) -> None:
        for number in range(200):
            structlog.get_logger().info("x", who=who, number=number)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((line["who"], line["number"]) for line in lines(home)) == [
        (who, number) for who in range(8) for number in range(200)
    ]


def test_the_last_configuration_counts(home: Path, tmp_path: Path) -> None:
    """A second call replaces the first: no line twice; a reset leaves `logging` as it was found."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    configure(home)
    configure(tmp_path / "other", level="debug")
    structlog.get_logger().debug("x")
    assert not (home / "logs").exists()
    assert len(lines(tmp_path / "other")) == 1
    reset_logging()
    assert (root.level, list(root.handlers)) == before


def test_importing_sets_up_nothing() -> None:
    """The module costs no structlog and no OpenTelemetry SDK until it is used."""
    code = (
        "import logging, sys; import taskscope.recorder.logs; "
        "print([name for name in ('structlog', 'opentelemetry.sdk', 'yaml') if name in sys.modules],"
        " logging.getLogger().handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[] []\n"
