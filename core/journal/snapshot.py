"""The snapshot: the fold kept in the journal's own database, so that a long study reopens at once.

It is a cache. The events stay the truth: a snapshot that another version of this code made, or that
is damaged in any way, is passed over and the fold is computed from the events again.
"""

import gc
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from core.contracts import Certificate, Preflight
from core.contracts.codec import from_plain, to_plain
from core.journal import events as ev
from core.journal.facts import Notice
from core.journal.fold import Fold, Kept
from core.journal.records import JOB, TRIAL, TrialRecord, trial_from, trial_text
from core.journal.store import Journal

EVERY = 2000
"""How many events are recorded between two snapshots; to replay so many takes some 0.05 s."""

_BATCH = 1000
_MANY = 10_000
_SOURCES = ("fold.py", "records.py", "rows.py", "snapshot.py")
# ValueError: pydantic's and JSON's too. MemoryError: a damaged length claims to be huge.
_UNUSABLE = (sqlite3.Error, ValueError, TypeError, LookupError, AttributeError, MemoryError)


def keep(journal: Journal, fold: Fold) -> None:
    """Write a snapshot if the last one is EVERY events old. Raises JournalError (a full disk)."""
    if journal.seq - fold.kept.seq >= EVERY:
        save(journal, fold)


def save(journal: Journal, fold: Fold) -> None:
    """Bring the snapshot up to the fold, in one transaction: only the trials that came to rest
    since the last one. Raises JournalError; the old snapshot stands then."""
    moving = fold.moving
    anew = fold.kept.seq == 0
    resting = [number for number in (fold.records if anew else sorted(fold.stale)) if number not in moving]
    kept = Kept(
        journal.seq,
        fold.kept.trials + sum(not fold.records[number].stored for number in resting),
        len(fold.notices),
    )
    with journal.writing() as db:
        if anew:
            for table in ("snapshot_trials", "snapshot_notices"):
                db.execute(f"DELETE FROM {table}")
        for number in resting:
            db.execute("INSERT OR REPLACE INTO snapshot_trials VALUES (?, ?, ?, ?, ?)", _row(fold.records[number]))
        for place, notice in enumerate(fold.notices[fold.kept.notices :], fold.kept.notices):
            data = json.dumps(to_plain(notice))
            db.execute("INSERT INTO snapshot_notices VALUES (?, ?, ?)", (place, data, _crc(data)))
        head = json.dumps(_head(db, fold, kept))
        db.execute("INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?)", (head, _crc(head)))
    for number in resting:
        fold.records[number].stored = True
    fold.stale.difference_update(resting)
    fold.kept = kept


def load(db: sqlite3.Connection, directory: Path) -> Fold | None:
    """The fold as the snapshot has it (`kept.seq` says up to which event), or None if there is
    none or none to rely on. `db` is what `Journal.reading` gives."""
    try:
        found = db.execute("SELECT data, crc FROM snapshot").fetchone()
        if found is None or found[1] != _crc(found[0]):
            return None
        head = json.loads(found[0])
        if head["code"] != code() or head["event"] != _event(db, head["seq"]):
            return None
        return _decode(db, head, directory)
    except _UNUSABLE:
        return None  # the events say the same, only more slowly


@contextmanager
def no_collection() -> Iterator[None]:
    """Without the cycle collector, which would walk all that is being loaded, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@cache
def code() -> str:
    """A word for the code that folds and stores: what another code made is made anew."""
    text = hashlib.sha256(f"{TRIAL.layout} {JOB.layout}".encode())
    for name in _SOURCES:
        text.update(Path(__file__).with_name(name).read_bytes())
    return text.hexdigest()[:16]


def _head(db: sqlite3.Connection, fold: Fold, kept: Kept) -> dict[str, Any]:
    """All of a fold but the trials at rest and the notices, which have rows of their own."""
    return {
        "code": code(),
        "seq": kept.seq,
        "event": _event(db, kept.seq),
        "trials": kept.trials,
        "notices": kept.notices,
        "created": to_plain(fold.creation),
        "config": to_plain(fold.config),
        "moving": [[record.place, trial_text(record), record.jobs_text()] for record in fold.moving.values()],
        "incumbent": fold.incumbent,
        "reserved": [to_plain(event) for event in fold.reserved.values()],
        "settled": [fold.settled_seconds, fold.settled_usd, fold.settled_gpu_hours, fold.settled_policy_usd],
        "ended": len(fold.ended),
        "untold": [number for number in fold.ended if number not in fold.told],
        "test_opened": fold.test_opened,
        "test_openings": fold.test_openings,
        "fresh": fold.fresh,
        "certify": to_plain(fold.certify) if fold.certify else None,
        "set_aside": to_plain(fold.set_aside) if fold.set_aside else None,
        "certifying": to_plain(fold.certifying) if fold.certifying else None,
        "certificate": to_plain(fold.certificate) if fold.certificate else None,
        "preflight": to_plain(fold.preflight) if fold.preflight else None,
        "plan": to_plain(fold.plan) if fold.plan else None,
        "finished": fold.finished,
        "state": fold.state,
        "controllers": fold.controllers,
        "times": [fold.created_at, fold.updated_at, fold.elapsed_s],
    }


def _decode(db: sqlite3.Connection, head: dict[str, Any], directory: Path) -> Fold:
    fold = Fold(directory)
    fold.kept = Kept(head["seq"], head["trials"], head["notices"])
    found = {record.trial.number: record for record in _resting(db)}
    if len(found) != head["trials"]:
        raise ValueError("a trial is missing")
    moving = [trial_from(json.loads(trial), jobs, place) for place, trial, jobs in head["moving"]]
    for record in moving:
        record.stored = record.trial.number in found
        found[record.trial.number] = record
    ended: dict[int, int] = {}
    for number in sorted(found):
        record = found[number]
        fold.put(record)
        if record.place is not None:
            ended[record.place] = number
    fold.ended = [ended[place] for place in range(head["ended"])]
    fold.told = set(fold.ended) - set(head["untold"])
    fold.live_jobs = {job.token: job for record in moving for job in record.jobs if job.ended is None}
    fold.stale = {record.trial.number for record in moving}
    fold.notices = _notices(db)
    if len(fold.notices) != head["notices"]:
        raise ValueError("a notice is missing")
    fold.created, fold.config = from_plain(ev.StudyCreated, head["created"]), head["config"]
    fold.reserved = {event.token: event for event in (from_plain(ev.BudgetReserved, it) for it in head["reserved"])}
    fold.settled_seconds, fold.settled_usd, fold.settled_gpu_hours, fold.settled_policy_usd = head["settled"]
    fold.incumbent, fold.test_opened = head["incumbent"], tuple(head["test_opened"])
    fold.test_openings, fold.fresh = head["test_openings"], tuple(head["fresh"])
    fold.certify = from_plain(ev.CertificationPlanned, head["certify"]) if head["certify"] else None
    fold.set_aside = from_plain(ev.ItemsSetAside, head["set_aside"]) if head["set_aside"] else None
    fold.certifying = from_plain(ev.CertificationStarted, head["certifying"]) if head["certifying"] else None
    fold.certificate = from_plain(Certificate, head["certificate"]) if head["certificate"] else None
    fold.preflight = from_plain(Preflight, head["preflight"]) if head["preflight"] else None
    fold.plan = from_plain(ev.PlanMade, head["plan"]) if head["plan"] else None
    fold.finished, fold.state, fold.controllers = head["finished"], head["state"], head["controllers"]
    fold.created_at, fold.updated_at, fold.elapsed_s = head["times"]
    if head["trials"] >= _MANY:
        gc.freeze()  # they stay for good: the collector need never walk them (0.4 s each time)
    return fold


def _resting(db: sqlite3.Connection) -> Iterator[TrialRecord]:
    rows = db.execute("SELECT number, place, trial, jobs, crc FROM snapshot_trials ORDER BY number")
    while batch := rows.fetchmany(_BATCH):
        for number, place, trial, jobs, crc in batch:
            if crc != zlib.crc32(f"{number} {place} {trial} {jobs}".encode()):
                raise ValueError(f"trial {number} does not match its checksum")
        # One text for many rows: the parser (twice as fast as json's) keeps one copy of a short string.
        parsed = from_json(f"[{','.join([row[2] for row in batch])}]")
        for (_, place, _, jobs, _), plain in zip(batch, parsed, strict=True):
            record = trial_from(plain, jobs, place)
            record.stored = True
            yield record


def _notices(db: sqlite3.Connection) -> list[Notice]:
    found = []
    for data, crc in db.execute("SELECT data, crc FROM snapshot_notices ORDER BY place"):
        if crc != _crc(data):
            raise ValueError("a notice does not match its checksum")
        found.append(from_plain(Notice, json.loads(data)))
    return found


def _row(record: TrialRecord) -> tuple[int, int | None, str, str, int]:
    number, trial, jobs = record.trial.number, trial_text(record), record.jobs_text()
    return number, record.place, trial, jobs, zlib.crc32(f"{number} {record.place} {trial} {jobs}".encode())


def _event(db: sqlite3.Connection, seq: int) -> int:
    """A checksum of the event that the snapshot was made after: another journal has another."""
    return _crc(repr(db.execute("SELECT at, elapsed_s, kind, data FROM events WHERE seq = ?", (seq,)).fetchone()))


def _crc(text: str) -> int:
    return zlib.crc32(text.encode())
