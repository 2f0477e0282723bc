"""When things are sent: woken by what is stored, one process at a time, never in anybody's way."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.shipper.courier import Courier
from taskscope.shipper.lock import shipping
from taskscope.shipper.loop import Shipper
from taskscope.shipper.once import ship_once
from taskscope.store.outbox import Outbox
from tests.taskscope.otlp_sink import Fault, OtlpSink
from tests.taskscope.store.builders import make_span

from .deliveries import NAME, Host, courier, destination

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60.0
"""Seconds that nothing here takes; whoever waits so long fails."""


@pytest.fixture
def make_shipper(host: Host) -> Iterator[Callable[..., Shipper]]:
    made: list[Shipper] = []

    def make(sink: OtlpSink, **more: Any) -> Shipper:
        where = destination(sink, **more.pop("endpoint", {}))

        def make_courier(name: str) -> Courier:
            return Courier(where, Outbox(host.path, name))

        made.append(Shipper(host.path, [NAME], make_courier, gather_s=0.01, **more))
        return made[-1]

    yield make
    for shipper in made:
        shipper.finish(PATIENCE, silence_s=PATIENCE)


def test_nothing_is_begun_before_something_is_stored(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]
) -> None:
    """No thread and no file; to end or to drain it then is nothing at all."""
    before = threading.active_count()
    shipper = make_shipper(sink)
    assert shipper.drain(0)
    shipper.finish()
    assert threading.active_count() == before
    assert not host.path.exists()


def test_what_is_stored_is_sent(host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]) -> None:
    """One notice brings all there is, and `drain` says when the backend has it."""
    shipper = make_shipper(sink)
    host.spans(100)
    host.logs(3)
    shipper.notify()
    assert shipper.drain(PATIENCE)
    assert len(sink.spans) == 100
    host.assert_balance(sink)


def test_drain_tells_the_truth(host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]) -> None:
    """False when its time is over and something is left; what is left arrives later."""
    shipper = make_shipper(sink)
    host.spans(3)
    sink.fail(Fault("hang"))
    shipper.notify()
    assert sink.wait_for(lambda sink: sink.attempts >= 1)
    assert not shipper.drain(0.05)
    host.assert_balance(sink)
    sink.forgive()
    assert shipper.drain(PATIENCE)
    host.assert_balance(sink)


def test_a_failure_is_tried_again_by_itself(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]
) -> None:
    """Nobody has to call: after its pause the same records go out again."""
    shipper = make_shipper(sink)
    host.spans(3)
    sink.fail(Fault(status=503))
    shipper.notify()
    assert sink.wait_for(lambda sink: len(sink.spans) == 3, PATIENCE)
    assert shipper.drain(PATIENCE)
    host.assert_balance(sink)


def test_the_end_sends_what_is_left(host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]) -> None:
    """`finish` gives one more turn to what was stored last, as long as it is taken."""
    shipper = make_shipper(sink)
    host.spans(50)
    shipper.notify()
    shipper.finish(PATIENCE, silence_s=PATIENCE)
    assert len(sink.spans) == 50
    host.assert_balance(sink)


@pytest.mark.parametrize("fault", [Fault(status=503), Fault("hang"), Fault("drip"), Fault("reset")])
def test_the_end_does_not_wait_for_who_refuses(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper], fault: Fault
) -> None:
    """The first refusal, or silence, ends it long before its time; the next process sends the rest."""
    shipper = make_shipper(sink, endpoint={"timeout_s": 600.0})
    host.spans(5)
    sink.fail(*[fault] * 20)
    shipper.notify()
    assert sink.wait_for(lambda sink: sink.attempts >= 1)
    ended = threading.Thread(target=shipper.finish, args=(600.0,))
    ended.start()
    ended.join(PATIENCE)
    assert not ended.is_alive()
    host.assert_balance(sink)
    with OtlpSink() as well:
        next_one = courier(host, destination(well))
        assert ship_once(host.path, next_one).pending == 0
        next_one.close()
        host.assert_balance(well)


def test_what_the_end_took_before_is_of_its_silence(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]
) -> None:
    """An end that began long ago, since storing took so long, does not wait for the whole of it once more."""
    shipper = make_shipper(sink, endpoint={"timeout_s": 600.0})
    host.spans(5)
    sink.fail(Fault("hang"))
    shipper.notify()
    assert sink.wait_for(lambda sink: sink.attempts >= 1)
    began = time.monotonic() - 600.0
    ended = threading.Thread(target=partial(shipper.finish, 600.0, silence_s=600.0, began=began))
    ended.start()
    ended.join(PATIENCE)
    assert not ended.is_alive()
    host.assert_balance(sink)


def test_the_end_begins_nothing_that_it_would_not_hear_of(host: Host, sink: OtlpSink) -> None:
    """A backend that is known to take longer than the end waits would have the same records twice."""
    made = Courier(destination(sink), Outbox(host.path, NAME))
    made.answered_s = 2.0
    shipper = Shipper(host.path, [NAME], lambda _name: made, gather_s=PATIENCE)
    host.spans(3)
    shipper.notify()
    shipper.finish(PATIENCE, silence_s=1.0)
    assert sink.attempts == 0
    host.assert_balance(sink)


def test_an_end_that_was_not_answered_keeps_the_next_one_from_sending(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]
) -> None:
    """For a minute: or each would send once more what all before it sent in vain."""
    host.spans(3)
    gone = Outbox(host.path, NAME)
    assert gone.begin_end()
    gone.close()
    shipper = make_shipper(sink)
    shipper.gather_s = PATIENCE
    shipper.notify()
    shipper.finish(PATIENCE, silence_s=PATIENCE)
    assert sink.attempts == 0
    host.assert_balance(sink)


def test_an_end_that_was_answered_lets_the_next_one_send(host: Host, sink: OtlpSink) -> None:
    """Whatever the answer was; and a mark of long ago, or of a clock that was set back, is none."""
    outbox = Outbox(host.path, NAME)
    host.spans(1)
    assert [outbox.begin_end(), outbox.begin_end()] == [True, False]
    outbox.finish_end()
    for moment in (0, 1 << 62):
        assert outbox.begin_end()
        with host.open(read_only=False) as connection:
            connection.execute("UPDATE meta SET value = ? WHERE name LIKE 'end:%'", (str(moment),))
    outbox.close()


def test_the_end_waits_once_for_all_who_are_silent(host: Host) -> None:
    """Silence is counted from the beginning of the end: what is loaded and connected first is within it."""
    begun, go_on = threading.Event(), threading.Event()

    def make_courier(_name: str) -> Courier:
        begun.set()
        go_on.wait(PATIENCE)
        raise RuntimeError("too late")

    shipper = Shipper(host.path, ["a", "b"], make_courier, gather_s=0.0)
    host.spans(1)
    shipper.notify()
    assert begun.wait(PATIENCE)
    ended = threading.Thread(target=shipper.finish, args=(600.0,))
    ended.start()
    ended.join(PATIENCE)
    assert not ended.is_alive()
    go_on.set()


def test_an_end_of_our_own_is_no_failure_of_theirs(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]
) -> None:
    """A request that we broke off holds nobody back."""
    shipper = make_shipper(sink)
    host.spans(1)
    sink.fail(Fault("hang"), Fault("hang"))
    shipper.notify()
    assert sink.wait_for(lambda sink: sink.attempts >= 1)
    shipper.finish(0.0)
    for thread in threading.enumerate():
        if thread.name == f"taskscope-ship-{NAME}":
            thread.join(PATIENCE)
    assert host.account().problem is None


def test_one_process_ships_at_a_time(host: Host, sink: OtlpSink) -> None:
    """The lock is of the process and of the thread: nobody else gets it, and it is free afterwards."""
    host.spans(1)
    folder = host.path.parent / "journal"
    probe = (
        "import sys; from pathlib import Path; from taskscope.shipper.lock import shipping\n"
        "with shipping(Path(sys.argv[1]), 'otlp') as is_ours: print(is_ours)"
    )

    def ask() -> str:
        return subprocess.run(
            [sys.executable, "-c", probe, str(folder)], capture_output=True, text=True, check=True
        ).stdout.strip()

    with (
        shipping(folder, "otlp") as is_ours,
        shipping(folder, "otlp") as again,
        shipping(folder, "b") as other,
    ):
        assert (is_ours, again, other) == (True, False, True)
        assert ask() == "False"
    assert ask() == "True"


def test_who_finds_the_lock_taken_leaves_it_to_the_other(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]
) -> None:
    """While another process ships nothing is sent from here; once it is done we look ourselves."""
    shipper = make_shipper(sink, poll_s=0.05)
    host.spans(3)
    with shipping(host.path.parent / "journal", NAME):
        shipper.notify()
        assert not shipper.drain(0.1)
        assert sink.attempts == 0
    assert shipper.drain(PATIENCE)
    host.assert_balance(sink)


def test_two_shippers_send_nothing_twice(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]
) -> None:
    """Both are told of everything; each record goes out once."""
    shippers = [make_shipper(sink, poll_s=0.01) for _ in range(2)]
    for _ in range(20):
        host.spans(10)
        for shipper in shippers:
            shipper.notify()
    assert all(shipper.drain(PATIENCE) for shipper in shippers)
    ids = [span.span_id for span in sink.spans]
    assert len(ids) == len(set(ids)) == 200
    host.assert_balance(sink)


def test_with_polling_it_finds_what_others_store(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]
) -> None:
    """A daemon is told of nothing after its start."""
    shipper = make_shipper(sink, poll_s=0.05)
    shipper.notify()
    host.spans(3)
    assert sink.wait_for(lambda sink: len(sink.spans) == 3, PATIENCE)
    assert shipper.drain(PATIENCE)
    host.assert_balance(sink)


def test_a_thread_survives_what_it_cannot_understand(
    host: Host, sink: OtlpSink, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of the store is counted, and the next turn does the work."""
    counted: list[tuple[str, str]] = []
    where = destination(sink)
    made = Courier(where, Outbox(host.path, where.name))
    begin, errors = made.begin, [RuntimeError("odd")]

    def begin_badly() -> None:
        if errors:
            raise errors.pop()
        begin()

    made.begin = begin_badly  # type: ignore[method-assign]
    shipper = Shipper(
        host.path,
        [NAME],
        lambda _name: made,
        gather_s=0.01,
        count_error=lambda *error: counted.append(error),
    )
    host.spans(1)
    with caplog.at_level(logging.WARNING, logger="taskscope"):
        shipper.notify()
        assert sink.wait_for(lambda sink: len(sink.spans) == 1, PATIENCE)
    shipper.finish(PATIENCE)
    assert counted == [("shipper", "RuntimeError")]
    assert not caplog.records
    host.assert_balance(sink)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_ships_on_its_own(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]
) -> None:
    """While the parent's thread is at work: each has its own connection, and nothing is lost.

    What a busy store cannot settle in time comes again, by whoever ships next: at least once.
    """
    shipper = make_shipper(sink)
    for _ in range(10):
        host.spans(10)
        shipper.notify()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                own = Host(host.path)
                own.write(make_span("child", span_id=os.urandom(8)))
                shipper.notify()
                code = 0 if shipper.drain(PATIENCE) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        host.made["traces"] += 1
    assert shipper.drain(PATIENCE)
    assert len({span.span_id for span in sink.spans}) == 110
    host.assert_balance(sink)


def test_the_end_sends_the_metrics_before_they_are_due(
    host: Host, sink: OtlpSink, make_shipper: Callable[..., Shipper]
) -> None:
    """What a short program did is in the numbers when it ends: the next one may come tomorrow."""
    made = courier(host, destination(sink))
    host.spans(1)
    made.step("metrics")
    made.close()
    with host.open(read_only=False) as connection:
        connection.execute("UPDATE cursor SET succeeded = succeeded - 2000000000 WHERE signal = 'metrics'")
    shipper = make_shipper(sink)
    host.spans(2)
    shipper.notify()
    shipper.finish(PATIENCE, silence_s=PATIENCE)
    last = sink.arrived[-1]
    assert last.path == "/v1/metrics"
    emitted = [
        point.as_int
        for metric in last.message.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "taskscope.records.emitted"
        for point in metric.sum.data_points
        if point.attributes[0].value.string_value == "traces"
    ]
    assert emitted[-1] == 3
