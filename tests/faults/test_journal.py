"""Faults 10, 15 to 19 and 65 to 67: what befalls the journal and the machine under a controller."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.journal import snapshot
from core.journal.store import Journal
from core.plugins import discover
from core.study.launch import Outcome, create, read_facts, replay
from journal.histories import described, folded, history, with_snapshot, write_1
from support import QUICK, overnight, study_config
from witness import events, lost, repeated

Cli = Callable[..., subprocess.CompletedProcess[str]]

_KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path

class Killed(sqlite3.Connection):
    left = int(sys.argv[2])
    def execute(self, *statement):
        if not statement[0].startswith("SELECT"):
            Killed.left -= 1
            if Killed.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*statement)

connect = sqlite3.connect
sqlite3.connect = lambda *args, **more: connect(*args, factory=Killed, **more)
from core.journal import snapshot
from core.journal.store import Journal
from core.study.launch import replay
path = Path(sys.argv[1])
with Journal.open(path) as journal:
    fold = replay(journal, path.parent)
    snapshot.save(journal, fold)
"""


def killed_at(path: Path, statement: int) -> bool:
    """Open the journal, migrate it, write its snapshot; be killed before that statement."""
    ran = subprocess.run([sys.executable, "-c", _KILLED, path, str(statement)], capture_output=True, check=False)
    assert ran.returncode in (0, -signal.SIGKILL), ran.stderr.decode()
    return ran.returncode != 0


@pytest.mark.slow
@pytest.mark.fault(10, "killed during migration or snapshot", "the old state is intact")
@pytest.mark.parametrize("old", [True, False])
def test_killed_at_every_statement_of_a_migration_or_snapshot(tmp_path: Path, old: bool, tally: Any) -> None:
    source = tmp_path / "source"
    source.mkdir()
    path = write_1(source, trials=2) if old else with_snapshot(source, trials=6)
    with Journal.open(path, readonly=True) as journal:
        true = described(folded(journal, source)).replace(str(source), "")
    statement, killed = 0, True
    while killed:
        study = tmp_path / f"{statement}"
        shutil.copytree(source, study)
        killed = killed_at(study / path.name, statement)
        tally.injected += killed
        for readonly in (True, False):
            with Journal.open(study / path.name, readonly=readonly) as journal:
                with journal.reading() as db:
                    assert old or snapshot.load(db, study) is not None, "the old snapshot is spoilt"
                tally.lost += described(replay(journal, study)).replace(str(study), "") != true
                tally.lost += described(folded(journal, study)).replace(str(study), "") != true
        statement += 1
    assert tally.injected > (12 if old else 7)


@pytest.mark.fault(15, "the clock jumps a day forth and back", "budgets go by monotonic time")
@pytest.mark.parametrize("jump", [86400.0, -86400.0])
def test_a_clock_that_jumps_costs_no_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float, tally: Any
) -> None:
    real, wall = Journal.create.__func__, iter(range(10**6))  # type: ignore[attr-defined]

    def jumping() -> float:
        return 1.8e9 + (jump if next(wall) % 2 else 0.0)

    monkeypatch.setattr(Journal, "create", lambda path: real(Journal, path, wall=jumping))
    (tmp_path / "study").mkdir()
    config = study_config(tmp_path / "study", budget={"trials": 3, "wall_clock_hours": 0.1})
    outcome = create(config, tmp_path / "study", discover())
    assert outcome.exit_code == 0, outcome.error
    tally.injected += next(wall)
    tally.lost += lost(tmp_path / "study", 3)
    tally.repeated += repeated(tmp_path / "study")
    with Journal.open(tmp_path / "study" / "journal.db", readonly=True) as journal:
        entries = list(journal.entries())
    assert max(entry.at for entry in entries) - min(entry.at for entry in entries) == abs(jump)
    elapsed = [entry.elapsed_s for entry in entries]
    assert elapsed == sorted(elapsed)
    tally.overspent += max(0.0, elapsed[-1] - 360.0)


_FULL = """
import sqlite3, sys
class Full(sqlite3.Connection):
    left = int(sys.argv.pop(1))
    def execute(self, *statement):
        if statement[0].startswith(("INSERT", "COMMIT")):
            Full.left -= 1
            if Full.left < 0:
                raise sqlite3.OperationalError("database or disk is full")
        return super().execute(*statement)
connect = sqlite3.connect
sqlite3.connect = lambda *args, **more: connect(*args, factory=Full, **more)
from core.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def python(script: str, *arguments: object, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120,
        check=False, **more,
    )  # fmt: skip


def resumed_whole(directory: Path, trials: int, tally: Any) -> None:
    """Resume to the end and count what was lost and repeated on the way."""
    ran = overnight("resume", directory, cwd=directory.parent)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    tally.lost += lost(directory, trials)
    tally.repeated += repeated(directory)


def stopped(ran: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert any(word in ran.stderr for word in words), ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
@pytest.mark.fault(16, "the disk is full at a write", "stops resumable, says so")
@pytest.mark.parametrize("writes", [4, 9, 17, 26, 38, 51])
def test_a_full_disk_at_a_write_stops_a_study_that_resumes(tmp_path: Path, writes: int, tally: Any) -> None:
    ran = python(_FULL, writes, *QUICK, f"dir={tmp_path / 'study'}", cwd=tmp_path)
    stopped(ran, "disk is full")
    tally.injected += 1
    resumed_whole(tmp_path / "study", 3, tally)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system read-only, which needs root")
@pytest.mark.fault(17, "the study's directory is read-only", "shown as it is; resume says why not")
def test_a_read_only_directory(run: Callable[..., Outcome], cli: Cli, tmp_path: Path, tally: Any) -> None:
    assert run(budget={"trials": 1}).exit_code == 0
    media = tmp_path / "media"
    media.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", media], check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        study = media / "study"
        shutil.copytree(tmp_path / "study", study, symlinks=True)
        database = sqlite3.connect(study / "journal.db")  # as if it had not been finished
        with database:
            database.execute("DELETE FROM events WHERE kind = 'StudyFinished'")
        database.close()
        subprocess.run(["mount", "-o", "remount,ro", media], check=True)
        tally.injected += 1
        true = replace(read_facts(tmp_path / "study").study, directory=study, finished=None)
        tally.lost += read_facts(study).study.trials != true.trials
        assert cli("status", study).returncode == 0
        report = cli("report", study)
        assert report.returncode == 2 and "--to DIR" in report.stderr
        assert cli("report", study, "--to", tmp_path / "elsewhere").returncode == 0
        stopped(cli("resume", study), "Read-only file system")
        new = cli(*QUICK, f"dir={media / 'new'}")
        assert new.returncode == 2 and "dir=PATH" in new.stderr and "Traceback" not in new.stderr
    finally:
        subprocess.run(["umount", "-l", media], check=True)


@pytest.mark.slow
@pytest.mark.fault(18, "the controller is out of file descriptors", "stops resumable, says so")
@pytest.mark.parametrize("after", [1, 3, 20, 33])
def test_a_controller_that_can_open_no_more_files(tmp_path: Path, after: int, tally: Any) -> None:
    ran = python(_NO_FILES, after, *QUICK, f"dir={tmp_path / 'study'}", cwd=tmp_path)
    stopped(ran, "Too many open files", "unable to open")
    tally.injected += 1
    resumed_whole(tmp_path / "study", 3, tally)


_NO_FILES = """
import os, resource, sys
from core.__main__ import main
from core.journal.store import Journal
after, append, done = int(sys.argv.pop(1)), Journal.append, []

def spent(self, *recorded, **more):
    found = append(self, *recorded, **more)
    if self.seq >= after and not done:
        done.append(True)
        used = [int(name) for name in os.listdir("/proc/self/fd")]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(set(range(99)) - set(used)), 4096))
    return found

Journal.append = spent
sys.exit(main(sys.argv[1:]))
"""


_HOG = """
import resource, sys, threading, time
from core.__main__ import main
from core.journal.store import Journal
after, held, append = int(sys.argv.pop(1)), [], Journal.append

def hungry(self, *recorded, **more):
    found = append(self, *recorded, **more)
    if self.seq >= after and not held:
        size = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize")))
        resource.setrlimit(resource.RLIMIT_AS, (size << 10, resource.RLIM_INFINITY))
        for piece in (1 << 20, 1 << 16, 1 << 12, 1 << 8, 64):
            try:
                while True:
                    held.append(bytearray(piece))
            except MemoryError:
                pass
        print("MEMORY IS GONE", flush=True)
    return found

Journal.append = hungry
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.fault(19, "the controller is out of memory", "ends; resume completes the study")
@pytest.mark.parametrize("after", [3, 14, 22, 31])
def test_a_controller_without_memory(tmp_path: Path, after: int, tally: Any) -> None:
    directory = tmp_path / "study"
    ran = python(_HOG, after, *QUICK, f"dir={directory}", cwd=tmp_path)
    assert "MEMORY IS GONE" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode != 0
    assert "emory" in ran.stderr or ran.returncode < 0, ran.stdout + ran.stderr
    tally.injected += 1
    resumed_whole(directory, 3, tally)


@pytest.mark.fault(65, "a journal of a newer schema", "refused with both versions, left alone")
def test_a_journal_of_a_newer_schema(run: Callable[..., Outcome], cli: Cli, tmp_path: Path, tally: Any) -> None:
    run(budget={"trials": 1})
    study = tmp_path / "study"
    recorded = len(events(study))
    database = sqlite3.connect(study / "journal.db")
    with database:
        database.execute("UPDATE meta SET value = '3' WHERE key = 'schema'")
    for command in (["status"], ["report"], ["resume"], ["status", "--json"]):
        ran = cli(*command, study)
        tally.injected += 1
        assert ran.returncode == 2, ran.stdout + ran.stderr
        assert "schema 3, this Overnight reads 2" in ran.stderr and "Traceback" not in ran.stderr
    tally.lost += recorded - database.execute("SELECT count(*) FROM events").fetchone()[0]
    database.close()


@pytest.mark.slow
@pytest.mark.fault(66, "the journal's tail is torn", "a prefix of whole steps; resume goes on")
def test_a_torn_tail(tmp_path: Path, tally: Any) -> None:
    full = tmp_path / "full"
    full.mkdir()
    ends = []
    with Journal.create(full / "journal.db") as journal:
        for step in history(trials=3):
            journal.append(*step)
            ends.append(journal.seq)
        file, log = (full / "journal.db").read_bytes(), (full / "journal.db-wal").read_bytes()
    rng = random.Random(66)
    cuts = [*range(32 + 4120, len(log), 4120), *(rng.randrange(32, len(log)) for _ in range(40))]
    torn = tmp_path / "torn"
    for cut in cuts:
        shutil.rmtree(torn, ignore_errors=True)
        torn.mkdir()
        (torn / "journal.db").write_bytes(file)
        (torn / "journal.db-wal").write_bytes(log[:cut])
        tally.injected += 1
        try:
            with Journal.open(torn / "journal.db", readonly=True) as journal:
                tally.lost += journal.seq not in (0, *ends)
        except Exception as error:  # noqa: BLE001 - whatever it is, it breaks the promise
            assert "cannot be read" in str(error) and cut < 32 + 12 * 4120, (cut, error)  # before the tables were made
    # A whole study, killed by the kernel's will and then shortened, goes on.
    study = tmp_path / "study"
    ran = python(_KILLED_STUDY, 40, *QUICK, f"dir={study}", cwd=tmp_path)
    assert ran.returncode == -signal.SIGKILL, ran.stdout + ran.stderr
    wal = study / "journal.db-wal"
    size, before = wal.stat().st_size, len(events(study))
    (study / "journal.db-shm").unlink(missing_ok=True)
    os.truncate(wal, size - 4120 - 100)
    assert 0 < len(events(study)) < before
    tally.injected += 1
    resumed_whole(study, 3, tally)


_KILLED_STUDY = """
import os, signal, sys
from core.__main__ import main
from core.journal.store import Journal
after, append = int(sys.argv.pop(1)), Journal.append
def fatal(self, *recorded, **more):
    found = append(self, *recorded, **more)
    if self.seq >= after:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
Journal.append = fatal
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.fault(67, "the folder of a trial is gone", "status, report and resume work")
@pytest.mark.parametrize(
    "gone",
    ["trials/0001", "trials/0002", "trials"],
)
def test_a_missing_trial_folder(tmp_path: Path, gone: str, tally: Any) -> None:
    study = tmp_path / "study"
    ran = python(_KILLED_STUDY, 40, *QUICK, f"dir={study}", cwd=tmp_path)
    assert ran.returncode == -signal.SIGKILL, ran.stdout + ran.stderr
    before = {t.number: t.evaluation for t in read_facts(study).study.trials if t.status == "completed"}
    assert before
    shutil.rmtree(study / gone, ignore_errors=True)
    tally.injected += 1
    for command in ("status", "report"):
        shown = overnight(command, study, cwd=tmp_path)
        assert shown.returncode == 0, shown.stdout + shown.stderr
    resumed = overnight("resume", study, cwd=tmp_path, timeout=60)
    assert "Traceback" not in resumed.stderr
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    after = {t.number: t for t in read_facts(study).study.trials}
    tally.lost += sum(after[number].evaluation != evaluation for number, evaluation in before.items())
    tally.lost += sum(trial.status == "running" for trial in after.values())
