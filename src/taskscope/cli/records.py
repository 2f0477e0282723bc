"""`records`: where every record is, which ones a destination refused, and what can be done about those."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from taskscope.errors import NotFoundError
from taskscope.store.database import open_database
from taskscope.store.delivery import (
    forget_destination,
    read_accounts,
    read_quarantine,
    release_quarantine,
)
from taskscope.store.wire import SpanBody, read_log

from .reading import read_settings, read_store
from .shapes import to_json
from .terminal import clean, open_screen, shorten
from .wording import count, describe_time, iso_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskscope.store.delivery import Account, Quarantined

    from .terminal import Screen

_NUMBER_WIDTH = 11
_NUMBERS = ("made", "delivered", "dropped", "pending", "quarantined")


def tell_accounts(*, as_json: bool) -> int:
    """Print an account for each signal and destination, the store first."""
    with read_store() as history:
        accounts = read_accounts(history.connection)
    screen = open_screen()
    screen.say(*([to_json([_shape(one) for one in accounts])] if as_json else _table(accounts, screen)))
    return 0


def _shape(account: Account) -> dict[str, Any]:
    return {
        "destination": account.destination,
        "signal": account.signal,
        "emitted": account.emitted,
        "delivered": account.delivered,
        "dropped": account.dropped,
        "pending": account.pending,
        "quarantined": account.quarantined,
        "oldest_pending_at": iso_time(account.oldest_pending_ns),
        "succeeded_at": iso_time(account.succeeded_ns),
        "problem": account.problem,
        "problem_at": iso_time(account.problem_ns),
    }


def _table(accounts: list[Account], screen: Screen) -> Iterator[str]:
    width = max(len(f"{one.destination} {one.signal}") for one in accounts)
    yield screen.paint.quiet("  ".join([" " * width, *(f"{name:>{_NUMBER_WIDTH}}" for name in _NUMBERS)]))
    for one in accounts:
        numbers = one.emitted, one.delivered, sum(one.dropped.values()), one.pending, one.quarantined
        place = f"{one.destination} {one.signal}"
        yield "  ".join([f"{place:<{width}}", *(f"{number:>{_NUMBER_WIDTH},}" for number in numbers)])
        yield from (f"  {line}" for line in _notes(one, screen))


def _notes(account: Account, screen: Screen) -> Iterator[str]:
    if account.dropped:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in sorted(account.dropped.items()))
        yield screen.paint.quiet(f"dropped: {reasons}")
    if account.oldest_pending_ns is not None:
        yield screen.paint.quiet(f"oldest pending: {describe_time(account.oldest_pending_ns)}")
    if account.problem and account.problem_ns:
        words = f"{describe_time(account.problem_ns)}: {clean(account.problem)}"
        is_over = (account.succeeded_ns or 0) > account.problem_ns
        yield screen.paint.quiet(words) if is_over else screen.paint.odd(words)


def list_quarantine(*, as_json: bool) -> int:
    """Print the records that a destination refused and the store keeps."""
    with read_store() as history:
        records = read_quarantine(history.connection)
    screen = open_screen()
    if as_json:
        screen.say(to_json([_shape_quarantined(record) for record in records]))
    elif records:
        screen.say(*(_tell_quarantined(record, screen) for record in records))
    else:
        screen.say("no record was refused")
    return 0


def _name(record: Quarantined) -> str:
    """What a span is called; of a log record its event's name or its text."""
    if record.signal == "traces":
        return SpanBody(record.body).name
    log = read_log(record.body)
    return str(log["event_name"] or log["body"] or "")


def _shape_quarantined(record: Quarantined) -> dict[str, Any]:
    return {
        "destination": record.destination,
        "signal": record.signal,
        "seq": record.seq,
        "name": _name(record),
        "bytes": len(record.body),
        "reason": record.reason,
        "message": record.message,
        "time": iso_time(record.time_ns),
        "retry": record.is_released,
    }


def _tell_quarantined(record: Quarantined, screen: Screen) -> str:
    words = "to be sent again" if record.is_released else record.reason
    size = f"{len(record.body):,} bytes"
    place = f"{record.destination} {record.signal}"
    name = screen.paint.loud(shorten(_name(record), 40))
    return f"{describe_time(record.time_ns)}  {place}  {name}  {size}  {words}: {clean(record.message)}"


def retry_quarantine() -> int:
    """Let everything in quarantine be sent again."""
    with closing(open_database(read_settings().store_path, create=False)) as connection:
        released = release_quarantine(connection)
    open_screen().say(f"{count(released, 'record')} will be sent again; `taskscope ship --once` does it now")
    return 0


def forget_account(destination: str) -> int:
    """Keep no more account of a destination; NotFoundError when there is none of that name."""
    with closing(open_database(read_settings().store_path, create=False)) as connection:
        if not forget_destination(connection, destination):
            msg = f"no destination {destination!r} is on record; `taskscope records` lists them"
            raise NotFoundError(msg)
    open_screen().say(f"{clean(destination)} is forgotten; set as a destination, it begins anew")
    return 0
