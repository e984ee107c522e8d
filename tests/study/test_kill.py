"""Controllers that are killed or interrupted: nothing lost, nothing repeated, nothing left running."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.contracts import Trial
from core.journal import events as ev
from core.study.launch import read_facts
from support import QUICK, overnight
from witness import assert_whole, events, left_after, none_left, processes_of, wait_for

SLOW_STEPS = ("task.step_s=0.15", "budget.trials=3", "executor.slots=2")


def start(directory: Path, *more: str) -> subprocess.Popen[str]:
    """A controller in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "core", *QUICK, *SLOW_STEPS, f"dir={directory}", *more],
        cwd=directory.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_kill_9_in_mid_trial_then_resume_finishes_the_same_study(tmp_path: Path) -> None:
    directory = tmp_path / "study"
    controller = start(directory)
    wait_for(directory, ev.TrialEnded, 2)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    assert left_after(directory) == []
    # A child forked but not yet replaced by its program holds the dead controller's lock for an instant.
    end = time.monotonic() + 10
    while read_facts(directory).state != "killed" and time.monotonic() < end:
        time.sleep(0.05)
    assert read_facts(directory).state == "killed"
    before = {t.number: t for t in read_facts(directory).study.trials if t.status == "completed"}
    resumed = overnight("resume", directory, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    facts = read_facts(directory)
    assert facts.controllers == 2
    after: dict[int, Trial] = {trial.number: trial for trial in facts.study.trials}
    for number, trial in before.items():
        assert after[number].evaluation == trial.evaluation
        assert after[number].proposal == trial.proposal
    assert_whole(directory, 3)
    assert list((directory / ".executor").iterdir()) == []


@pytest.mark.slow
def test_kills_at_random_instants_lose_and_repeat_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "study"
    rng = random.Random(5)
    controller = start(directory)
    for _ in range(4):
        wait_for(directory, ev.ControllerStarted)
        time.sleep(rng.uniform(0.1, 1.2))
        controller.send_signal(signal.SIGKILL)
        controller.wait()
        assert left_after(directory) == []
        if read_facts(directory).state == "finished":
            break
        controller = subprocess.Popen(
            [sys.executable, "-m", "core", "resume", str(directory)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        count = read_facts(directory).controllers + 1
        wait_for(directory, ev.ControllerStarted, count)
    controller.wait(timeout=60)
    if read_facts(directory).state != "finished":
        overnight("resume", directory, cwd=tmp_path)
    assert_whole(directory, 3)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_the_first_signal_stops_in_good_order_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    directory = tmp_path / "study"
    controller = start(directory)
    wait_for(directory, ev.TrialEnded, 2)
    controller.send_signal(number)
    output, _ = controller.communicate(timeout=30)
    assert controller.returncode == code
    assert f"python -m core resume {directory}" in output
    assert none_left(directory)
    assert "running" not in output.partition("Trials: ")[2].partition("\n")[0], "nothing runs any more"
    facts = read_facts(directory)
    assert facts.state == "interrupted"
    assert (directory / "report.html").exists()
    assert overnight("resume", directory, cwd=tmp_path).returncode == 0
    assert_whole(directory, 3)


def test_the_second_signal_ends_it_at_once_and_still_nothing_is_left(tmp_path: Path) -> None:
    directory = tmp_path / "study"
    controller = start(directory, "task.fault=hang", "grace_s=60")
    wait_for(directory, ev.JobSubmitted, 3)
    controller.send_signal(signal.SIGINT)
    time.sleep(0.8)
    started = time.monotonic()
    controller.send_signal(signal.SIGINT)
    controller.wait(timeout=20)
    assert time.monotonic() - started < 5
    assert controller.returncode == 130
    assert none_left(directory)


def test_a_second_controller_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    directory = tmp_path / "study"
    controller = start(directory)
    wait_for(directory, ev.TrialProposed, 2)
    second = overnight("resume", directory, cwd=tmp_path)
    assert second.returncode == 4
    assert f"process {controller.pid} on" in second.stderr
    status = overnight("status", directory, "--json", cwd=tmp_path)
    assert status.returncode == 0
    controller.send_signal(signal.SIGTERM)
    controller.wait(timeout=30)


@pytest.mark.slow
def test_jobs_that_outlive_their_controller_are_adopted_not_run_again(tmp_path: Path) -> None:
    directory = tmp_path / "study"
    controller = start(directory, "executor=example_subprocess", "task.step_s=0.6")
    wait_for(directory, ev.JobSubmitted, 4)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    assert list(processes_of(directory)), "this executor's jobs were to go on"
    assert overnight("resume", directory, cwd=tmp_path).returncode == 0
    assert_whole(directory, 3)
    attempts = {event.attempt for event in events(directory) if isinstance(event, ev.JobIntended)}
    assert attempts == {1}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs, which needs root")
@pytest.mark.slow
def test_a_full_disk_stops_the_study_resumable_and_says_so(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        directory = small / "study"
        full = overnight(*QUICK, f"dir={directory}", "budget.trials=60", cwd=tmp_path)
        assert full.returncode == 3, full.stdout[-3000:] + full.stderr[-3000:]
        assert "disk" in full.stderr or "space" in full.stderr
        before = {t.number: t.evaluation for t in read_facts(directory).study.trials if t.status == "completed"}
        assert before
        subprocess.run(["mount", "-o", "remount,size=200m", small], check=True)
        resumed = overnight("resume", directory, f"budget.trials={len(before) + 2}", cwd=tmp_path)
        assert resumed.returncode == 0, resumed.stdout[-2000:] + resumed.stderr[-2000:]
        after = {t.number: t.evaluation for t in read_facts(directory).study.trials}
        assert all(after[number] == evaluation for number, evaluation in before.items())
    finally:
        subprocess.run(["umount", "-l", small], check=True)
