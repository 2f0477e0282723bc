"""`ship` and `records`: what is left goes out, and everybody can see where it is."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskscope.cli import main
from taskscope.shipper.once import ship_once
from tests.taskscope.otlp_sink import Fault, OtlpSink

from .stores import fill, fill_and_die, make_log, make_repair, run_taskscope, shown, told

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
SPANS = 13
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


@pytest.fixture
def endpoint(sink: OtlpSink, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(ENDPOINT, sink.url)
    return sink.url


def accounts(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], dict[str, object]]:
    found = json.loads(shown(capsys, "records", "--json"))
    return {(one["destination"], one["signal"]): one for one in found}


def test_once_sends_all_and_the_metrics(
    home: Path, sink: OtlpSink, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, one line; the accounts agree with what arrived, and a second time nothing is sent."""
    fill(home, *make_repair(), make_log(1, None, "hello"))
    assert shown(capsys, "ship", "--once") == f"otlp: {SPANS + 1} records sent\n"
    assert (len(sink.spans), len(sink.logs)) == (SPANS, 1)
    assert {metric.name for metric in sink.metrics} >= {"taskscope.task.executions"}
    found = accounts(capsys)
    assert found["otlp", "traces"]["delivered"] == found["otlp", "traces"]["emitted"] == SPANS
    assert shown(capsys, "ship", "--once") == "otlp: 0 records sent\n"
    assert len(sink.spans) == SPANS


def test_the_task_of_a_killed_process_arrives_whole(
    home: Path, sink: OtlpSink, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its open spans are closed as interrupted before they are sent, each with its parent."""
    fill_and_die(home)
    shown(capsys, "ship", "--once")
    spans = {span.span_id: span for span in sink.spans}
    assert len(spans) == len(sink.spans) == 6
    roots = [span for span in spans.values() if not span.parent_span_id]
    assert [span.name for span in roots] == ["invoke_workflow repair"]
    assert all(span.parent_span_id in spans for span in spans.values() if span.parent_span_id)
    ended = {span.name: span.status.code for span in spans.values()}
    assert ended.pop("search_memory") == 0
    assert set(ended.values()) == {2}


def test_nowhere_to_ship_to_is_wrong_use(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the sentence names the variable to set."""
    fill(home, *make_repair())
    assert ENDPOINT in told(capsys, "ship", "--once", code=2)


def test_a_protocol_that_is_not_spoken_is_wrong_use(
    home: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the sentence says what to do."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    fill(home, *make_repair())
    done = run_taskscope("ship", "--once", home=home)
    assert done.returncode == 2
    assert "4318" in done.stderr


@pytest.mark.parametrize(
    "fault, words",
    [
        (Fault(status=404, times=99), "'/v1/traces'"),
        (Fault(status=401, times=99), "OTEL_EXPORTER_OTLP_HEADERS"),
        (Fault("page", times=99), "not OTLP"),
    ],
)
def test_what_is_left_is_told(
    home: Path, sink: OtlpSink, endpoint: str, fault: Fault, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3; how many records wait, for whom, and why."""
    fill(home, *make_repair())
    sink.fail(fault)
    assert main(("ship", "--once")) == 3
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"taskscope: {SPANS} records left for otlp: ")
    assert words in last


def test_metrics_that_are_not_taken_are_told(
    home: Path, sink: OtlpSink, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, though every record arrived."""
    fill(home, *make_repair())
    sink.fail(Fault(status=404, times=9, paths=("/v1/metrics",)))
    assert main(("ship", "--once")) == 3
    out, err = capsys.readouterr()
    assert out == f"otlp: {SPANS} records sent\n"
    assert "metrics left for otlp: " in err.splitlines()[-1]


def test_nobody_there_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, once it has been patient for a moment; of its three seconds a part is enough here."""
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setattr(ship_once, "__kwdefaults__", {"patience_s": 0.2})
    fill(home, *make_repair())
    assert main(("ship", "--once")) == 3
    assert "nobody listens there" in capsys.readouterr().err.splitlines()[-1]


def test_a_refused_record_is_listed_and_can_be_sent_again(
    home: Path, sink: OtlpSink, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and a warning; `records` has its name, size and reason; `--retry` sends it."""
    fill(home, *make_repair())
    sink.refuses = lambda span: span.name == "python"
    assert shown(capsys, "records", "--quarantined") == "no record was refused\n"
    shown(capsys, "ship", "--once", code=1)
    assert accounts(capsys)["otlp", "traces"]["quarantined"] == 1
    line = shown(capsys, "records", "--quarantined")
    assert re.search(r"otlp traces  python  [0-9,]+ bytes  refused: .*answers 400", line)
    (record,) = json.loads(shown(capsys, "records", "--quarantined", "--json"))
    assert (record["name"], record["reason"], record["retry"]) == ("python", "refused", False)
    assert "1 record will be sent again" in shown(capsys, "records", "--retry")
    assert "to be sent again" in shown(capsys, "records", "--quarantined")
    sink.refuses = lambda span: False
    assert shown(capsys, "ship", "--once") == "otlp: 1 record sent\n"
    found = accounts(capsys)["otlp", "traces"]
    assert (found["delivered"], found["pending"], found["quarantined"]) == (SPANS, 0, 0)


def test_records_is_a_table(
    home: Path, sink: OtlpSink, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each signal and destination with its numbers, and below it what is wrong there."""
    fill(home, *make_repair())
    sink.fail(Fault(status=403, body="no, ask Ann", times=99))
    shown(capsys, "ship", "--once", code=3)
    lines = shown(capsys, "records").splitlines()
    assert lines[0].split() == ["made", "delivered", "dropped", "pending", "quarantined"]
    assert lines[1].split() == ["store", "traces", "13", "13", "0", "0", "0"]
    (place,) = [line for line in lines if line.startswith("otlp traces")]
    assert place.split() == ["otlp", "traces", "13", "0", "0", "13", "0"]
    assert "oldest pending:" in lines[lines.index(place) + 1]
    assert "answers 403: no, ask Ann" in lines[lines.index(place) + 2]


def test_a_destination_can_be_forgotten(
    home: Path, sink: OtlpSink, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is no longer used waits for nothing; a name that nobody knows is exit code 2."""
    fill(home, *make_repair())
    shown(capsys, "ship", "--once")
    shown(capsys, "records", "--forget", "otlp")
    assert {destination for destination, _ in accounts(capsys)} == {"store"}
    assert "'otlp'" in told(capsys, "records", "--forget", "otlp", code=2)
    assert shown(capsys, "ship", "--once") == f"otlp: {SPANS} records sent\n"  # it began anew


def test_the_daemon_sends_until_it_is_stopped(home: Path, sink: OtlpSink) -> None:
    """It finds what others store, also what they left when they died; SIGTERM ends it with 0."""
    fill(home, *make_repair())
    daemon = subprocess.Popen(
        [sys.executable, "-m", "taskscope", "ship"],
        env={**os.environ, "AGENT_HOME": str(home), ENDPOINT: sink.url},
        stderr=subprocess.PIPE,
        text=True,
        cwd=home.parent,
    )
    assert daemon.stderr is not None
    assert "shipping to otlp" in daemon.stderr.readline()
    assert sink.wait_for(lambda sink: len(sink.spans) == SPANS)
    fill(home, make_log(1, None, "later"))
    assert sink.wait_for(lambda sink: len(sink.logs) == 1)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0
    daemon.stderr.close()


def test_the_sink_is_a_program_too(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run as a process it prints its address, and `/counts` tells how often each span arrived."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.taskscope.otlp_sink"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    url = process.stdout.readline().strip()
    request = urllib.request.Request(f"{url}/faults", data=b'[{"kind": "status", "status": 503}]')
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    monkeypatch.setenv(ENDPOINT, url)
    fill(home, *make_repair())
    shown(capsys, "ship", "--once")
    with urllib.request.urlopen(f"{url}/counts") as answer:
        counts = json.load(answer)
    assert set(counts["spans"].values()) == {1}
    assert len(counts["spans"]) == SPANS
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
