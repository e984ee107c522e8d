"""`reap`: what nobody waits for is deleted and counted, what resume can take up is kept."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import Job
from core.journal import events as ev
from core.plugins import discover
from core.study.known import known
from core.study.launch import read_facts
from support import QUICK, overnight
from witness import assert_whole, events, none_left, processes_of, wait_for

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
OUTLIVING = ("executor=local", "executor.detach=true", "executor.slots=2", "task.step_s=0.2", "task.steps=900")


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A study whose controller was killed while two detached jobs run."""
    directory = tmp_path / "study"
    controller = subprocess.Popen(
        [sys.executable, "-m", "core", *QUICK, *OUTLIVING, f"dir={directory}"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(directory, ev.JobSubmitted, 4)
    end = time.monotonic() + 30
    while sum(path.stat().st_size > 0 for path in directory.glob(".executor/*/metrics.jsonl")) < 2:
        assert time.monotonic() < end, "two trials were to train"
        time.sleep(0.05)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    assert list(processes_of(directory)), "these jobs were to go on"
    return directory


def stray(directory: Path) -> str:
    """A job that carries the study's tag and that its journal has never heard of."""
    owner = read_facts(directory).study.id
    executor: Any = discover().build(
        "executor", {"name": "local", "detach": True}, workspace=directory.resolve() / ".executor"
    )
    job = Job(f"{owner}/0099/train/a1", owner, ("python", "-c", "import time; time.sleep(600)"))
    executor.submit(job, job.token)
    return job.token


def test_what_the_journal_does_not_know_is_deleted_and_the_rest_only_when_asked(cli: Cli, killed: Path) -> None:
    token = stray(killed)
    ran = cli("reap", killed)
    assert ran.returncode == 0, ran.stderr
    assert f"deleted {token}" in ran.stdout
    assert "deleted 1 left-over jobs; 2 running jobs kept, which resume takes up" in ran.stdout
    (found,) = json.loads(cli("reap", killed, "--json", "--running").stdout)
    assert len(found["deleted"]) == 2
    assert none_left(killed)
    assert "nothing left over" in cli("reap", killed).stdout
    assert overnight("resume", killed, "task.step_s=0.01", cwd=killed.parent).returncode == 2, "the task stays as it is"


def test_a_deleted_study_is_reaped_through_the_list_of_studies(cli: Cli, killed: Path) -> None:
    shutil.rmtree(killed)
    ran = cli("reap", "--all")
    assert ran.returncode == 0, ran.stderr
    assert f"{killed}: deleted 2 left-over jobs" in ran.stdout
    assert not list(processes_of(killed))
    assert cli("reap", "--all").stdout == "0 studies, 0 jobs deleted\n"


def test_a_study_with_a_controller_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    directory = tmp_path / "study"
    controller = subprocess.Popen(
        [sys.executable, "-m", "core", *QUICK, "task.step_s=0.3", f"dir={directory}"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    wait_for(directory, ev.TrialProposed, 2)
    ran = cli("reap", directory)
    assert ran.returncode == 0
    assert "is being run by another controller" in ran.stdout
    assert "it reaps by itself" in ran.stdout
    assert controller.wait(timeout=60) == 0
    assert_whole(directory, 3)
    assert len(events(directory)) > 20


def test_a_finished_study_is_taken_off_the_list_and_another_in_its_place_is_not_it(cli: Cli, tmp_path: Path) -> None:
    for _ in range(2):
        shutil.rmtree(tmp_path / "study", ignore_errors=True)
        assert cli(*QUICK, "budget.trials=1", f"dir={tmp_path / 'study'}").returncode == 0
    assert len(known()) == 2
    assert cli("reap", "--all").stdout.count("nothing left over") == 2
    assert known() == []


def test_neither_a_directory_nor_all_is_a_usage_error(cli: Cli) -> None:
    ran = cli("reap")
    assert ran.returncode == 2
    assert "give study directories, or --all" in ran.stderr
