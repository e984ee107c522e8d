"""Reading a journal that is not ours to write: beside its writer, or on read-only media."""

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from core.journal import schema


def connect(path: Path) -> sqlite3.Connection:
    """A connection that never writes in the journal's folder. Raises sqlite3.Error or OSError."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    connection = _open(uri)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        return connection
    except sqlite3.OperationalError:
        if os.access(path.parent, os.W_OK):
            connection.close()
            raise
        # On read-only media SQLite cannot make the file through which readers and writer share
        # their index of the write-ahead log. Nobody writes there, so what stands is the journal.
        connection.close()
    wal = Path(f"{path}-wal")
    if wal.exists() and wal.stat().st_size:
        return _of_a_copy(path, wal)
    return _open(f"{uri}&immutable=1")


def _of_a_copy(path: Path, wal: Path) -> sqlite3.Connection:
    """The log holds commits that its dead writer did not fold into the file: read both elsewhere."""
    with tempfile.TemporaryDirectory(prefix="overnight-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(wal, Path(f"{copy}-wal"))
        source = sqlite3.connect(copy, isolation_level=None)
        memory = _open(":memory:")
        try:
            source.backup(memory)
        except sqlite3.Error:
            memory.close()
            raise
        finally:
            source.close()
    return memory


def _open(uri: str) -> sqlite3.Connection:
    return schema.limit(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0, check_same_thread=False))
