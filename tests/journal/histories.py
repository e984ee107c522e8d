"""Histories: made-up studies with everything that can happen to a trial, written as journals of either schema."""

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.contracts import Certificate, Decision, Evaluation, Handle, IntParam, Objective, Preflight, Proposal
from core.contracts.codec import dumps, to_plain
from core.journal import events as ev
from core.journal import snapshot
from core.journal.fold import Fold
from core.journal.store import Journal

CREATED = ev.StudyCreated(
    "s-1", "made up", Objective("accuracy"), {"k": to_plain(IntParam(low=1, high=9, default=2))}, 1,
    {"task": {"name": "t"}, "budget": {"trials": 9}}, {"python": "3"},
)  # fmt: skip

# The tables of schema 1, as the first release of Overnight made them.
TABLES_OF_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, at REAL NOT NULL, elapsed_s REAL NOT NULL,
                     kind TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE items (trial INTEGER NOT NULL, split TEXT NOT NULL, data BLOB NOT NULL,
                    PRIMARY KEY (trial, split)) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema', '1');
"""


def history(trials: int, seed: int = 1) -> Iterator[tuple[ev.Event, ...]]:
    """The transactions of a study: trials run two at a time and overtake each other, fail, are
    retried and retested; two of them have their test split opened after they ended long ago."""
    rng = random.Random(seed)
    yield (CREATED,)
    yield (ev.CertificationPlanned(3, 0.4, "three fresh seeds"),)
    yield (ev.ControllerStarted(1, "here", False),)
    yield (ev.PlanMade("nine trials at most", "a GPU", 2.5),)
    yield (ev.BudgetReserved("paid by the policy", None, 0.0, 0.25, 0.0),)
    yield (ev.BudgetSettled("paid by the policy", None, 0.0, 0.125, 0.0),)
    yield (ev.BudgetReserved("still open", None, 0.0, 0.5, 0.0),)
    yield (ev.PreflightDone(0, Preflight({"share": 0.5}, ("a warning",))), ev.Noticed("preflight: a warning", 0))
    yield (ev.ItemsSetAside(20, None),)
    waiting = [_trial(number, rng) for number in range(trials)]
    running: list[Iterator[tuple[ev.Event, ...]]] = []
    while waiting or running:
        if waiting and len(running) < 2:
            running.append(waiting.pop(0))
            yield next(running[-1])  # proposed: always by number
        current = rng.choice(running)
        step = next(current, None)
        if step is None:
            running.remove(current)
        else:
            yield step
    yield (ev.StudyInterrupted("SIGTERM"),)
    yield (ev.ControllerStarted(2, "there", True, {**CREATED.config, "budget": {"usd": 3.0}}),)
    yield (ev.CertificationStarted(1, (2, 3), "all trials were used"),)
    yield (ev.TrialCertified(1, Certificate(1, True, "a gain", 0.1, 0.05, 0.15, 2, 20, 0.03, 5.0)),)
    yield (ev.TestOpened((0,)),)
    yield (ev.StudyFinished("all trials were used"),)
    yield (ev.TestReopened((0,)),)
    yield (ev.CertificationStarted(1, (2, 3), "all trials were used"),)
    yield (ev.TestOpened((0, 1)),)
    for number in (0, 1):
        yield from _job(number, "test", 1, "succeeded", rng)
        yield (ev.TrialEvaluated(number, "test", _evaluation("test", rng)),)
    yield (ev.StudyFinished("all trials were used"),)


def _trial(number: int, rng: random.Random) -> Iterator[tuple[ev.Event, ...]]:
    yield (ev.TrialProposed(number, Proposal({"k": number % 9 + 1}, seed=number or None, rationale=f"why é {number}")),)
    if rng.random() < 0.2:
        yield from _job(number, "train", 1, "lost", rng)
        yield (ev.Noticed(f"train of trial {number} was lost", number),)
    yield from _job(number, "train", 2, "succeeded", rng)
    if number > 1 and rng.random() < 0.2:
        yield (ev.TrialEnded(number, "failed", "RuntimeError: out of luck", "exception"), ev.TrackersTold(number))
        return
    yield from _job(number, "validation", 1, "succeeded", rng)
    yield (ev.TrialEvaluated(number, "validation", _evaluation("validation", rng)),)
    decided = Decision("keep" if number == 1 else "discard", "noise", {"gain": rng.random(), "worst": float("nan")})
    yield (ev.TrialDecided(number, decided), ev.TrialEnded(number, "completed"))
    if number == 1:
        yield (ev.IncumbentChanged(1, 0),)
    if rng.random() < 0.8:
        yield (ev.TrackersTold(number),)


def _job(number: int, phase: ev.Phase, attempt: int, state: str, rng: random.Random) -> Iterator[tuple[ev.Event, ...]]:
    token = f"s-1/{number:04d}/{phase}/a{attempt}"
    yield (ev.BudgetReserved(token, number, 60.0, 0.5, 0.1), ev.JobIntended(token, number, phase, attempt, 60.0))
    yield (ev.JobSubmitted(token, number, Handle(token, f"job {number}", {"pid": "1"})),)
    metrics = {"loss": rng.random(), "reward": float("nan")} if phase == "train" else {}
    yield (
        ev.JobEnded(token, number, phase, attempt, state, 0, "", rng.random(), "a GPU", metrics),  # type: ignore[arg-type]
        ev.BudgetSettled(token, number, rng.random(), rng.random(), rng.random()),
    )


def _evaluation(split: str, rng: random.Random) -> Evaluation:
    value = rng.uniform(0.2, 0.8)
    return Evaluation(split, "accuracy", value, 50, value - 0.1, value + 0.1, details={"format": rng.random()})  # type: ignore[arg-type]


def write(directory: Path, trials: int) -> Path:
    """A journal of this schema, without a snapshot."""
    path = directory / "journal.db"
    with Journal.create(path) as journal:
        for step in history(trials):
            journal.append(*step)
    return path


def write_1(directory: Path, trials: int) -> Path:
    """A journal of schema 1."""
    path = directory / "journal.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(TABLES_OF_1)
    events = [event for step in history(trials) for event in step]
    rows = [(seq, 1e9 + seq, seq * 0.5, type(event).__name__, dumps(event)) for seq, event in enumerate(events, 1)]
    with connection:
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("INSERT INTO items VALUES (1, 'test', x'00')")
    connection.close()
    return path


def folded(journal: Journal, directory: Path) -> Fold:
    """The fold of all events, without the snapshot."""
    fold = Fold(directory)
    for entry in journal.entries():
        fold.apply(entry)
    return fold


def described(fold: Fold) -> str:
    """All that a fold knows, as text: two folds that say the same are the same (NaN included)."""
    left_out = {"records", "open", "live_jobs", "stale", "kept", "told", "_trials", "_space"}
    rest = {name: value for name, value in vars(fold).items() if name not in left_out}
    records = [(number, r.trial, r.jobs, r.place, r.evaluated_seq) for number, r in fold.records.items()]
    facts = replace(fold.facts(), space=None)  # type: ignore[arg-type]
    return repr((rest, records, list(fold.open), fold.running_jobs, sorted(fold.told), dict(fold.space), facts))


def with_snapshot(directory: Path, trials: int = 12) -> Path:
    """A journal whose snapshot is 20 to 40 events old, made in several steps."""
    path = write(directory, trials)
    with Journal.open(path) as journal:
        fold = Fold(directory)
        for entry in journal.entries():
            fold.apply(entry)
            if entry.seq in (30, 60, 90):
                journal._seq = entry.seq  # the moment at which the controller stood there
                snapshot.save(journal, fold)
    return path


class Failing:
    """A connection whose n-th statement fails as on a full disk."""

    def __init__(self, connection: sqlite3.Connection, nth: int) -> None:
        self._connection, self.left = connection, nth

    def execute(self, *statement: Any) -> Any:
        if statement[0] not in ("ROLLBACK",):
            self.left -= 1
            if self.left == 0:
                raise sqlite3.OperationalError("database or disk is full")
        return self._connection.execute(*statement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
