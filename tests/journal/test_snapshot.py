"""The snapshot: what it gives is what the events give, or it is passed over."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import JournalError
from core.journal import events as ev
from core.journal import snapshot
from core.journal.fold import Fold
from core.journal.store import Journal
from core.study.launch import Outcome, read_facts, replay
from core.study.recorder import Recorder
from journal.histories import Failing, described, folded, history, with_snapshot


def restored(journal: Journal, directory: Path) -> Fold | None:
    with journal.reading() as db:
        return snapshot.load(db, directory)


def test_the_history_that_these_tests_tell_has_every_kind_of_event() -> None:
    told = {type(event) for step in history(trials=14) for event in step}
    assert told == set(ev.Event.__args__), "a new kind of event must be in it, so that its trace in the fold is kept"


@pytest.mark.parametrize(("every", "trials"), [(1, 3), (5, 6), (17, 14)])
def test_at_every_moment_the_snapshot_says_what_the_events_say(tmp_path: Path, every: int, trials: int) -> None:
    with Journal.create(tmp_path / "journal.db") as journal:
        fold, count = Fold(tmp_path), 0
        for step in history(trials, seed=every):
            for entry in journal.append(*step):
                fold.apply(entry)
            if journal.seq - fold.kept.seq >= every:
                snapshot.save(journal, fold)
                count += 1
                found = restored(journal, tmp_path)
                assert found is not None
                assert described(found) == described(folded(journal, tmp_path))
        assert count > 7
        assert fold.kept.trials in (trials - 1, trials), "nearly all trials are at rest at the end"
        assert described(replay(journal, tmp_path)) == described(folded(journal, tmp_path))


def test_a_controller_that_resumes_goes_on_with_the_snapshot_it_found(tmp_path: Path) -> None:
    steps = list(history(trials=12))
    for start in range(0, len(steps), 9):
        opened = Journal.open if start else Journal.create
        with opened(tmp_path / "journal.db") as journal:
            fold = replay(journal, tmp_path) if start else Fold(tmp_path)
            assert (fold.kept.seq > 0) == (start > 0)
            for step in steps[start : start + 9]:
                for entry in journal.append(*step):
                    fold.apply(entry)
            snapshot.save(journal, fold)
    with Journal.open(tmp_path / "journal.db", readonly=True) as journal:
        assert described(replay(journal, tmp_path)) == described(folded(journal, tmp_path))


def test_the_events_after_the_snapshot_are_taken_in_and_only_they(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_snapshot(tmp_path)
    applied: list[int] = []
    apply = Fold.apply
    monkeypatch.setattr(Fold, "apply", lambda self, entry: (applied.append(entry.seq), apply(self, entry)))
    with Journal.open(tmp_path / "journal.db") as journal:
        fold = replay(journal, tmp_path)
        assert applied == list(range(91, journal.seq + 1))
        assert described(fold) == described(folded(journal, tmp_path))


def _flip(column: str, table: str) -> str:
    return f"UPDATE {table} SET {column} = replace({column}, '1', '2')"


@pytest.mark.parametrize(
    "damage",
    [
        _flip("data", "snapshot"),
        _flip("trial", "snapshot_trials"),
        _flip("jobs", "snapshot_trials"),
        "UPDATE snapshot_trials SET place = place + 1",
        "DELETE FROM snapshot_trials WHERE number = 1",
        "DELETE FROM snapshot_notices",
        "DELETE FROM snapshot",
        "DROP TABLE snapshot_trials",
        "UPDATE snapshot SET data = 'no JSON', crc = 0",
        "UPDATE events SET at = at + 1 WHERE seq = 90",  # the journal of another study, or another past
    ],
)
def test_a_snapshot_that_cannot_be_relied_on_is_passed_over(tmp_path: Path, damage: str) -> None:
    path = with_snapshot(tmp_path)
    with Journal.open(path, readonly=True) as journal:
        assert restored(journal, tmp_path) is not None
    database = sqlite3.connect(path)
    with database:
        assert database.execute(damage).rowcount != 0, "nothing was damaged"
        database.execute("UPDATE events SET crc = NULL WHERE seq = 90")
    database.close()
    with Journal.open(path, readonly=True) as journal:
        assert restored(journal, tmp_path) is None
        assert described(replay(journal, tmp_path)) == described(folded(journal, tmp_path))


def test_a_snapshot_of_other_code_is_passed_over_and_then_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_snapshot(tmp_path)
    monkeypatch.setattr(snapshot, "code", lambda: "another")
    with Journal.open(path) as journal:
        assert restored(journal, tmp_path) is None
        fold = replay(journal, tmp_path)
        snapshot.save(journal, fold)
        found = restored(journal, tmp_path)
        assert found is not None
        assert described(found) == described(folded(journal, tmp_path))


def test_the_word_for_the_code_follows_the_fields_of_a_trial() -> None:
    for name in ("proposal=Proposal(params=", "decision=Decision(", "confirmed=", "evaluation=Evaluation(split="):
        assert name in snapshot.TRIAL.layout
    assert "ended=JobEnded(token=" in snapshot.JOB.layout


def test_a_full_disk_at_any_statement_leaves_the_old_snapshot(tmp_path: Path) -> None:
    path = with_snapshot(tmp_path)
    with Journal.open(path) as journal:
        fold, real, nth = replay(journal, tmp_path), journal._db, 0
        before = restored(journal, tmp_path)
        assert before is not None
        while True:
            nth += 1
            failing = Failing(real, nth)
            journal._db = failing  # type: ignore[assignment]
            try:
                snapshot.save(journal, fold)
            except JournalError as error:
                assert "disk is full" in str(error)
            finally:
                journal._db = real
            if failing.left > 0:
                break
            now = restored(journal, tmp_path)
            assert now is not None and described(now) == described(before), f"at statement {nth}"
        assert nth > 5
        after = restored(journal, tmp_path)
        assert after is not None
        assert described(after) == described(folded(journal, tmp_path)), "the save that went through is whole"


def test_the_recorder_keeps_the_snapshot_and_its_observers_see_every_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "EVERY", 10)
    seen: list[tuple[int, int]] = []

    class Watcher:
        def recorded(self, entry: ev.Entry, facts: Any) -> None:
            seen.append((entry.seq, len(facts.study.trials)))

        def progressed(self, *_: Any) -> None: ...

    with Journal.create(tmp_path / "journal.db") as journal:
        recorder = Recorder(journal, Fold(tmp_path), [Watcher()])
        for step in history(trials=5):
            recorder.record(*step)
        assert 0 <= journal.seq - recorder.fold.kept.seq < 10
    assert [seq for seq, _ in seen] == list(range(1, journal.seq + 1))
    assert seen[-1][1] == 5


def test_a_whole_study_says_the_same_with_and_without_its_snapshot(
    run: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "EVERY", 8)
    outcome = run()
    assert outcome.exit_code == 0
    with Journal.open(tmp_path / "study" / "journal.db", readonly=True) as journal:
        found = restored(journal, tmp_path / "study")
        assert found is not None and found.kept.seq > 20
        assert folded(journal, tmp_path / "study").facts() == read_facts(tmp_path / "study") == outcome.facts


@pytest.mark.slow
def test_a_long_study_reopens_faster_than_its_events_can_be_parsed(tmp_path: Path) -> None:
    from json import loads

    with Journal.create(tmp_path / "journal.db") as journal:
        journal._db.execute("PRAGMA synchronous = OFF")
        recorder = Recorder(journal, Fold(tmp_path))
        for step in history(trials=10_000):
            recorder.record(*step)
    ratios = []
    for _ in range(3):
        begun = time.process_time()
        for (data,) in sqlite3.connect(tmp_path / "journal.db").execute("SELECT data FROM events"):
            loads(data)
        parsed = time.process_time()
        assert len(read_facts(tmp_path).study.trials) == 10_000
        ratios.append((time.process_time() - parsed) / (parsed - begun))
    assert min(ratios) < 0.8, ratios
