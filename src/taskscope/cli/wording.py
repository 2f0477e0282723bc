"""Durations, times, money and counts, in words for people and in ISO 8601 for scripts."""

from __future__ import annotations

from datetime import UTC, datetime

from taskscope.store.shapes import iso_time, seconds_between

__all__ = [
    "OUTCOMES",
    "VERIFICATIONS",
    "count",
    "describe_duration",
    "describe_money",
    "describe_time",
    "describe_wait",
    "iso_time",
    "seconds_between",
]

_NS = 1_000_000_000
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_TEN = 10
_MICRO_USD = 1_000_000
_CENT_MICRO_USD = 10_000

OUTCOMES = {
    "succeeded": "succeeded",
    "failed": "failed",
    "stopped": "stopped before its end",
    "interrupted": "interrupted: its process died",
    "needs_llm": "needs a language model: beyond the rules",
    "needs_review": "needs review: edited, and nothing there could verify it",
}
VERIFICATIONS = {
    "passed": "the repository's own checks pass",
    "failed": "the repository's own checks do not pass",
    "not_verified": "not verified",
}


def describe_duration(seconds: float) -> str:
    """Return `3.1 ms`, `31 ms`, `1.24 s`, `12.4 s`, `2 min 5 s` or `3 h 20 min`."""
    if round(seconds, 3) < 1:
        return f"{_two_digits(seconds * 1000, 1)} ms"
    if round(seconds, 1) < _MINUTE:
        return f"{_two_digits(seconds, 2)} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def _two_digits(number: float, decimals: int) -> str:
    """Return a number below ten with these decimals, from ten on with one less."""
    return f"{number:.{decimals if round(number, decimals) < _TEN else decimals - 1}f}"


def describe_wait(seconds: float) -> str:
    """Return the duration of what still runs, in whole seconds below a minute."""
    return f"{max(int(seconds), 0)} s" if seconds < _MINUTE else describe_duration(seconds)


def describe_time(time_ns: int) -> str:
    """Return the moment in UTC, to the second."""
    return datetime.fromtimestamp(time_ns // _NS, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def describe_money(micro_usd: int) -> str:
    """Return dollars: two digits from a cent on, six below."""
    usd = micro_usd / _MICRO_USD
    return f"{usd:.2f} USD" if micro_usd >= _CENT_MICRO_USD or not micro_usd else f"{usd:.6f} USD"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 call`, `2 calls`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
