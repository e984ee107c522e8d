"""The schema: the tables of a journal, their version, and how an older one becomes this one."""

import sqlite3
from pathlib import Path

VERSION = 2
OLDEST = 1

_EVENTS = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, at REAL NOT NULL, elapsed_s REAL NOT NULL,
                     kind TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER);
CREATE TABLE items (trial INTEGER NOT NULL, split TEXT NOT NULL, data BLOB NOT NULL,
                    PRIMARY KEY (trial, split)) WITHOUT ROWID;
"""
_SNAPSHOT = """
CREATE TABLE snapshot (one INTEGER PRIMARY KEY CHECK (one = 1), data TEXT NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE snapshot_trials (number INTEGER PRIMARY KEY, place INTEGER NOT NULL, trial TEXT NOT NULL,
                              jobs TEXT NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE snapshot_notices (place INTEGER PRIMARY KEY, data TEXT NOT NULL, crc INTEGER NOT NULL);
"""
# Version 2 only adds: a column that is empty for the events of version 1 (they are read without
# a checksum) and the snapshot's tables. No row of version 1 is touched, so no copy is kept.
_TO_2 = "ALTER TABLE events ADD COLUMN crc INTEGER;" + _SNAPSHOT


_LONGEST = 256 * 2**20


def limit(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Refuse values of more than 256 MiB: a damaged length would have all memory asked for it."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    return connection


def make(connection: sqlite3.Connection) -> None:
    """Make the tables of this version, all or none. Raises sqlite3.Error."""
    _in_one(connection, _EVENTS + _SNAPSHOT + f"INSERT INTO meta VALUES ('schema', '{VERSION}')")


def version(connection: sqlite3.Connection) -> int:
    """The version of a journal; 0 for one without. Raises sqlite3.Error for what is no journal."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return int(row[0]) if row and str(row[0]).isdigit() else 0


def migrate(connection: sqlite3.Connection) -> None:
    """Turn a journal of version 1 into one of version 2, all or nothing. Raises sqlite3.Error."""
    _in_one(connection, _TO_2 + f"UPDATE meta SET value = '{VERSION}' WHERE key = 'schema'")


def _in_one(connection: sqlite3.Connection, script: str) -> None:
    """Run statements in one transaction, so that being killed among them leaves what was."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in script.split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def connect(path: Path) -> sqlite3.Connection:
    """A connection that writes: a commit is on the disk when it returns. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    try:
        limit(connection).execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
