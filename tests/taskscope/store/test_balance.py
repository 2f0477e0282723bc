"""Where every record is, against a model that keeps each record by its number."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from taskscope.store.accounts import Accounts
from taskscope.store.balance import note_expired
from taskscope.store.database import open_database, transaction
from taskscope.store.delivery import (
    Account,
    forget_destination,
    read_accounts,
    read_quarantine,
    release_quarantine,
)
from taskscope.store.outbox import Batch, Outbox, Request
from taskscope.store.session import StoreSession

from .builders import make_span

_REQUEST = Request(0.01)
_DESTINATIONS = ("a", "b")


@dataclass
class Place:
    """What the model knows of one destination: numbers of records, each in one set."""

    waiting: set[int]
    delivered: set[int] = field(default_factory=set)
    expired: int = 0
    refused: int = 0
    quarantined: set[int] = field(default_factory=set)
    released: set[int] = field(default_factory=set)

    def expire(self, numbers: set[int]) -> None:
        for group in (self.waiting, self.quarantined, self.released):
            self.expired += len(group & numbers)
            group.difference_update(numbers)


class Model:
    """The records of one store and their ways."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = StoreSession(path)
        self.session.recover()
        self.outboxes = {name: Outbox(path, name) for name in _DESTINATIONS}
        self.stored: set[int] = set()
        self.top = 0
        self.lost = 0
        self.places: dict[str, Place] = {}

    def write(self, number: int) -> None:
        self.session.write([make_span() for _ in range(number)], Accounts())
        fresh = set(range(self.top + 1, self.top + number + 1))
        self.top += number
        self.stored |= fresh
        for place in self.places.values():
            place.waiting |= fresh

    def lose(self, number: int) -> None:
        accounts = Accounts()
        accounts.dropped["traces", "queue_full"] += number
        self.session.write([], accounts)
        self.lost += number

    def register(self, name: str) -> None:
        self.outboxes[name].register(["traces"])
        if name not in self.places:
            self.places[name] = Place(set(self.stored), expired=self.top - len(self.stored))

    def expire(self, numbers: set[int], *, is_told: bool) -> None:
        """Retention, which tells of it; or somebody who does not: then the cursor finds out."""
        numbers &= self.stored
        with closing(open_database(self.path, create=False)) as connection, transaction(connection):
            if is_told:
                note_expired(connection, "traces", sorted(numbers))
            for number in numbers:
                connection.execute("DELETE FROM span WHERE seq = ?", (number,))
        self.stored -= numbers
        for place in self.places.values():
            place.expire(numbers)

    def read(self, name: str, number: int) -> Batch:
        return self.outboxes[name].read("traces", records=number, size_bytes=1 << 20)

    def settle(self, name: str, batch: Batch, rejected: int) -> None:
        self.outboxes[name].settle(batch, _REQUEST, rejected=rejected)
        place = self.places[name]
        group = place.released if batch.is_released else place.waiting
        arrived = {entry.seq for entry in batch.entries} & group
        group -= arrived
        lost = min(rejected, len(arrived))
        place.refused += lost
        place.delivered |= set(sorted(arrived)[lost:])

    def quarantine(self, name: str) -> None:
        batch = self.read(name, 1)
        if not batch.entries:
            return
        self.outboxes[name].quarantine(batch, _REQUEST, reason="refused", problem="no")
        place = self.places[name]
        number = batch.entries[0].seq
        (place.released if batch.is_released else place.waiting).discard(number)
        place.quarantined.add(number)

    def release(self) -> None:
        with closing(open_database(self.path, create=False)) as connection:
            release_quarantine(connection)
        for place in self.places.values():
            place.released |= place.quarantined
            place.quarantined.clear()

    def forget(self, name: str) -> None:
        with closing(open_database(self.path, create=False)) as connection:
            assert forget_destination(connection, name) == (name in self.places)
        self.places.pop(name, None)

    def check(self) -> None:
        with closing(open_database(self.path, create=False, read_only=True)) as connection:
            found = {one.destination: one for one in read_accounts(connection) if one.signal == "traces"}
            kept = {(one.destination, one.seq, one.is_released) for one in read_quarantine(connection)}
        assert set(found) == {"store", *self.places}
        for name, place in self.places.items():
            self._check(found[name], place)
            assert self.outboxes[name].pending("traces") == len(place.waiting) + len(place.released)
        assert kept == {
            (name, number, is_released)
            for name, place in self.places.items()
            for is_released, numbers in ((False, place.quarantined), (True, place.released))
            for number in numbers
        }

    def _check(self, account: Account, place: Place) -> None:
        reasons = {"expired": place.expired, "refused": place.refused, "queue_full": self.lost}
        assert account.emitted == self.top + self.lost
        assert account.delivered == len(place.delivered)
        assert account.dropped == {reason: number for reason, number in reasons.items() if number}
        assert account.pending == len(place.waiting) + len(place.quarantined) + len(place.released)
        assert account.quarantined == len(place.quarantined)
        assert account.emitted == account.delivered + sum(account.dropped.values()) + account.pending

    def close(self) -> None:
        for outbox in self.outboxes.values():
            outbox.close()
        self.session.close()


_numbers = st.integers(1, 8)
_name = st.sampled_from(_DESTINATIONS)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), _numbers),
        st.tuples(st.just("lose"), _numbers),
        st.tuples(st.just("register"), _name),
        st.tuples(st.just("expire"), st.sets(st.integers(1, 40), max_size=12)),
        st.tuples(st.just("send"), _name, _numbers, st.integers(0, 3)),
        st.tuples(st.just("send late"), _name, _numbers, st.sets(st.integers(1, 40), max_size=12)),
        st.tuples(st.just("quarantine"), _name),
        st.tuples(st.just("release")),
        st.tuples(st.just("forget"), _name),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(_steps)
def test_every_record_is_in_one_place(steps: list[tuple[object, ...]]) -> None:
    """Whatever is written, lost, sent, refused, kept, released, expired and forgotten, in any order.

    Also when retention comes between the reading of a batch and its answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Model(Path(folder) / "taskscope.db")
        for step in steps:
            _take(model, *step)
            model.check()
        model.close()


def _take(model: Model, what: object, *more: object) -> None:
    is_known = not more or more[0] not in _DESTINATIONS or more[0] in model.places
    match what, *more:
        case "write", int(number):
            model.write(number)
        case "lose", int(number):
            model.lose(number)
        case "register", str(name):
            model.register(name)
        case "expire", set(numbers):
            model.expire(numbers, is_told=True)
        case "send", str(name), int(number), int(rejected) if is_known:
            model.settle(name, model.read(name, number), rejected)
        case "send late", str(name), int(number), set(numbers) if is_known:
            batch = model.read(name, number)
            model.expire(numbers, is_told=True)
            model.settle(name, batch, 0)
        case "quarantine", str(name) if is_known:
            model.quarantine(name)
        case ("release",):
            model.release()
        case "forget", str(name):
            model.forget(name)


def test_what_leaves_untold_is_found_by_the_cursor(tmp_path: Path) -> None:
    """Rows that somebody deleted by hand count as expired as soon as the cursor passes them."""
    model = Model(tmp_path / "taskscope.db")
    model.register("a")
    model.write(10)
    model.expire({2, 3, 9, 10}, is_told=False)
    for _ in range(2):
        model.settle("a", model.read("a", 100), 0)
    model.check()
    model.close()
