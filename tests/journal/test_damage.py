"""Damage: torn logs, flipped bytes, full disks; what is whole is shown, the rest is named."""

import itertools
import os
import random
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import JournalError
from core.journal import events as ev
from core.journal.store import Journal
from core.study.launch import read_facts, replay
from journal.histories import CREATED, Failing, described, folded, history, write

PAGE, FRAME, WAL_HEADER = 4096, 4096 + 24, 32


def _crashed(path: Path) -> tuple[bytes, bytes]:
    """What a writer that dies now leaves: the file and its log."""
    return path.read_bytes(), Path(f"{path}-wal").read_bytes()


def _copy(path: Path, file: bytes, wal: bytes, target: Path) -> Path:
    target.mkdir(exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    (target / path.name).write_bytes(file)
    (target / f"{path.name}-wal").write_bytes(wal)
    return target / path.name


def test_a_log_torn_anywhere_gives_whole_transactions_and_never_an_error(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal.create(path) as journal:
        journal.append(CREATED)
        journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ends = [journal.seq]
        for number in range(40):
            journal.append(*[ev.Noticed(f"{number} of {number % 4}" + "x" * 700)] * (1 + number % 4))
            ends.append(journal.seq)
        file, wal = _crashed(path)
    rng = random.Random(7)
    cuts = {0, 1, WAL_HEADER, len(wal), *range(WAL_HEADER, len(wal), FRAME), *range(WAL_HEADER + 24, len(wal), FRAME)}
    cuts |= {rng.randrange(len(wal)) for _ in range(60)}
    found = []
    for cut in sorted(cuts):
        torn = _copy(path, file, wal[:cut], tmp_path / "torn")
        with Journal.open(torn, readonly=bool(cut % 2)) as journal:
            seqs = [entry.seq for entry in journal.entries()]
            assert seqs == list(range(1, len(seqs) + 1))
            assert len(seqs) in ends, f"cut at {cut}: half a transaction"
            assert not found or len(seqs) >= found[-1], "a longer log holds at least as much"
            found.append(len(seqs))
    assert found[0] == 1
    assert found[-1] == ends[-1]
    assert len(set(found)) == len(ends), "every transaction was the last whole one at some cut"


def test_a_torn_log_can_be_written_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal.create(path) as journal:
        for step in history(trials=3):
            journal.append(*step)
        file, wal = _crashed(path)
    torn = _copy(path, file, wal[: len(wal) * 2 // 3], tmp_path / "torn")
    with Journal.open(torn) as journal:
        known = journal.seq
        journal.append(ev.Noticed("going on"))
    with Journal.open(torn, readonly=True) as journal:
        assert [entry.seq for entry in journal.entries()] == list(range(1, known + 2))


def _change(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    with database:
        assert database.execute(statement).rowcount == 1
    database.close()


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE events SET data = replace(data, 'made up', 'made op') WHERE seq = 1", "event 1 does not match"),
        ("UPDATE events SET elapsed_s = elapsed_s + 1 WHERE seq = 20", "event 20 does not match its checksum"),
        ("UPDATE events SET kind = 'Noticed' WHERE seq = 20", "event 20 does not match its checksum"),
        ("DELETE FROM events WHERE seq = 20", "event 20 is missing"),
        ("UPDATE events SET data = '{}', crc = NULL WHERE seq = 20", "validation error"),
        ("UPDATE events SET data = 'torn', crc = NULL WHERE seq = 20", "Expecting value"),
    ],
)
def test_a_changed_event_is_found_and_the_message_says_what_to_do(tmp_path: Path, statement: str, why: str) -> None:
    path = write(tmp_path, trials=3)
    _change(path, statement)
    good = 0 if "seq = 1" in statement else 19
    with Journal.open(path) as journal, pytest.raises(JournalError) as caught:
        replay(journal, tmp_path)
    message = str(caught.value)
    assert str(path) in message and why in message
    assert f"first {good} events are readable" in message
    assert f"python -m core status {tmp_path}" in message and "put back a copy" in message
    if good:
        facts = read_facts(tmp_path)
        assert "only the readable part is shown" in facts.notices[-1].text
        assert len(facts.study.trials) >= 1
    else:
        with pytest.raises(JournalError):
            read_facts(tmp_path)


@pytest.mark.parametrize("fill", [b"\xff", b"\0", b"random"])
def test_a_corrupt_page_never_gives_wrong_facts(tmp_path: Path, fill: bytes) -> None:
    path = write(tmp_path, trials=8)
    with Journal.open(path, readonly=True) as journal:
        true = [entry.event for entry in journal.entries()]
    whole, rng, found = path.read_bytes(), random.Random(3), {"refused": 0, "unharmed": 0}
    for page in range(len(whole) // PAGE):
        bad = bytearray(whole)
        start = page * PAGE + rng.randrange(0, PAGE // 2)
        bad[start : start + 512] = rng.randbytes(512) if fill == b"random" else fill * 512
        path.write_bytes(bad)
        seen: list[ev.Event] = []
        try:
            with Journal.open(path, readonly=True) as journal:
                for entry in journal.entries():
                    seen.append(entry.event)
            assert repr(seen) == repr(true), f"page {page}: events are missing and nobody was told"
            found["unharmed"] += 1
        except JournalError as error:
            assert str(path) in str(error)
            assert repr(seen) == repr(true[: len(seen)])
            found["refused"] += 1
    assert found["refused"] > 5, found


def test_item_scores_that_are_damaged_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, trials=3)
    _change(path, "UPDATE items SET data = x'0102' WHERE trial = 1 AND split = 'test'")
    with Journal.open(path, readonly=True) as journal, pytest.raises(JournalError, match="scores of trial 1 on test"):
        journal.items(1, "test")


def test_a_disk_that_is_full_at_any_statement_records_all_or_nothing(tmp_path: Path) -> None:
    steps = list(history(trials=3))
    for step in (steps[0], steps[4], steps[5], *[s for s in steps if isinstance(s[0], ev.TrialEvaluated)][:1]):
        path = tmp_path / "journal.db"
        with Journal.create(path) as journal:
            real, nth = journal._db, 0
            while True:
                nth += 1
                journal._db = failing = Failing(real, nth)  # type: ignore[assignment]
                try:
                    journal.append(*step)
                except JournalError as error:
                    assert "cannot write" in str(error) and "disk is full" in str(error)
                finally:
                    journal._db = real
                if failing.left > 0:
                    break
                assert list(journal.entries()) == [] and journal.seq == 0, f"statement {nth} left something"
            assert nth >= 3 + len(step)
            assert [entry.event for entry in journal.entries()] == list(step)
        for file in tmp_path.iterdir():
            file.unlink()


def test_what_cannot_be_written_as_json_leaves_no_transaction_open(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "journal.db") as journal:
        with pytest.raises(Exception, match="serialize"):
            journal.append(CREATED, ev.ControllerStarted(1, "here", False, {"what": object()}))
        assert [entry.seq for entry in journal.append(CREATED)] == [1]


def test_the_study_s_clock_never_goes_back(tmp_path: Path) -> None:
    now = {"clock": 1000.0, "wall": 1e9}
    clocks = {"clock": lambda: now["clock"], "wall": lambda: now["wall"]}
    with Journal.create(tmp_path / "journal.db", **clocks) as journal:
        for clock, wall in ((1010.0, 1e9), (1020.0, 1e9 - 86400), (1030.0, 1e9 + 86400), (3.0, 1e9)):
            now.update(clock=clock, wall=wall)
            journal.append(ev.Noticed("tick"))
    now.update(clock=2.0)  # the machine was started anew
    with Journal.open(tmp_path / "journal.db", **clocks) as journal:
        now.update(clock=7.0)
        journal.append(ev.Noticed("tick"))
        assert [entry.elapsed_s for entry in journal.entries()] == [10.0, 20.0, 30.0, 30.0, 35.0]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system read-only, which needs root")
def test_a_journal_with_its_log_on_read_only_media_is_read_whole(tmp_path: Path) -> None:
    place = tmp_path / "media"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        (tmp_path / "source").mkdir()
        with Journal.create(tmp_path / "source" / "journal.db") as journal:
            for step in history(trials=3):
                journal.append(*step)
            last = journal.seq
            _copy(journal.path, *_crashed(journal.path), place)
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        with Journal.open(place / "journal.db", readonly=True) as journal:
            assert journal.seq == last
            assert described(replay(journal, place)) == described(folded(journal, place))
        assert read_facts(place).study.finished
    finally:
        subprocess.run(["umount", "-l", place], check=True)


_READER = """
import sys
from pathlib import Path
from core.study.launch import read_facts
while True:
    facts = read_facts(Path(sys.argv[1]))
    ended = sum(trial.status != "running" for trial in facts.study.trials)
    print(len(facts.study.trials), ended, len(facts.notices), f"{facts.study.seconds:.6f}", flush=True)
    if facts.study.finished:
        break
"""


def test_a_reader_beside_the_controller_never_fails_and_never_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.journal import snapshot
    from core.journal.fold import Fold
    from core.study.recorder import Recorder

    monkeypatch.setattr(snapshot, "EVERY", 20)
    with Journal.create(tmp_path / "journal.db") as journal:
        recorder = Recorder(journal, Fold(tmp_path))
        steps = list(history(trials=51))
        recorder.record(*steps[0])
        reader = subprocess.Popen([sys.executable, "-c", _READER, tmp_path], stdout=subprocess.PIPE, text=True)
        assert reader.stdout is not None
        lines = [reader.stdout.readline()]
        for step in steps[1:]:
            recorder.record(*step)
            time.sleep(0.003)
        lines += reader.communicate(timeout=60)[0].splitlines()
    assert reader.returncode == 0
    numbers = [tuple(float(word) for word in re.findall(r"[\d.]+", line)[:4]) for line in lines]
    for before, after in itertools.pairwise(numbers):
        assert all(a <= b for a, b in zip(before, after, strict=True)), (before, after)
    assert numbers[-1][:2] == (51, 51)
    assert len({line[0] for line in numbers}) > 5, "the reader saw the study grow"
