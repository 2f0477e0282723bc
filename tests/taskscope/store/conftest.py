from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from taskscope.store.accounts import Accounts
from taskscope.store.database import open_database
from taskscope.store.history import History
from taskscope.store.session import StoreSession

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from taskscope.store.records import Record


class Store:
    """A real store: what a process writes and what another reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = StoreSession(path)

    def write(self, *records: Record) -> None:
        self.session.write(records, Accounts())

    def read(self) -> sqlite3.Connection:
        return open_database(self.path, create=False, read_only=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "home" / "taskscope.db")
    yield store
    store.session.close()


@pytest.fixture
def connection(store: Store) -> Iterator[sqlite3.Connection]:
    """A reader of the store, which is made for it."""
    store.session.recover()
    with closing(store.read()) as connection:
        yield connection


@pytest.fixture
def history(connection: sqlite3.Connection) -> History:
    return History(connection)
