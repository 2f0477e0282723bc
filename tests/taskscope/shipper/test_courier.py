"""What a destination says decides where a record is; the sums hold after every answer."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.semconv import attributes as attr
from taskscope.shipper.courier import BATCH_BYTES, Courier, Step
from taskscope.store import wire
from taskscope.store.balance import note_expired
from taskscope.store.database import transaction
from taskscope.store.delivery import read_quarantine, release_quarantine
from taskscope.store.records import Source
from taskscope.store.wire import SpanBody
from tests.taskscope.otlp_sink import Fault, OtlpSink, records_of
from tests.taskscope.store.builders import make_span

from .deliveries import Host, courier, destination, send_all

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def made(host: Host, sink: OtlpSink) -> Iterator[Courier]:
    """A courier from the host to the sink."""
    made = courier(host, destination(sink))
    yield made
    made.close()


def release_holds(host: Host) -> None:
    """Let time pass: what was held may be tried again."""
    with host.open(read_only=False) as connection:
        connection.execute("UPDATE cursor SET held_until = 0")


def send_through(made: Courier, host: Host, rounds: int = 50) -> None:
    """Send until nothing is left, however often it has to be tried again; the sums hold each time."""
    for _ in range(rounds):
        if send_all(made)[-1] is Step.IDLE and not made.pending():
            return
        release_holds(host)
    pytest.fail("it was never through")


def test_records_arrive_as_they_were_stored(host: Host, sink: OtlpSink, made: Courier) -> None:
    """Byte for byte, in the order of the store, in a few requests; then nothing is left."""
    spans = [make_span(f"span {index}", {"n": index}) for index in range(5000)]
    host.write(*spans)
    host.logs(10)
    send_all(made)
    assert [span.SerializeToString() for span in sink.spans] == [span.body for span in spans]
    assert len(sink.logs) == 10
    assert sink.attempts <= 4
    assert all(one.headers["content-encoding"] == "gzip" for one in sink.arrived)
    assert send_all(made) == [Step.IDLE, Step.IDLE]
    host.assert_balance(sink)


def test_nothing_is_compressed_where_that_is_said(host: Host, sink: OtlpSink) -> None:
    """`none` sends plain bodies."""
    host.spans(1)
    made = courier(host, destination(sink, is_compressed=False))
    send_all(made)
    made.close()
    assert "content-encoding" not in sink.arrived[0].headers
    host.assert_balance(sink)


def test_no_batch_is_larger_than_a_mebibyte(host: Host, sink: OtlpSink, made: Courier) -> None:
    """Unless one record alone is; many small ones are as many requests as they need."""
    host.spans(120, size=30_000)
    host.spans(1, size=3 << 20)
    host.spans(3)
    send_all(made)
    sizes = [(len(records_of(one.message)), one.size_bytes) for one in sink.arrived]
    assert [records for records, size in sizes if size > BATCH_BYTES] == [1]
    assert len(sizes) == 6
    host.assert_balance(sink)


def test_one_that_is_too_large_stays_and_the_others_arrive(host: Host) -> None:
    """22 spans, one of 20 MB, a limit of 4 MB: 21 arrive; the last is kept, counted and marked."""
    with OtlpSink(limit_bytes=4 << 20) as sink:
        host.spans(10)
        host.spans(1, size=20_000_000, name="fat")
        host.spans(11)
        made = courier(host, destination(sink))
        send_all(made)
        made.close()
        assert len(sink.spans) == 21
        host.assert_balance(sink)
        account = host.account()
        assert (account.pending, account.quarantined) == (1, 1)
        with host.open() as connection:
            (kept,) = read_quarantine(connection)
        body = SpanBody(kept.body)
        assert (body.name, kept.reason, len(body.attributes["text"])) == ("fat", "too_large", 20_000_000)
        assert body.attributes[attr.QUARANTINE_REASON] == "too_large"
        assert "413" in kept.message


def test_a_limit_below_ours_is_learned(host: Host) -> None:
    """Batches are halved until they are taken, and stay so small: only the first ones are sent in vain."""
    with OtlpSink(limit_bytes=200_000) as sink:
        host.spans(100, size=20_000)
        made = courier(host, destination(sink))
        send_all(made)
        made.close()
        assert len(sink.spans) == 100
        assert len([one for one in sink.arrived if not one.is_taken]) <= 4
        host.assert_balance(sink)
        assert host.account().quarantined == 0


def test_refused_records_are_found(host: Host) -> None:
    """Of 1,000 spans three are refused with 400: they alone go into quarantine, in few requests."""
    bad = {"bad 1", "bad 2", "bad 3"}
    with OtlpSink(refuses=lambda span: span.name in bad) as sink:
        for index in range(1000):
            if index in {0, 500, 999}:
                host.spans(1, name=f"bad {index // 499 + 1}")
            host.write(make_span(f"good {index}"))
        made = courier(host, destination(sink))
        send_all(made)
        made.close()
        assert len(sink.spans) == 1000
        host.assert_balance(sink)
        with host.open() as connection:
            kept = read_quarantine(connection)
        assert {SpanBody(one.body).name for one in kept} == bad
        assert {one.reason for one in kept} == {"refused"}
        assert sink.attempts < 80


def test_a_backend_that_refuses_everything_fills_no_quarantine(host: Host, sink: OtlpSink) -> None:
    """It never took anything and refuses an empty request too: then no record is at fault."""
    host.spans(5)
    sink.fail(Fault(status=400, times=100))
    made = courier(host, destination(sink))
    assert send_all(made)[0] is Step.SENT  # halved
    assert host.account().quarantined == 0
    assert host.account().pending == 5
    host.assert_balance(sink)
    made.close()


def test_what_is_in_quarantine_can_be_sent_again(host: Host, sink: OtlpSink, made: Courier) -> None:
    """Released, it is sent with its mark; refused again, it is back."""
    host.spans(2)
    sink.refuses = lambda span: True
    made.step("logs")
    send_all(made, ["traces"])
    assert host.account().quarantined == 2
    for is_refused in (True, False):
        sink.refuses = (lambda span: True) if is_refused else (lambda span: False)
        with host.open(read_only=False) as connection:
            assert release_quarantine(connection) == 2
        assert made.pending() == 2
        host.assert_balance(sink)
        send_all(made)
        assert host.account().quarantined == (2 if is_refused else 0)
        host.assert_balance(sink)
    (mark,) = {attribute.value.string_value for span in sink.spans for attribute in span.attributes}
    assert mark == "refused"
    assert host.account().delivered == 2


def test_partial_success_is_counted(host: Host, sink: OtlpSink, made: Courier) -> None:
    """Two of ten were not taken, and nobody says which: they are dropped as refused, with the message."""
    host.spans(10)
    sink.fail(Fault("partial", rejected=2, body="too old"))
    send_all(made)
    account = host.account()
    assert (account.delivered, account.dropped, account.pending) == (8, {"refused": 2}, 0)
    assert account.emitted == 10
    assert "too old" in (account.problem or "")


def test_more_rejected_than_sent_is_no_more_than_sent(host: Host, sink: OtlpSink, made: Courier) -> None:
    """A backend that miscounts does not break the sums."""
    host.spans(3)
    sink.fail(Fault("partial", rejected=99, body="?"))
    send_all(made)
    account = host.account()
    assert (account.delivered, account.dropped, account.pending) == (0, {"refused": 3}, 0)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(status=500),
        Fault(status=401),
        Fault(status=404),
        Fault(status=302, headers={"Location": "/v1/logs"}),
        Fault("page"),
        Fault("reset"),
        Fault("close"),
        Fault("torn"),
        Fault("torn", body="HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
        Fault("torn", body="HTTP/1.1 200 OK\r\n\r\n"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
def test_what_was_not_taken_is_sent_later(host: Host, sink: OtlpSink, made: Courier, fault: Fault) -> None:
    """The cursor stays, nobody tries again before its time, and then all arrives exactly once."""
    host.spans(3)
    sink.fail(fault, fault)
    assert made.step("traces") in {Step.HELD, Step.STUCK}
    attempts = sink.attempts
    assert made.step("traces") is Step.HELD
    assert sink.attempts == attempts
    account = host.account()
    assert (account.delivered, account.pending, account.quarantined) == (0, 3, 0)
    assert account.problem
    host.assert_balance(sink)
    send_through(made, host)
    assert len(sink.spans) == 3
    host.assert_balance(sink)


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_who_does_not_answer_in_time_is_left(host: Host, sink: OtlpSink, kind: str) -> None:
    """A request has its timeout, and the records stay."""
    host.spans(3)
    sink.fail(Fault(kind))
    made = courier(host, destination(sink, timeout_s=0.2))
    assert made.step("traces") is Step.HELD
    assert "no answer in time" in (host.account().problem or "")
    host.assert_balance(sink)
    made.close()
    patient = courier(host, destination(sink))
    send_through(patient, host)
    host.assert_balance(sink)
    patient.close()


def test_a_lost_answer_may_double_a_record_but_not_its_count(
    host: Host, sink: OtlpSink, made: Courier
) -> None:
    """At least once: taken, and the answer lost, it comes again with the same ids."""
    host.spans(3)
    sink.fail(Fault("taken_reset"))
    send_through(made, host)
    ids = [span.span_id for span in sink.spans]
    assert (len(ids), len(set(ids))) == (6, 3)
    host.assert_balance(sink)


def test_an_outage_loses_nothing(host: Host, sink: OtlpSink, made: Courier) -> None:
    """Records made while a backend fails in every way all arrive, and the sums hold at every moment."""
    kinds = ["reset", "torn", "close", "page", "taken_reset"]
    for index in range(30):
        host.spans(20, size=100)
        host.logs(5)
        sink.fail(Fault(kinds[index % len(kinds)]) if index % 3 else Fault(status=500 + index))
        send_all(made)
        release_holds(host)
        arrived = {span.span_id for span in sink.spans}
        account = host.account()
        assert account.emitted == account.delivered + account.pending == 20 * (index + 1)
        assert account.delivered <= len(arrived)
    send_through(made, host)
    assert len({span.span_id for span in sink.spans}) == 600
    host.assert_balance(sink)


def test_retry_after_holds_every_process(host: Host, sink: OtlpSink, made: Courier) -> None:
    """What one was told holds for the others too, up to ten minutes."""
    host.spans(1)
    sink.fail(Fault(status=429, headers={"Retry-After": "3600"}))
    assert made.step("traces") is Step.HELD
    assert 500 < made.held_s("traces") <= 600
    other = courier(host, destination(sink))
    assert other.step("traces") is Step.HELD
    assert sink.attempts == 1
    assert other.step("traces", is_urgent=True) is Step.SENT
    other.close()
    host.assert_balance(sink)


def test_pauses_grow_and_stay_bounded(host: Host, sink: OtlpSink, made: Courier) -> None:
    """Twice as long each time, with jitter, never above a minute; and begin anew after a success."""
    host.spans(1)
    sink.fail(Fault(status=503, times=20))
    pauses = []
    for _ in range(20):
        assert made.step("traces") is Step.HELD
        pauses.append(made.held_s("traces"))
        release_holds(host)
    assert pauses[0] <= 0.5
    assert all(pause <= 60 for pause in pauses)
    assert min(pauses[-5:]) > 25
    send_all(made)
    host.spans(1)
    sink.fail(Fault(status=503))
    assert made.step("traces") is Step.HELD
    assert made.held_s("traces") <= 0.5


def test_a_clock_that_was_set_back_does_not_silence_us(host: Host, sink: OtlpSink, made: Courier) -> None:
    """A hold that ends beyond all that is ever waited is of another time, and over."""
    host.spans(1)
    with host.open(read_only=False) as connection:
        connection.execute("UPDATE cursor SET held_until = 4000000000000000000")
    assert made.step("traces") is Step.SENT
    host.assert_balance(sink)


def test_it_is_warned_of_once(
    host: Host, sink: OtlpSink, made: Courier, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred failures of one kind are one line, which names the URL and says that nothing is lost."""
    host.spans(1)
    sink.fail(Fault(status=503, times=100))
    with caplog.at_level(logging.DEBUG, logger="taskscope"):
        for _ in range(100):
            made.step("traces", is_urgent=True)
    (line,) = [record.message for record in caplog.records]
    assert f"{sink.url}/v1/traces: answers 503" in line
    assert "records are kept and sent later" in line


def test_what_a_backend_says_is_redacted(host: Host, sink: OtlpSink) -> None:
    """It may repeat a secret of ours; that stands neither in the store nor in a log line."""
    host.spans(1)
    sink.fail(Fault(status=401, body="no such token hunter2"))
    made = courier(host, destination(sink), redact=lambda text: text.replace("hunter2", "[redacted]"))
    assert made.step("traces") is Step.STUCK
    made.close()
    assert "no such token [redacted]" in (host.account().problem or "")


def test_a_store_that_cannot_be_written_sends_nothing_twice(
    host: Host, sink: OtlpSink, made: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrived and could not be written down is written down first: no request goes out before."""
    host.spans(3)
    settle = made.outbox.settle

    def fail(*_args: Any, **_more: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(made.outbox, "settle", fail)
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError):
            made.step("traces")
        made.outbox.close()
    assert sink.attempts == 1
    monkeypatch.setattr(made.outbox, "settle", settle)
    assert send_all(made, ["traces"]) == [Step.IDLE]
    assert sink.attempts == 1
    host.assert_balance(sink)


def test_records_that_expire_are_counted(host: Host, sink: OtlpSink, made: Courier) -> None:
    """What retention takes before it was sent, in quarantine too, is dropped as expired and never sent."""
    host.spans(10)
    sink.refuses = lambda span: span.span_id == first
    with host.open() as connection:
        first = connection.execute("SELECT span FROM span WHERE seq = 1").fetchone()[0]
    send_all(made)
    assert host.account().quarantined == 1
    host.spans(10)
    host.assert_balance(sink)
    with host.open(read_only=False) as connection, transaction(connection):
        leaving = [1, 2, 11, 12, 15]
        note_expired(connection, "traces", leaving)
        connection.execute("DELETE FROM span WHERE seq IN (1, 2, 11, 12, 15)")
    account = host.account()
    assert (account.dropped, account.pending, account.quarantined) == ({"expired": 4}, 7, 0)
    host.assert_balance(sink)
    send_all(made)
    account = host.account()
    assert (account.delivered, account.dropped, account.pending) == (16, {"expired": 4}, 0)
    host.assert_balance(sink)


def test_records_that_leave_while_they_are_sent_are_counted_once(
    host: Host, sink: OtlpSink, made: Courier
) -> None:
    """Retention between the reading of a batch and its answer: each record is in one place."""
    host.spans(10)
    batch = made.outbox.read("traces", records=100, size_bytes=1 << 20)
    with host.open(read_only=False) as connection, transaction(connection):
        note_expired(connection, "traces", [1, 2, 3, 5])
        connection.execute("DELETE FROM span WHERE seq IN (1, 2, 3, 5)")
    made.outbox.settle(batch, None)
    account = host.account()
    assert (account.delivered, account.dropped, account.pending) == (6, {"expired": 4}, 0)


def test_a_gap_that_nobody_told_of_is_expired(host: Host, sink: OtlpSink, made: Courier) -> None:
    """Rows that somebody deleted by hand, in the middle and at the end, are dropped, not pending for ever."""
    host.spans(10)
    with host.open(read_only=False) as connection:
        connection.execute("DELETE FROM span WHERE seq IN (3, 4, 9, 10)")
    send_all(made)
    account = host.account()
    assert (account.delivered, account.dropped, account.pending) == (6, {"expired": 4}, 0)


def test_a_destination_that_comes_later_gets_what_is_there(host: Host, sink: OtlpSink) -> None:
    """What left before it came is expired for it, what never reached the store is dropped: the sums hold."""
    host.spans(10)
    host.lose(3)
    with host.open(read_only=False) as connection:
        connection.execute("DELETE FROM span WHERE seq IN (1, 2, 5)")
    made = courier(host, destination(sink))
    account = host.account()
    assert account.emitted == 13
    assert (account.dropped, account.pending) == ({"expired": 3, "queue_full": 3}, 7)
    host.assert_balance(sink)
    host.lose(2)
    send_all(made)
    made.close()
    account = host.account()
    assert (account.delivered, account.dropped, account.pending) == (7, {"expired": 3, "queue_full": 5}, 0)
    host.assert_balance(sink)


def test_destinations_have_their_own_ways(host: Host, sink: OtlpSink) -> None:
    """One that fails keeps the other from nothing, and each has its own account."""
    with OtlpSink() as second:
        host.spans(5)
        sink.fail(Fault(status=503))
        first, other = courier(host, destination(sink)), courier(host, destination(second, "tempo"))
        assert send_all(first, ["traces"]) == [Step.HELD]
        send_all(other)
        host.assert_balance(sink)
        host.assert_balance(second, "tempo")
        assert (host.account().pending, host.account(destination="tempo").delivered) == (5, 5)
        first.close()
        other.close()


def test_requests_are_measured(host: Host, sink: OtlpSink, made: Courier) -> None:
    """Each request is in the histogram, a failed one with its error; the last success has its time."""
    host.spans(1)
    sink.fail(Fault(status=503))
    made.step("traces")
    release_holds(host)
    send_all(made)
    points, _ = made.outbox.aggregates()
    counts = {
        tuple(value for _, value in point.labels): getattr(point.value, "count", point.value)
        for point in points
        if point.name == "taskscope.shipper.request.duration"
    }
    assert counts["traces", "otlp", ""] == counts["traces", "otlp", "503"] == 1
    assert counts["logs", "otlp", ""] == 0
    (moment,) = [point.value for point in points if point.name == "taskscope.shipper.success.timestamp"]
    assert isinstance(moment, float)
    assert moment > 1_700_000_000


def test_the_records_of_others_say_whose_numbers_hold_them(host: Host, sink: OtlpSink, made: Courier) -> None:
    """Their resource stays and names our store besides; that of our own recorder stays as it is."""
    ours = wire.attributes(b"\x0a", {"service.name": "a", "telemetry.distro.name": "taskscope"})
    host.write(make_span("theirs"), make_span("ours")._replace(source=Source(ours, b"")))
    send_all(made)
    with host.open() as connection:
        (instance,) = connection.execute("SELECT value FROM meta WHERE name = 'instance'").fetchone()
    said = {
        group.scope_spans[0].spans[0].name: {
            pair.key: pair.value.string_value for pair in group.resource.attributes
        }
        for one in sink.arrived
        if one.path == "/v1/traces"
        for group in one.message.resource_spans
    }
    assert said == {
        "theirs": {"service.name": "test", "taskscope.store.id": instance},
        "ours": {"service.name": "a", "telemetry.distro.name": "taskscope"},
    }
