"""The journal on disk: durable, ordered, readable beside its writer, honest about damage."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.contracts import Evaluation, ItemScore, Objective, Proposal
from core.errors import JournalError, UsageError
from core.journal import events as ev
from core.journal.store import Journal

CREATED = ev.StudyCreated("s", "n", Objective("accuracy"), {}, 1, {})


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    events = [CREATED, ev.TrialProposed(0, Proposal({"lr": 1e-3, "n": 4, "mode": "a", "flag": True})), ev.Noticed("é")]
    with Journal.create(tmp_path / "journal.db") as journal:
        for event in events:
            journal.append(event)
    with Journal.open(tmp_path / "journal.db") as journal:
        entries = list(journal.entries())
    assert [entry.event for entry in entries] == events
    assert [entry.seq for entry in entries] == [1, 2, 3]


def test_nan_and_infinity_survive_the_journal(tmp_path: Path) -> None:
    ended = ev.JobEnded("t", 1, "train", 1, "failed", metrics={"loss": float("nan"), "reward": float("-inf")})
    with Journal.create(tmp_path / "journal.db") as journal:
        journal.append(ended)
        (entry,) = journal.entries()
    assert isinstance(entry.event, ev.JobEnded)
    assert str(entry.event.metrics["loss"]) == "nan"
    assert entry.event.metrics["reward"] == float("-inf")


def test_item_scores_stand_beside_their_evaluation(tmp_path: Path) -> None:
    evaluation = Evaluation.from_items("test", "accuracy", [ItemScore("a", 1.0), ItemScore("b", 0.0)])
    with Journal.create(tmp_path / "journal.db") as journal:
        journal.append(ev.TrialEvaluated(3, "test", replace(evaluation, items=())), items=evaluation.items)
    with Journal.open(tmp_path / "journal.db", readonly=True) as journal:
        assert journal.items(3, "test") == evaluation.items
        assert journal.items(3, "validation") == ()


def test_a_reader_sees_what_the_writer_committed_while_it_writes(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "journal.db") as writer:
        writer.append(CREATED)
        with Journal.open(tmp_path / "journal.db", readonly=True) as reader:
            assert len(list(reader.entries())) == 1
            writer.append(ev.Noticed("more"))
            assert len(list(reader.entries())) == 2


def test_elapsed_time_is_summed_over_controllers_and_ignores_the_wall_clock(tmp_path: Path) -> None:
    now = {"clock": 100.0, "wall": 1e9}
    clocks = {"clock": lambda: now["clock"], "wall": lambda: now["wall"]}
    with Journal.create(tmp_path / "journal.db", **clocks) as journal:
        now["clock"] += 30
        now["wall"] -= 86400
        journal.append(CREATED)
    now["clock"] = 5.0
    with Journal.open(tmp_path / "journal.db", **clocks) as journal:
        now["clock"] += 12
        (entry,) = journal.append(ev.Noticed("later"))
    assert entry.elapsed_s == pytest.approx(42)


def test_a_second_study_in_the_same_place_is_refused(tmp_path: Path) -> None:
    Journal.create(tmp_path / "journal.db").close()
    with pytest.raises(UsageError, match="resume"):
        Journal.create(tmp_path / "journal.db")


def test_opening_what_is_no_study_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no study"):
        Journal.open(tmp_path / "journal.db")
    (tmp_path / "journal.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(JournalError, match="cannot be read"):
        Journal.open(tmp_path / "journal.db")


def test_a_journal_of_a_newer_schema_is_refused_with_both_versions(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "journal.db")
    journal._db.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    journal.close()
    with pytest.raises(UsageError, match="schema 99, this Overnight reads 2"):
        Journal.open(tmp_path / "journal.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs, which needs root")
def test_a_full_disk_is_a_clear_error_and_loses_nothing_recorded(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        journal = Journal.create(small / "journal.db")
        count = 0
        with pytest.raises(JournalError, match="cannot write"):
            for count in range(1000):  # noqa: B007 - the count at which the disk was full is what we check
                journal.append(ev.Noticed("x" * 4000))
        assert count > 5
        journal.close()
        with Journal.open(small / "journal.db") as again:
            assert len(list(again.entries())) == count
    finally:
        subprocess.run(["umount", "-l", small], check=True)


_WRITER = """
import sys
from pathlib import Path
from core.journal import events as ev
from core.journal.store import Journal
journal = Journal.create(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    journal.append(ev.Noticed(f"{number} first"), ev.Noticed(f"{number} second"))
    print(number, flush=True)
"""


def test_a_writer_killed_in_mid_write_loses_nothing_it_committed(tmp_path: Path) -> None:
    for round_number in range(5):
        path = tmp_path / f"{round_number}" / "journal.db"
        path.parent.mkdir()
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        last = 0
        while last < 20 + 7 * round_number:
            last = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        confirmed = [int(line) for line in writer.stdout.read().split("\n") if line.strip().isdigit()]
        writer.wait()
        last = max([last, *confirmed[:-1]])  # the very last line may itself be torn
        with Journal.open(path) as journal:
            texts = [entry.event.text for entry in journal.entries() if isinstance(entry.event, ev.Noticed)]
        assert len(texts) >= 2 * last
        assert len(texts) % 2 == 0, "a transaction was torn"


def test_a_silent_stretch_before_a_kill_counts_but_for_the_last_seconds(tmp_path: Path) -> None:
    now = 100.0
    path = tmp_path / "journal.db"
    journal = Journal.create(path, clock=lambda: now)
    journal.append(ev.Noticed("begun"))
    for _ in range(60):
        now += 1.0
        journal.beat()
    with Journal.open(path, clock=lambda: 7.0) as reopened:  # the first was never closed
        assert 55.0 <= reopened.elapsed_s <= 60.0
        (entry,) = reopened.append(ev.Noticed("resumed"))
        assert entry.elapsed_s >= 55.0
    journal.close()
