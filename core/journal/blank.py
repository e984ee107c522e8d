"""Journals without a study: the controller died before the first event was on disk."""

import sqlite3
from pathlib import Path

_SIDES = ("", "-wal", "-shm", "-journal")


def is_blank(path: Path) -> bool:
    """Whether nothing was ever recorded in a journal; False for one that cannot be read."""
    try:
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=5.0)
        try:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "events" in tables:
                return database.execute("SELECT 1 FROM events LIMIT 1").fetchone() is None
            return not tables
        finally:
            database.close()
    except sqlite3.Error:
        return False


def remove(path: Path) -> None:
    """Delete a blank journal with the files that SQLite keeps beside it."""
    for side in _SIDES:
        path.with_name(path.name + side).unlink(missing_ok=True)
