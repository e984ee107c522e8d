"""Faults 20 to 32: one trial misbehaves, and the study completes with the others' results untouched."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.contracts import Trial
from core.journal import events as ev
from core.journal.store import Journal
from core.plugins import discover
from core.study.launch import Outcome, create
from support import study_config

Run = Callable[..., Outcome]
FAULTY = 1
# Halving proposes x = 2, -1, 0.5 to trials 1, 2, 3: only the first is above 1.
STUDY: dict[str, Any] = {
    "policy": {"name": "halving"},
    "budget": {"trials": 3},
    "deadline": {"train_s": 60.0},
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Trial]:
    """The trials of the same study without a fault."""
    directory = tmp_path_factory.mktemp("reference") / "study"
    directory.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERNIGHT_CACHE", str(directory.parent / "cache"))
        outcome = create(study_config(directory, **STUDY), directory, discover())
    assert outcome.exit_code == 0
    return {trial.number: trial for trial in outcome.facts.study.trials}


@pytest.fixture
def suffer(run: Run, reference: dict[int, Trial], tally: Any) -> Callable[..., Trial]:
    """suffer(fault, …) runs the study with the fault in trial 1, counts what it cost, and returns
    that trial; everything that every fault promises is asserted here."""

    def _suffer(fault: str, *, harmless: bool = False, trials: int = 3, **changes: Any) -> Trial:
        executor = {"name": "local", "slots": 2, **changes.pop("executor", {})}
        task = {"name": "quadratic", "fault": fault, "fault_above": 1.0}
        budget = {"trials": trials}
        outcome = run(task=task, executor=executor, **{**STUDY, "budget": budget, **changes})
        study = outcome.facts.study
        others = {trial.number: trial for trial in study.trials}
        with Journal.open(study.directory / "journal.db", readonly=True) as journal:
            recorded = [entry.event for entry in journal.entries()]
        tally.injected += 1
        tally.lost += 1 + trials - sum(isinstance(event, ev.TrialEnded) for event in recorded)
        tally.repeated += sum(isinstance(event, ev.JobIntended) and event.attempt > 1 for event in recorded)
        tally.orphaned += len(list(left_of(study.directory)))
        faulty = others.pop(FAULTY)
        assert outcome.exit_code == 0, outcome.error
        assert set(others) == {*range(trials + 1)} - {FAULTY}
        for number, trial in others.items():
            assert (trial.status, trial.evaluation) == ("completed", reference[number].evaluation)
            assert reference[number].test in (None, trial.test)
        assert study.incumbent == trials  # the last one is the nearest to the bottom
        assert faulty.status == ("completed" if harmless else "failed"), faulty
        assert harmless or faulty.score is None
        assert list((study.directory / ".executor").iterdir()) == []
        return faulty

    return _suffer


def left_of(directory: Path) -> Iterator[int]:
    """Living processes (not zombies) that work in the study, or that a job of it started."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                place = str((entry / "cwd").readlink())
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            ours = place.startswith(f"{directory}/") or f"={directory.parent}/cache\0".encode() in environ
            if ours and state not in "ZX":
                yield int(entry.name)


@pytest.mark.fault(20, "a trial raises", "failed with its error")
def test_20_a_trial_that_raises(suffer: Callable[..., Trial]) -> None:
    trial = suffer("raise")
    assert trial.error_kind == "exception"
    assert trial.error is not None
    assert "ValueError: the gradient went" in trial.error


@pytest.mark.fault(21, "a trial exits non-zero after printing a score", "failed, never best")
def test_21_a_trial_that_exits_with_an_error_after_printing_a_score(suffer: Callable[..., Trial]) -> None:
    trial = suffer("exit")
    assert (trial.error_kind, trial.error) == ("exit", "ended with exit code 3; its last words: score=0.99")


@pytest.mark.fault(22, "a trial dies of a segmentation fault", "failed, never best")
def test_22_a_trial_that_segfaults_after_printing_a_score(suffer: Callable[..., Trial]) -> None:
    trial = suffer("segfault")
    assert (trial.error_kind, trial.error) == ("signal", "killed by SIGSEGV; its last words: score=0.99")


@pytest.mark.fault(23, "a metric is NaN, inf, 1e308, missing or given twice", "failed with the reason")
@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("nan", "not-finite", "loss is nan at step 2"),
        pytest.param("infinite", "not-finite", "loss is inf at step 2", marks=pytest.mark.slow),
        ("nan_score", "not-finite", "hit_rate on validation is nan"),
        ("infinite_score", "not-finite", "hit_rate on validation is inf"),
        ("huge_score", "not-finite", "hit_rate 1e+308 is outside its own interval"),
        ("missing_score", "not-finite", "hit_rate on validation has no items"),
        ("duplicate_score", "not-finite", "hit_rate on validation scores an item twice"),
    ],
)
def test_23_a_metric_that_is_no_score(suffer: Callable[..., Trial], fault: str, kind: str, words: str) -> None:
    trial = suffer(fault, trials=2)
    assert trial.error_kind == kind
    assert trial.error is not None
    assert words in trial.error


@pytest.mark.fault(24, "a trial hangs silently", "ended by the hang guard")
def test_24_a_trial_that_hangs_silently(suffer: Callable[..., Trial]) -> None:
    trial = suffer("silence", guard={"stall_s": 1.0})
    assert trial.error_kind == "stalled"
    assert trial.seconds < 10


@pytest.mark.fault(25, "a trial ignores SIGTERM", "killed after the grace time")
def test_25_a_trial_that_ignores_sigterm(suffer: Callable[..., Trial]) -> None:
    trial = suffer("deaf", deadline={"train_s": 2.5}, grace_s=0.5)
    assert (trial.error_kind, trial.error) == ("deadline", "killed at its deadline of 2.5 s")
    assert trial.seconds < 8


@pytest.mark.fault(26, "a trial double-forks and detaches", "killed with the trial")
def test_26_a_trial_that_leaves_a_daemon_behind(suffer: Callable[..., Trial], tally: Any, tmp_path: Path) -> None:
    suffer("daemon", harmless=True)
    pid = int((tmp_path / "cache" / "daemon.pid").read_text())
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = "X"
    tally.orphaned += state not in "ZX"


@pytest.mark.fault(27, "a trial is a fork bomb", "killed: too many processes")
def test_27_a_fork_bomb(suffer: Callable[..., Trial]) -> None:
    trial = suffer("fork_bomb", executor={"max_processes": 300})
    assert trial.error_kind == "processes"
    assert trial.error is not None
    assert "started too many processes" in trial.error
    assert "300" in trial.error
    assert trial.seconds < 30


@pytest.mark.fault(28, "a trial is a memory bomb", "killed, diagnosed oom")
def test_28_a_memory_bomb(suffer: Callable[..., Trial]) -> None:
    trial = suffer("memory_bomb", executor={"memory_gb": 0.5})
    assert trial.error_kind == "oom"
    assert trial.error is not None
    assert "executor.memory_gb allows 0.50 GiB" in trial.error


@pytest.mark.fault(29, "a gibibyte of binary output without a line's end", "bounded, escaped")
def test_29_a_gibibyte_of_output(suffer: Callable[..., Trial], tmp_path: Path, cli: Callable[..., Any]) -> None:
    trial = suffer("gibibyte", executor={"max_log_mb": 1.0})
    assert trial.error is not None
    assert trial.error.startswith("ended with exit code 3; its last words: ")
    assert len(trial.error) < 400
    log = tmp_path / "study" / "trials" / "0001" / "log.txt"
    assert 0.9 * 2**20 < log.stat().st_size < 1.1 * 2**20
    assert b"bytes of output left out here" in log.read_bytes()
    shown = cli("status", tmp_path / "study")
    assert shown.returncode == 0
    for said in (trial.error, shown.stdout):
        assert not any(ord(char) < 32 and char not in "\t\n" for char in said)


@pytest.mark.fault(30, "a trial fills the disk", "killed at its share of the disk")
@pytest.mark.parametrize("fault", ["fill_disk", "big_file"])
def test_30_a_trial_that_fills_the_disk(suffer: Callable[..., Trial], fault: str) -> None:
    trial = suffer(fault, trials=2, executor={"disk_gb": 0.05})
    assert trial.error_kind == "disk"
    assert trial.error is not None
    assert "executor.disk_gb allows 0.05 GiB" in trial.error


@pytest.mark.fault(31, "a checkpoint is corrupt, torn or partial", "its evaluation fails, and so the trial")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("corrupt_checkpoint", "UnicodeDecodeError"),
        ("torn_checkpoint", "JSONDecodeError"),
        ("partial_checkpoint", "FileNotFoundError"),
    ],
)
def test_31_a_checkpoint_that_cannot_be_used(suffer: Callable[..., Trial], fault: str, words: str) -> None:
    trial = suffer(fault, trials=2)
    assert trial.error_kind == "exception"
    assert trial.error is not None
    assert words in trial.error


@pytest.mark.fault(32, "a trial writes into another trial's folder", "refused by the sandbox")
def test_32_a_trial_that_writes_into_anothers_folder(suffer: Callable[..., Trial], tmp_path: Path) -> None:
    began = time.monotonic()
    trial = suffer("trespass")
    assert trial.error_kind == "exception"
    assert trial.error is not None
    assert "PermissionError" in trial.error
    assert "done: []" in trial.error
    study = tmp_path / "study"
    found = [p for p in study.rglob("*") if p.name == "trespassed" or (p.is_file() and b"trespassed" in p.read_bytes())]
    assert found in ([], [study / "trials" / "0001" / "log.txt"])
    assert time.monotonic() - began < 60
