"""The suite can fail: mutants of our own code break the promise that is checked, and the code keeps it."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.journal import events as ev
from core.study.launch import read_facts
from faults.cloud_studies import lost, recorded, repeated
from faults.conftest import Tally
from faults.faulty_cloud import FaultyCloud
from support import QUICK

DRIVER = Path(__file__).with_name("mutant_driver.py")
DEADLINES = ("deadline.prepare_s=30", "deadline.train_s=20", "deadline.evaluate_s=20")


def drive(mutant: str, kill: str, *arguments: str, cwd: Path) -> int:
    """A controller with a mutant, to its end; its exit code."""
    command = [sys.executable, str(DRIVER), mutant, kill, *arguments]
    done = subprocess.run(command, cwd=cwd, env=os.environ, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr or mutant != "none", done.stderr
    return done.returncode


class Scenario:
    """One study on its own cloud, under a mutant or none."""

    def __init__(self, place: Path, mutant: str, *, lag_s: float = 0.2) -> None:
        place.mkdir()
        self.place, self.mutant, self.directory = place, mutant, place / "study"
        self.cloud = FaultyCloud(place / "cloud", lag_s=lag_s)

    def run(self, *words: str, kill: str = "none", **executor: object) -> int:
        """A new study: one trial unless said otherwise."""
        words = (*QUICK, "budget.trials=1", "budget.usd=300", *DEADLINES, f"dir={self.directory}", *words)
        return drive(self.mutant, kill, *words, *self.cloud.words(**executor), cwd=self.place)

    def resume(self) -> int:
        return drive(self.mutant, "none", "resume", str(self.directory), cwd=self.place)

    def made_twice(self) -> int:
        """Machines beyond one a job."""
        jobs = {event.token for event in recorded(self.directory) if isinstance(event, ev.JobIntended)}
        return len(self.cloud.machines()) - len(jobs)


def lost_creates(scenario: Scenario) -> float:
    scenario.cloud.misbehave("POST /machines", "lose", times=2, skip=2)
    scenario.run()
    return scenario.made_twice()


def lagging_list(scenario: Scenario) -> float:
    scenario.cloud.admin(idempotent=False)
    return lost_creates(scenario)


def tight_budget(scenario: Scenario) -> float:
    scenario.run(
        "task.fault=hang", "budget.trials=3", "budget.usd=36", "deadline.train_s=15", "deadline.evaluate_s=4",
        "deadline.prepare_s=20", slots=3,
    )  # fmt: skip
    return max(0.0, scenario.cloud.usd - 36)


def killed_before_the_end_is_journaled(scenario: Scenario) -> float:
    assert scenario.run(kill="before:0001/train") == -signal.SIGKILL
    scenario.resume()
    return len(scenario.cloud.machines("0001/train")) - 1


def vanished_host(scenario: Scenario) -> float:
    scenario.cloud.doom("0001/train", vanish_s=0.2)
    scenario.run("task.step_s=0.3")
    return lost(scenario.directory, 1)


def killed_before_the_machine_is_deleted(scenario: Scenario) -> float:
    assert scenario.run(kill="after:0001/train") == -signal.SIGKILL
    scenario.resume()
    return scenario.cloud.orphans()


MUTANTS: dict[str, tuple[Callable[[Scenario], float], float]] = {
    "token_not_sent": (lost_creates, 0.2),
    "lag_ignored": (lagging_list, 1.5),
    "reservation_skipped": (tight_budget, 0.2),
    "result_journaled_late": (killed_before_the_end_is_journaled, 0.2),
    "attempt_fence_removed": (vanished_host, 0.2),
    "reap_skipped": (killed_before_the_machine_is_deleted, 0.2),
}


@pytest.mark.slow
@pytest.mark.fault(68, "mutants of our own code", "each is caught; the code itself passes")
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_breaks_the_promise_and_the_code_keeps_it(tmp_path: Path, mutant: str) -> None:
    play, lag_s = MUTANTS[mutant]
    broken = {}
    for name in ("none", mutant):
        scenario = Scenario(tmp_path / name, name, lag_s=lag_s)
        with scenario.cloud:
            broken[name] = play(scenario)
    assert broken["none"] == 0
    assert broken[mutant] > 0, "the mutant was not caught: this check cannot fail"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.fault(69, "20 SIGKILLs of the controller, creates lost", "nothing lost, repeated, left or overspent")
def test_twenty_kills_with_lost_creates_lose_repeat_and_leave_nothing(tmp_path: Path, tally: Tally) -> None:
    directory, rng, trials, usd = tmp_path / "study", random.Random(7), 24, 4000.0
    words = [
        *QUICK, *DEADLINES, f"dir={directory}", "task.step_s=0.2", f"budget.trials={trials}", f"budget.usd={usd:g}",
    ]  # fmt: skip
    with FaultyCloud(tmp_path / "cloud", lag_s=0.5) as cloud:
        cloud.misbehave("POST /machines", "lose", times=10**6, chance=0.15, seed=7)
        arguments = [*words, *cloud.words()]
        while tally.injected < 20:
            controller = subprocess.Popen(
                [sys.executable, "-m", "core", *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL
            )
            begun(directory, controller.pid)
            time.sleep(rng.uniform(0.2, 3.5))
            assert controller.poll() is None, "a controller stopped, or finished, before the last kill"
            controller.send_signal(signal.SIGKILL)
            controller.wait()
            tally.injected += 1
            arguments = ["resume", str(directory)]
        last = subprocess.run([sys.executable, "-m", "core", *arguments], cwd=tmp_path, timeout=240, check=False)
        assert last.returncode == 0
        tally.lost, tally.repeated = lost(directory, trials), repeated(directory)
        tally.orphaned, tally.overspent = cloud.orphans(), max(0.0, cloud.usd - usd)
        charged = read_facts(directory).study.usd
        print(f"{tally.injected} kills, {len(cloud.machines())} machines, {cloud.injected} creates lost,", end=" ")
        print(f"true bill ${cloud.usd:.2f}, charged ${charged:.2f}")
        assert cloud.usd <= charged


def begun(directory: Path, pid: int) -> None:
    """Until the controller of this process has taken the study."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if (directory / "journal.db").exists():
            try:
                if any(isinstance(e, ev.ControllerStarted) and e.pid == pid for e in recorded(directory)):
                    return
            except Exception:  # noqa: BLE001 - the very first instant: the tables are being made
                time.sleep(0.01)
        time.sleep(0.05)
    raise AssertionError("the controller did not start")
