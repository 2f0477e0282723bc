"""The last point of each series: kept once however often it is sent, bounded, and gone when not renewed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.store import foreign_points
from taskscope.store.foreign_points import EXPIRY_NS, Distribution, ForeignPoint, read_points, write_points

from .builders import START

if TYPE_CHECKING:
    import sqlite3

    from .conftest import Store

NOW = START


@pytest.fixture
def writer(store: Store) -> sqlite3.Connection:
    store.session.recover()
    connection = store.session._connection
    assert connection is not None
    return connection


def point(value: Any = 5, time_ns: int = START, **more: Any) -> ForeignPoint:
    fields = {
        "name": "foreign_n",
        "service": "s",
        "instance": "i",
        "labels": (("k", "v"),),
        "kind": "counter",
    }
    return ForeignPoint(**{**fields, "time_ns": time_ns, "value": value, **more})


def write(connection: sqlite3.Connection, *points: ForeignPoint, now_ns: int = NOW) -> dict[str, int]:
    _, refused = write_points(connection, points, now_ns)
    return dict(refused)


def values(connection: sqlite3.Connection, now_ns: int = NOW) -> list[Any]:
    return [point.value for point in read_points(connection, now_ns)]


def test_what_was_written_is_read(writer: sqlite3.Connection) -> None:
    """Whole, each kind."""
    points = [
        point(0.5, name="a", kind="gauge"),
        point(7, name="b"),
        point(Distribution(3, 1.5, (0.5,), (1, 2)), name="c", kind="histogram"),
        point(Distribution(3, None, (), (3,)), name="d", kind="histogram", labels=()),
    ]
    assert write_points(writer, points, NOW) == (4, Counter())
    assert list(read_points(writer, NOW)) == points


def test_a_cumulative_point_replaces_an_older_one_only(writer: sqlite3.Connection) -> None:
    """One that was overtaken on its way does not turn a counter back."""
    write(writer, point(5, START), point(9, START + 2), point(7, START + 1))
    assert values(writer) == [9]


def test_a_delta_is_added_once(writer: sqlite3.Connection) -> None:
    """Sent again it adds nothing; buckets add up, and other buckets begin anew."""
    first, second = point(5, START, is_delta=True), point(2, START + 1, is_delta=True)
    for _ in range(3):
        write(writer, first, second)
    assert values(writer) == [7]
    whole = Distribution(1, 0.5, (1.0,), (1, 0))
    more = {"name": "h", "kind": "histogram", "is_delta": True}
    write(
        writer, point(whole, START, **more), point(Distribution(2, None, (1.0,), (0, 2)), START + 1, **more)
    )
    assert values(writer)[1] == Distribution(3, None, (1.0,), (1, 2))
    write(writer, point(Distribution(2, 9.0, (2.0,), (0, 2)), START + 2, **more))
    assert values(writer)[1] == Distribution(2, 9.0, (2.0,), (0, 2))


def test_sums_beyond_64_bits_are_doubles(writer: sqlite3.Connection) -> None:
    """Rather than an error of the store."""
    write(writer, point((1 << 63) - 1, START, is_delta=True), point((1 << 63) - 1, START + 1, is_delta=True))
    assert values(writer) == [2.0**64]


def test_a_series_that_is_not_renewed_goes(writer: sqlite3.Connection) -> None:
    """From the page after five minutes, from the store at the next write; a point sent again renews it."""
    write(writer, point(5), point(6, name="other"))
    write(writer, point(5), now_ns=NOW + EXPIRY_NS)
    assert values(writer, NOW + EXPIRY_NS) == [5, 6]
    assert values(writer, NOW + EXPIRY_NS + 1) == [5]
    write(writer, now_ns=NOW + EXPIRY_NS + 1)
    assert writer.execute("SELECT count(*) FROM foreign_point").fetchone()[0] == 1


def test_series_are_bounded(writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one metric and of all together; those that are there go on."""
    monkeypatch.setattr(foreign_points, "SERIES_LIMIT", 3)
    monkeypatch.setattr(foreign_points, "TOTAL_LIMIT", 5)
    many = [point(name=name, labels=(("k", str(number)),)) for name in ("a", "b", "c") for number in range(9)]
    assert write(writer, *many) == {"too many series": 22}
    assert write(writer, *many) == {"too many series": 22}
    assert len(values(writer)) == 5


def test_a_name_has_one_kind(writer: sqlite3.Connection) -> None:
    """The first one's, whoever sends it: a family of Prometheus has one type."""
    write(writer, point())
    assert write(writer, point(kind="gauge", service="else")) == {"a metric that was a counter before": 1}
