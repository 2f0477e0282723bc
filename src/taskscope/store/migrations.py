"""The schema, as the list of steps that made it; a store is brought up to date one step at a time.

Each step runs once and is written into the ledger table `migration`. Never change a step that was released.
Times are nanoseconds since 1970; ids are raw bytes; bodies are serialized OTLP messages.
"""

from __future__ import annotations

import sqlite3
import time

from taskscope.errors import StoreTooNewError

APPLICATION_ID = 0x54534350
"""SQLite's `application_id` of our files: "TSCP"."""

_M001_FIRST_STORE = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    "CREATE TABLE migration(number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied INTEGER NOT NULL)",
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # One row for each process that ever wrote; `lock` is the name of its lock file in journal/.
    # `seen` is the time of its last record, `journal_seq` the last journal record that was stored.
    """CREATE TABLE process(
        id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, boot TEXT NOT NULL,
        start_ticks INTEGER NOT NULL, lock TEXT NOT NULL, started INTEGER NOT NULL, seen INTEGER NOT NULL,
        journal_seq INTEGER NOT NULL DEFAULT 0, ended INTEGER)""",
    """CREATE TABLE source(
        id INTEGER PRIMARY KEY, resource BLOB NOT NULL, scope BLOB NOT NULL, UNIQUE(resource, scope))""",
    # AUTOINCREMENT: deletion must not re-use a number that a cursor has passed.
    """CREATE TABLE span(
        seq INTEGER PRIMARY KEY AUTOINCREMENT, source INTEGER NOT NULL, trace BLOB NOT NULL,
        span BLOB NOT NULL, parent BLOB, role INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
        bytes INTEGER NOT NULL, body BLOB NOT NULL)""",
    # One index for a trace and for the children of a span, which the calls of an agent are counted by.
    "CREATE INDEX span_trace ON span(trace, parent)",
    """CREATE TABLE open(
        process INTEGER NOT NULL, span BLOB NOT NULL, source INTEGER NOT NULL, trace BLOB NOT NULL,
        parent BLOB, role INTEGER NOT NULL, start INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY(process, span)) WITHOUT ROWID""",
    """CREATE TABLE trace(
        trace BLOB PRIMARY KEY, start INTEGER NOT NULL, stop INTEGER NOT NULL, spans INTEGER NOT NULL,
        errors INTEGER NOT NULL, root_name TEXT) WITHOUT ROWID""",
    """CREATE TABLE log(
        seq INTEGER PRIMARY KEY AUTOINCREMENT, source INTEGER NOT NULL, time INTEGER NOT NULL,
        severity INTEGER NOT NULL, event TEXT, task TEXT, trace BLOB, span BLOB,
        bytes INTEGER NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX log_task ON log(task) WHERE task IS NOT NULL",
    "CREATE INDEX log_trace ON log(trace) WHERE trace IS NOT NULL",
    # The ledger. A row may begin with a note or a call, before its task's span is here: `started` is null.
    """CREATE TABLE task(
        id TEXT PRIMARY KEY, process INTEGER, trace BLOB, span BLOB, kind TEXT, source TEXT, attempt INTEGER,
        text TEXT, repository TEXT, model TEXT, started INTEGER, ended INTEGER, outcome TEXT,
        verification TEXT, error_type TEXT, llm_calls INTEGER NOT NULL DEFAULT 0,
        replayed_calls INTEGER NOT NULL DEFAULT 0, input_tokens INTEGER, output_tokens INTEGER,
        cost_micro_usd INTEGER, unpriced_calls INTEGER NOT NULL DEFAULT 0,
        findings TEXT, patch_path TEXT, summary TEXT, error TEXT
        ) WITHOUT ROWID""",
    "CREATE INDEX task_started ON task(started)",
    "CREATE INDEX task_trace ON task(trace)",
    # One row for each call that costs; `micro_usd` null: its price is unknown.
    "CREATE TABLE charge(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, task TEXT, micro_usd INTEGER)",
    "CREATE INDEX charge_time ON charge(time)",
    # Aggregates: `labels` is the JSON array of the label values, in the order of the metric's declaration.
    """CREATE TABLE counter(
        metric TEXT NOT NULL, labels TEXT NOT NULL, value NUMERIC NOT NULL,
        PRIMARY KEY(metric, labels)) WITHOUT ROWID""",
    """CREATE TABLE gauge(
        metric TEXT NOT NULL, labels TEXT NOT NULL, value NUMERIC NOT NULL,
        PRIMARY KEY(metric, labels)) WITHOUT ROWID""",
    # `buckets`: JSON array of counts, not cumulative, one more than there are bounds.
    """CREATE TABLE histogram(
        metric TEXT NOT NULL, labels TEXT NOT NULL, count INTEGER NOT NULL, sum REAL NOT NULL,
        buckets TEXT NOT NULL, PRIMARY KEY(metric, labels)) WITHOUT ROWID""",
    """CREATE TABLE label_value(
        label TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(label, value)) WITHOUT ROWID""",
    """CREATE TABLE dropped(
        signal TEXT NOT NULL, reason TEXT NOT NULL, records INTEGER NOT NULL,
        PRIMARY KEY(signal, reason)) WITHOUT ROWID""",
    "INSERT INTO meta VALUES('instance', lower(hex(randomblob(16))))",
)

_M002_SHIPPING = (
    # How far each destination has come: every record up to `seq` is accounted for there, and `gone` that
    # left the store beyond it. `failures` and `held_until` make all processes of the host wait together;
    # `problem` is what last went wrong, in words.
    """CREATE TABLE cursor(
        destination TEXT NOT NULL, signal TEXT NOT NULL,
        seq INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
        held_until INTEGER NOT NULL DEFAULT 0, succeeded INTEGER, problem TEXT, problem_at INTEGER,
        PRIMARY KEY(destination, signal)) WITHOUT ROWID""",
    # Records that a destination refused: kept in their own table, passed by the cursor, named here.
    """CREATE TABLE quarantine(
        destination TEXT NOT NULL, signal TEXT NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL,
        time INTEGER NOT NULL, message TEXT NOT NULL, released INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY(destination, signal, seq)) WITHOUT ROWID""",
)

_M003_FOREIGN_SENDERS = (
    # One index for a trace, the children of a span, and whether a span that came again is there already.
    "DROP INDEX span_trace",
    "CREATE INDEX span_trace ON span(trace, parent, span)",
    "CREATE INDEX log_time ON log(time)",
    # The last point of each series of others; `labels` is the JSON array of pairs, sorted by key. `number` is
    # that of gauges and sums, the rest of histograms: `bounds` and `buckets` are JSON arrays. `received` is
    # when it came, by our clock: a series that is not renewed goes.
    """CREATE TABLE foreign_point(
        name TEXT NOT NULL, service TEXT NOT NULL, instance TEXT NOT NULL, labels TEXT NOT NULL,
        kind TEXT NOT NULL, time INTEGER NOT NULL, received INTEGER NOT NULL, number NUMERIC, count INTEGER,
        sum REAL, bounds TEXT, buckets TEXT, PRIMARY KEY(name, service, instance, labels)) WITHOUT ROWID""",
    "CREATE INDEX foreign_point_received ON foreign_point(received)",
)

_M004_JOURNAL = (
    # What is known of the records that a process could not keep, so that recovery adds only the rest.
    "ALTER TABLE process ADD COLUMN lost_spans INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE process ADD COLUMN lost_logs INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX process_lock ON process(lock)",
)

_M005_SOURCES_LEAVE = (
    # The last row of each signal that a source stands behind: when older ones are all that left, it may go.
    "ALTER TABLE source ADD COLUMN last_span INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE source ADD COLUMN last_log INTEGER NOT NULL DEFAULT 0",
    """UPDATE source SET last_span = coalesce((SELECT max(seq) FROM span), 0),
        last_log = coalesce((SELECT max(seq) FROM log), 0)""",
)

_M006_BEFORE_A_CHANGE = (
    # What a series was before it changed, and until when: a reader that gets the sums now and then sees by it
    # when they grew. A minute apart, so that a burst of changes is one.
    "ALTER TABLE counter ADD COLUMN held NUMERIC NOT NULL DEFAULT 0",
    "ALTER TABLE counter ADD COLUMN held_until INTEGER NOT NULL DEFAULT 0",
    # A JSON array of count, sum and buckets.
    "ALTER TABLE histogram ADD COLUMN held TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE histogram ADD COLUMN held_until INTEGER NOT NULL DEFAULT 0",
)

MIGRATIONS = (
    ("m001_first_store", _M001_FIRST_STORE),
    ("m002_shipping", _M002_SHIPPING),
    ("m003_foreign_senders", _M003_FOREIGN_SENDERS),
    ("m004_journal", _M004_JOURNAL),
    ("m005_sources_leave", _M005_SOURCES_LEAVE),
    ("m006_before_a_change", _M006_BEFORE_A_CHANGE),
)
"""Name and statements of every step; a store's version is the number of steps it has taken."""


def read_version(connection: sqlite3.Connection) -> int:
    """How many steps this store has taken; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(version: int, path: object) -> None:
    """Raise StoreTooNewError for a store that a newer Taskscope has changed."""
    if version > len(MIGRATIONS):
        msg = (
            f"store {str(path)!r} has schema version {version}, this Taskscope knows {len(MIGRATIONS)}: "
            "upgrade Taskscope, or set AGENT_HOME to another folder"
        )
        raise StoreTooNewError(msg)


def migrate(connection: sqlite3.Connection) -> None:
    """Take the steps that are missing, each in a transaction of its own."""
    while _take_next_step(connection):
        pass


def _take_next_step(connection: sqlite3.Connection) -> bool:
    connection.execute("BEGIN IMMEDIATE")
    try:
        number = read_version(connection)  # within the transaction: another thread may have been faster
        if number >= len(MIGRATIONS):
            connection.execute("COMMIT")
            return False
        name, statements = MIGRATIONS[number]
        for statement in statements:
            connection.execute(statement)
        connection.execute("INSERT INTO migration VALUES(?, ?, ?)", (number + 1, name, time.time_ns()))
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return True
