"""The journal on disk: an append-only table of events in SQLite, durable at every commit."""

import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from core.contracts import ItemScore, Split
from core.contracts.codec import dumps, from_plain, unknown_fields
from core.errors import JournalError, UsageError
from core.journal import events, reading, schema
from core.journal.events import Entry, Event

FILENAME = "journal.db"
_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__args__}


_BEAT_S = 5.0


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
        self._checked = schema.version(connection) >= 2
        self._seq, self._base = self._last()
        self._started, self._latest = clock(), self._base
        self._noted = self._base

    @classmethod
    def create(cls, path: Path, **clocks: Callable[[], float]) -> "Journal":
        """A new, empty journal. Raises UsageError if one is there already or nothing can be written."""
        if path.exists():
            raise UsageError(
                f"{path.parent} already holds a study; continue it with: python -m core resume {path.parent}"
            )
        try:
            connection = schema.connect(path)
            schema.make(connection)
        except sqlite3.Error as error:
            raise UsageError(f"cannot write a journal in {path.parent}: {error}") from None
        return cls(connection, path, **clocks)

    @classmethod
    def open(cls, path: Path, *, readonly: bool = False, **clocks: Callable[[], float]) -> "Journal":
        """An existing journal; a writer brings one of an older schema up to this one.

        Raises UsageError for no study or one of a newer schema, JournalError for a damaged file
        or one that cannot be opened or written.
        """
        if not path.is_file():
            raise UsageError(f"{path.parent} is no study: it has no {FILENAME}")
        connection = None
        try:
            connection = reading.connect(path) if readonly else schema.connect(path)
            version = schema.version(connection)
            if schema.OLDEST <= version < schema.VERSION and not readonly:
                schema.migrate(connection)
                version = schema.version(connection)
            if schema.OLDEST <= version <= schema.VERSION:
                return cls(connection, path, **clocks)
        except (sqlite3.Error, OSError) as error:
            _close(connection)
            how = "read" if readonly else "read and written"
            raise JournalError(f"{path} cannot be {how} as a journal: {error}") from None
        except JournalError:
            _close(connection)
            raise
        connection.close()
        raise UsageError(
            f"{path} has journal schema {version}, this Overnight reads {schema.VERSION}: "
            f"use the version of Overnight that wrote it"
        )

    @property
    def elapsed_s(self) -> float:
        """Seconds that controllers have worked on this study, this one included (monotonic)."""
        self._latest = max(self._latest, self._base + self._clock() - self._started)
        return self._latest

    def append(self, *recorded: Event, items: Sequence[ItemScore] = ()) -> list[Entry]:
        """Record events in one durable transaction: all of them or none.

        items: the per-item scores of the `TrialEvaluated` among them. Raises JournalError when
        they could not be written (disk full, I/O error); nothing is recorded then.
        """
        at, elapsed = self._wall(), self.elapsed_s
        entries = [Entry(self._seq + i, at, elapsed, event) for i, event in enumerate(recorded, 1)]
        rows = [_row(entry) for entry in entries]
        with self.writing() as db:
            for entry, row in zip(entries, rows, strict=True):
                db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
                if isinstance(entry.event, events.TrialEvaluated):
                    blob = zlib.compress(json.dumps([[item.id, item.score] for item in items]).encode())
                    place = (entry.event.trial, entry.event.split, blob)
                    db.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", place)
        self._seq = entries[-1].seq if entries else self._seq
        self._noted = elapsed
        return entries

    def beat(self) -> None:
        """Write down how far the study's clock has come, if that was not done in the last seconds, so that the
        time of a controller that is killed in a long silence counts. Raises JournalError."""
        elapsed = self.elapsed_s
        if elapsed - self._noted >= _BEAT_S:
            with self.writing() as db:
                db.execute("INSERT OR REPLACE INTO meta VALUES ('elapsed_s', ?)", (repr(elapsed),))
            self._noted = elapsed

    @property
    def seq(self) -> int:
        """The sequence number of the last event that this object wrote or found at its opening."""
        return self._seq

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction: everything in it or nothing. Raises JournalError if it fails."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            raise JournalError(f"cannot write {self.path}: {error}") from error
        except BaseException:
            self._rollback()
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """What is read within belongs to one moment, whatever is written meanwhile."""
        try:
            self._db.execute("BEGIN")
        except sqlite3.Error as error:
            raise JournalError(f"{self.path} cannot be read: {error}") from error
        try:
            yield self._db
        finally:
            self._rollback()

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Every event in order, from the one after sequence number `after`.

        Raises JournalError at the first that is damaged or missing, UsageError at the first that
        only a newer Overnight can read; all that were given before it are whole.
        """
        good = after
        try:
            for seq, at, elapsed, kind, data, crc in self._rows(after):
                if seq != good + 1:
                    raise self._damaged(good, f"event {good + 1} is missing")
                if crc is not None and crc != _crc(seq, at, elapsed, kind, data):
                    raise self._damaged(good, f"event {seq} does not match its checksum")
                yield Entry(seq, at, elapsed, self._event(seq, kind, data))
                good = seq
        except (sqlite3.Error, ValueError) as error:
            raise self._damaged(good, str(error).splitlines()[0]) from error
        except MemoryError as error:
            why = f"event {good + 1} cannot be read into memory (it claims to be huge, or memory is short)"
            raise self._damaged(good, why) from error

    def _rows(self, after: int) -> Iterator[Any]:
        crc = "crc" if self._checked else "NULL"
        query = f"SELECT seq, at, elapsed_s, kind, data, {crc} FROM events WHERE seq > ? ORDER BY seq"
        yield from self._db.execute(query, (after,))

    def _event(self, seq: int, kind: str, data: str) -> Event:
        if kind not in _KINDS:
            raise self._newer(f"an event {kind!r}", seq)
        plain = json.loads(data)
        if unknown := unknown_fields(_KINDS[kind], plain):
            raise self._newer(f"a field {unknown[0]!r} in an event {kind!r}", seq)
        return from_plain(_KINDS[kind], plain)

    def _newer(self, what: str, seq: int) -> UsageError:
        return UsageError(
            f"{self.path} holds {what} of a newer Overnight (event {seq}): use the version of Overnight that wrote it"
        )

    def _damaged(self, good: int, why: str) -> JournalError:
        """What is wrong, how much is readable, and what a person can do."""
        folder = self.path.parent
        return JournalError(
            f"{self.path} is damaged: {why}. Its first {good} events are readable: see them with "
            f"python -m core status {folder}. To go on, put back a copy of {self.path.name} (with its -wal file, if "
            f"there is one) from before the damage and resume; without one, start a new study in another directory"
        )

    def items(self, trial: int, split: Split) -> tuple[ItemScore, ...]:
        """The per-item scores of one evaluation; empty if there are none. Raises JournalError for damage."""
        query = "SELECT data FROM items WHERE trial = ? AND split = ?"
        try:
            row = self._db.execute(query, (trial, split)).fetchone()
            found = json.loads(zlib.decompress(row[0])) if row else []
        except (sqlite3.Error, zlib.error, ValueError) as error:
            raise JournalError(
                f"{self.path} is damaged: the item scores of trial {trial} on {split}: {error}"
            ) from error
        return tuple(ItemScore(key, score) for key, score in found)

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
            beat = self._db.execute("SELECT value FROM meta WHERE key = 'elapsed_s'").fetchone()
        except sqlite3.Error as error:
            raise self._damaged(0, str(error)) from None
        silent = float(beat[0]) if beat else 0.0
        return (int(row[0]), max(float(row[1]), silent)) if row else (0, silent)

    def _rollback(self) -> None:
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error:
                # The disk refuses even that. SQLite rolls back by itself at the next open, and
                # the caller is already being told of the error that led here.
                return


def _row(entry: Entry) -> tuple[int, float, float, str, str, int]:
    kind, data = type(entry.event).__name__, dumps(entry.event)
    return entry.seq, entry.at, entry.elapsed_s, kind, data, _crc(entry.seq, entry.at, entry.elapsed_s, kind, data)


def _crc(seq: int, at: float, elapsed: float, kind: str, data: str) -> int:
    return zlib.crc32(f"{seq} {float(at)!r} {float(elapsed)!r} {kind} {data}".encode())


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()
