"""The journal on disk: an append-only table of events in SQLite, durable at every commit."""

import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from core.contracts import ItemScore, Split
from core.contracts.codec import dumps, from_plain
from core.errors import JournalError, UsageError
from core.journal import events
from core.journal.events import Entry, Event

SCHEMA_VERSION = 1
FILENAME = "journal.db"
_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__args__}
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, at REAL NOT NULL, elapsed_s REAL NOT NULL,
                     kind TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE items (trial INTEGER NOT NULL, split TEXT NOT NULL, data BLOB NOT NULL,
                    PRIMARY KEY (trial, split)) WITHOUT ROWID;
"""


class Journal:
    """One study's journal.

    A commit is on disk when `append` returns (SQLite WAL with synchronous=FULL: 0.26 ms median
    on a plain disk, ../shared notes). One process writes; others may read meanwhile. `clock`
    is monotonic seconds, `wall` Unix seconds; both injected for tests.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._db = connection
        self._clock = clock
        self._wall = wall
        self._seq, self._base = self._last()
        self._started = clock()

    @classmethod
    def create(cls, path: Path, **clocks: Callable[[], float]) -> "Journal":
        """A new, empty journal. Raises UsageError if one is there already or nothing can be written."""
        if path.exists():
            raise UsageError(
                f"{path.parent} already holds a study; continue it with: python -m core resume {path.parent}"
            )
        try:
            connection = _connect(path)
            with connection:
                connection.executescript("BEGIN;" + _TABLES)
                connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
        except sqlite3.Error as error:
            raise UsageError(f"cannot write a journal in {path.parent}: {error}") from None
        return cls(connection, path, **clocks)

    @classmethod
    def open(cls, path: Path, *, readonly: bool = False, **clocks: Callable[[], float]) -> "Journal":
        """An existing journal. Raises UsageError for no study, JournalError for a damaged one."""
        if not path.is_file():
            raise UsageError(f"{path.parent} is no study: it has no {FILENAME}")
        try:
            connection = _connect(path, readonly=readonly)
            row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        except sqlite3.Error as error:
            raise JournalError(f"{path} cannot be read as a journal: {error}") from None
        version = int(row[0]) if row else 0
        if version != SCHEMA_VERSION:
            connection.close()
            raise UsageError(
                f"{path} has journal schema {version}, this Overnight reads {SCHEMA_VERSION}: "
                f"use the version of Overnight that wrote it"
            )
        return cls(connection, path, **clocks)

    @property
    def elapsed_s(self) -> float:
        """Seconds that controllers have worked on this study, this one included (monotonic)."""
        return self._base + (self._clock() - self._started)

    def append(self, *recorded: Event, items: Sequence[ItemScore] = ()) -> list[Entry]:
        """Record events in one durable transaction: all of them or none.

        items: the per-item scores of the `TrialEvaluated` among them. Raises JournalError when
        they could not be written (disk full, I/O error); nothing is recorded then.
        """
        at, elapsed = self._wall(), self.elapsed_s
        entries = [Entry(self._seq + i, at, elapsed, event) for i, event in enumerate(recorded, 1)]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for entry in entries:
                row = (entry.seq, at, elapsed, type(entry.event).__name__, dumps(entry.event))
                self._db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
                if isinstance(entry.event, events.TrialEvaluated):
                    blob = zlib.compress(json.dumps([[item.id, item.score] for item in items]).encode())
                    self._db.execute(
                        "INSERT OR REPLACE INTO items VALUES (?, ?, ?)", (entry.event.trial, entry.event.split, blob)
                    )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            raise JournalError(f"cannot write {self.path}: {error}") from error
        self._seq = entries[-1].seq
        return entries

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Every event in order, from the one after sequence number `after`."""
        try:
            rows = self._db.execute("SELECT * FROM events WHERE seq > ? ORDER BY seq", (after,))
            for seq, at, elapsed, kind, data in rows:
                if kind not in _KINDS:
                    raise JournalError(f"{self.path} holds an event {kind!r} of a newer Overnight (event {seq})")
                yield Entry(seq, at, elapsed, from_plain(_KINDS[kind], json.loads(data)))
        except (sqlite3.Error, ValueError) as error:
            raise JournalError(f"{self.path} is damaged: {error}") from error

    def items(self, trial: int, split: Split) -> tuple[ItemScore, ...]:
        """The per-item scores of one evaluation; empty if there are none."""
        row = self._db.execute("SELECT data FROM items WHERE trial = ? AND split = ?", (trial, split)).fetchone()
        if row is None:
            return ()
        return tuple(ItemScore(key, score) for key, score in json.loads(zlib.decompress(row[0])))

    def close(self) -> None:
        """Close the file; a writer folds the write-ahead log back into it."""
        self._db.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _last(self) -> tuple[int, float]:
        try:
            row = self._db.execute("SELECT seq, elapsed_s FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        except sqlite3.Error as error:
            raise JournalError(f"{self.path} is damaged: {error}") from None
        return (int(row[0]), float(row[1])) if row else (0, 0.0)

    def _rollback(self) -> None:
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error:
                # The disk refuses even that. SQLite rolls back by itself at the next open, and
                # the caller is already being told of the error that led here.
                return


def _connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    if readonly:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0, check_same_thread=False)
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            # A journal on read-only media cannot have its shared-memory file made; without a
            # write-ahead log beside it nobody is writing, and it can be read as it stands.
            connection.close()
            if Path(f"{path}-wal").exists():
                raise
            connection = sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
        return connection
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection
