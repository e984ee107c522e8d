"""Sweeps: a study that fails, is killed or cannot start says so and takes no other with it, whatever launches them."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.commands.sweep_records import Record, Records
from core.study.launch import read_facts
from support import QUICK
from witness import none_left

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL = (*QUICK, "budget.trials=1", "executor.slots=1", "hydra.sweep.dir=sweep")
LONG = (*SMALL, "task.step_s=0.1", "task.steps=600")
# task.fault=check: refused before anything starts; raise: its only trial fails.
FAULTS = "task.fault=none,check,raise"


def launcher(name: str) -> tuple[str, ...]:
    """The arguments that choose it; skips the test where it is not installed."""
    module = {
        "joblib": "hydra_joblib_launcher",
        "submitit_local": "hydra_submitit_launcher",
        "ray": "hydra_ray_launcher",
    }
    try:
        found = importlib.util.find_spec(f"hydra_plugins.{module[name]}")
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip(f"{module[name].replace('_', '-')} is not installed (see docs/sweeps.md)")
    more = {"joblib": ("hydra.launcher.n_jobs=2",), "ray": ("+hydra.launcher.ray.init.num_cpus=2",)}
    return (f"hydra/launcher={name}", *more.get(name, ()))


def assert_told(found: "subprocess.CompletedProcess[str]", sweep: Path) -> None:
    """What a sweep over FAULTS must say in the end."""
    assert found.returncode == 5, found.stdout + found.stderr
    assert "Traceback" not in found.stderr
    said = found.stderr[found.stderr.index("2 of 3 studies of this sweep did not succeed:") :]
    assert "[1] task.fault=check\n      exit code 2: task.fault: says that this cannot work" in said
    assert "[2] task.fault=raise\n      exit code 5: no trial completed" in said
    assert str(sweep / "2_quadratic_random_seed1") in said
    assert "incumbent (test)" in found.stdout, "the comparison"
    assert read_facts(sweep / "0_quadratic_random_seed1").state == "finished"


def started(sweep: Path, *numbers: int) -> None:
    """Wait until these studies train."""
    end = time.monotonic() + 90
    while not all(list(sweep.glob(f"{number}_*/.executor/*/metrics.jsonl")) for number in numbers):
        assert time.monotonic() < end, list(sweep.rglob("*.json"))
        time.sleep(0.1)


def background(tmp_path: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A sweep in a session of its own, as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "core", "-m", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_studies_that_fail_say_so_and_the_others_run(cli: Cli, tmp_path: Path) -> None:
    found = cli("-m", FAULTS, *SMALL)
    assert_told(found, tmp_path / "sweep")
    assert "\n[1] task.fault=check\n" in found.stdout, "only what differs is shown"
    assert "resume" not in found.stderr, "there is nothing to resume"


def test_a_sweep_that_cannot_be_composed_starts_nothing(cli: Cli, tmp_path: Path) -> None:
    found = cli("-m", "policy=random", "seed=1,2", "+task.nothing=${nowhere}", *SMALL[2:], "task=quadratic")
    assert found.returncode == 2
    assert found.stderr.startswith("error: ")
    assert "Traceback" not in found.stderr
    assert not list(tmp_path.glob("sweep/*/journal.db"))


def test_a_sweep_has_no_single_configuration_to_show(cli: Cli) -> None:
    found = cli("-m", "seed=1,2", "--cfg", "job")
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert "leave out --multirun" in found.stderr


def test_an_interrupted_sweep_stops_its_study_and_says_what_never_began(tmp_path: Path) -> None:
    sweep = background(tmp_path, "seed=1,2,3", *LONG)
    started(tmp_path / "sweep", 0)
    sweep.send_signal(signal.SIGINT)
    said = sweep.communicate(timeout=60)[0]
    assert sweep.returncode == 130, said
    assert "3 of 3 studies of this sweep did not succeed:" in said
    assert "exit code 130: interrupted (SIGINT)" in said
    assert "2 were never started" in said
    assert f"Continue those that were stopped with: python -m core resume {tmp_path / 'sweep'}" in said
    assert none_left(tmp_path / "sweep" / "0_quadratic_random_seed1")


def test_records_are_whole_and_forgotten_when_a_new_sweep_begins(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert (records.read(), records.find(0), records.asked_to_stop()) == ([], None, [])
    for number in (10, 2):
        records.write(Record(number, str(tmp_path), f"seed={number}"))
    records.write(Record(2, str(tmp_path), "seed=2", 5, "no trial completed"))
    assert [(record.number, record.code) for record in records.read()] == [(2, 5), (10, None)]
    records.ask_to_stop(signal.SIGINT)
    records.ask_to_stop(signal.SIGINT)
    assert records.asked_to_stop() == [2, 2]
    records.clear()
    assert (records.read(), records.asked_to_stop()) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["joblib", "submitit_local", "ray"])
def test_side_by_side_the_same_is_said_in_the_end(cli: Cli, tmp_path: Path, name: str) -> None:
    found = cli("-m", *launcher(name), FAULTS, *SMALL, timeout=240)
    assert_told(found, tmp_path / "sweep")
    assert f"Sweep of 3 studies in {tmp_path / 'sweep'}, by launcher {name}" in found.stdout
    if name == "joblib":
        assert "[1] error: task.fault: says that this cannot work" in found.stderr, (
            "each line says of which study it is"
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["joblib", "submitit_local", "ray"])
def test_ctrl_c_stops_studies_side_by_side_in_good_order(tmp_path: Path, name: str) -> None:
    sweep = background(tmp_path, *launcher(name), "seed=1,2", *LONG)
    started(tmp_path / "sweep", 0, 1)
    os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does it: the whole process group
    said = sweep.communicate(timeout=120)[0]
    assert sweep.returncode == 130, said
    assert said.count("exit code 130: interrupted (SIGINT)") == 2, said
    for place in (tmp_path / "sweep").glob("*_quadratic_random_seed?"):
        assert read_facts(place).state == "interrupted"
        assert none_left(place)


@pytest.mark.slow
def test_a_controller_that_is_killed_takes_no_other_with_it(cli: Cli, tmp_path: Path) -> None:
    sweep = background(tmp_path, *launcher("submitit_local"), "seed=1,2", *SMALL, "task.step_s=0.1", "task.steps=80")
    started(tmp_path / "sweep", 0, 1)
    os.kill(controller(tmp_path / "sweep" / "0_quadratic_random_seed1"), signal.SIGKILL)
    said = sweep.communicate(timeout=120)[0]
    assert sweep.returncode == 3, said
    assert "error: the launcher submitit_local gave up" in said
    assert "1 of 2 studies of this sweep did not succeed:\n  [0] seed=1\n      its process was killed" in said
    assert read_facts(tmp_path / "sweep" / "1_quadratic_random_seed2").state == "finished"
    again = cli("resume", "sweep")
    assert again.returncode == 0, again.stderr
    assert "passed over" in again.stdout
    assert [row["state"] for row in json.loads(cli("status", "sweep", "--json").stdout)] == ["finished"] * 2


def controller(study: Path) -> int:
    """The process that holds the study's journal open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == (study / "journal.db").resolve():
                return int(link.parts[2])
        except OSError:
            continue
    raise AssertionError(f"nobody runs {study}")
