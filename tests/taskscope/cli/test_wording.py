"""Numbers in words."""

from __future__ import annotations

import pytest

from taskscope.cli.wording import count, describe_duration, describe_money, describe_wait, iso_time


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "0.0 ms"),
        (0.00312, "3.1 ms"),
        (0.00999, "10 ms"),
        (0.0312, "31 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (1.239, "1.24 s"),
        (9.999, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3599.6, "1 h 0 min"),
        (12_060, "3 h 21 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """A duration has two or three digits that count, and never sixty of anything."""
    assert describe_duration(seconds) == words


def test_waits_are_whole_seconds() -> None:
    """What still runs is told in whole seconds, never below zero."""
    assert [describe_wait(x) for x in (-1, 0.9, 12.9, 75)] == ["0 s", "0 s", "12 s", "1 min 15 s"]


@pytest.mark.parametrize(
    "micro, words",
    [
        (0, "0.00 USD"),
        (7, "0.000007 USD"),
        (9_999, "0.009999 USD"),
        (10_000, "0.01 USD"),
        (2_345_678, "2.35 USD"),
    ],
)
def test_money(micro: int, words: str) -> None:
    """Less than a cent shows all its digits, so that it never looks like nothing."""
    assert describe_money(micro) == words


def test_times_are_utc() -> None:
    """A time is ISO 8601 in UTC with microseconds, rounded down; nothing for nothing."""
    assert iso_time(1_763_720_000_123_456_789) == "2025-11-21T10:13:20.123456Z"
    assert iso_time(None) is None


def test_counts() -> None:
    """One is singular, others are plural."""
    assert (count(1, "call"), count(0, "call"), count(1200, "entry", "entries")) == (
        "1 call",
        "0 calls",
        "1,200 entries",
    )
