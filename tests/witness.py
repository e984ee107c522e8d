"""Witnesses of what a killed study left: its processes, its journal, its bill."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from core.journal import events as ev
from core.journal.store import Journal


def events(directory: Path) -> list[ev.Event]:
    with Journal.open(directory / "journal.db", readonly=True) as journal:
        return [entry.event for entry in journal.entries()]


def wait_for(directory: Path, condition: type[ev.Event], count: int = 1, patience_s: float = 30.0) -> None:
    """Until the journal holds so many events of a kind."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if (directory / "journal.db").exists():
            try:
                if sum(isinstance(event, condition) for event in events(directory)) >= count:
                    return
            except Exception:  # noqa: BLE001 - the very first instant: the tables are being made
                time.sleep(0.01)
        time.sleep(0.02)
    raise AssertionError(f"no {condition.__name__} within {patience_s} s")


def processes_of(directory: Path) -> Iterator[int]:
    """Living processes (not zombies) that work in the study directory."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                place = str((entry / "cwd").readlink())
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if place.startswith(f"{directory}/") and state not in "ZX":
                yield int(entry.name)


def described(directory: Path) -> list[str]:
    """What each process that is left is, for the failure's message."""
    found = []
    for pid in processes_of(directory):
        place = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError):
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            stat = (place / "stat").read_text().rpartition(")")[2].split()
            waits = (place / "wchan").read_text()
            found.append(
                f"{pid} in {(place / 'cwd').readlink()}: {command} state={stat[0]} parent={stat[1]} in {waits}"
            )
    return found


def left_after(directory: Path, patience_s: float = 10.0) -> list[str]:
    """What still runs in the study directory after so many seconds, described; empty as soon as nothing does."""
    end = time.monotonic() + patience_s
    while list(processes_of(directory)):
        if time.monotonic() > end and (found := described(directory)):
            return found
        time.sleep(0.02)
    return []


def none_left(directory: Path, patience_s: float = 10.0) -> bool:
    """Whether nothing runs there any more after so many seconds at most."""
    return not left_after(directory, patience_s)


def assert_whole(directory: Path, trials: int) -> None:
    """Every trial ended exactly once, trained to success exactly once, and was decided once."""
    recorded = events(directory)
    ended = [event.trial for event in recorded if isinstance(event, ev.TrialEnded)]
    assert sorted(ended) == list(range(trials + 1))
    for kind, phase in ((ev.JobEnded, "train"), (ev.JobEnded, "validation")):
        done = [e.trial for e in recorded if isinstance(e, kind) and e.phase == phase and e.state == "succeeded"]
        assert sorted(done) == sorted(set(done)), f"a finished {phase} was run again"
    assert sum(isinstance(event, ev.TestOpened) for event in recorded) == 1
    assert [type(event) for event in recorded].count(ev.StudyFinished) == 1


def lost(directory: Path, trials: int) -> int:
    """Trials of a finished study that never ended, or ended twice, and whether its end is missing."""
    recorded = events(directory)
    ended = [event.trial for event in recorded if isinstance(event, ev.TrialEnded)]
    finished = sum(isinstance(event, ev.StudyFinished) for event in recorded)
    return len(set(range(trials + 1)) ^ set(ended)) + (finished != 1)


def repeated(directory: Path) -> int:
    """Phases of a trial that succeeded more than once, trials that ended or were decided more than
    once, and openings of the test split beyond the first."""
    recorded = events(directory)
    succeeded = [(e.trial, e.phase) for e in recorded if isinstance(e, ev.JobEnded) and e.state == "succeeded"]
    ended = [e.trial for e in recorded if isinstance(e, ev.TrialEnded)]
    decided = [e.trial for e in recorded if isinstance(e, ev.TrialDecided)]
    opened = sum(isinstance(e, ev.TestOpened) for e in recorded)
    return sum(len(found) - len(set(found)) for found in (succeeded, ended, decided)) + max(0, opened - 1)
