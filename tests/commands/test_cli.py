"""The command line: what works is short, what is wrong is said in a line with the cure."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import QUICK

Cli = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = ("torch", "trl", "wandb", "litellm", "optuna", "transformers", "hydra", "scipy", "matplotlib")


def test_help_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from core.__main__ import main; main(['--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert found.stdout.endswith("[]\n")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
    for word in ("resume", "status", "grpo_arithmetic", "tpe", "local", "quadratic", "--cfg job"):
        assert word in found.stdout
    assert "(broken)" not in found.stdout, "a plugin without config_dirs() is sound: every hook is optional"


def test_plugins_as_json_are_objects_with_exactly_these_keys(cli: Cli) -> None:
    rows = json.loads(cli("plugins", "--json").stdout)
    assert all(list(row) == ["kind", "name", "distribution", "version", "description", "status"] for row in rows)
    found = {(row["kind"], row["name"]): row for row in rows}
    for kind, names in {
        "task": ["grpo_arithmetic", "quadratic"],
        "policy": ["random", "grid", "tpe", "gp", "cmaes", "halving"],
        "executor": ["local", "example_subprocess"],
        "reward": ["exact_match", "format", "brevity"],
        "decision": ["climb", "greedy", "margin", "paired", "repeat", "first_wins"],
        "tracker": ["wandb", "jsonlines"],
    }.items():
        for name in names:
            assert found[kind, name]["status"] == "ok", found[kind, name]
            assert found[kind, name]["description"]
    assert found["task", "quadratic"]["distribution"] == "overnight-example"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["+task=quadratik"], "task: there is no 'quadratik'. Did you mean quadratic? Options: "),
        (
            ["policy=tpee"],
            "policy: there is no 'tpee'. Did you mean tpe? Options: agent, cmaes, gp, grid, halving, hybrid, llm, ",
        ),
        (["-m", "policy=random,tpp"], "policy: there is no 'tpp'. Did you mean tpe?"),
        (["executor.slots=0"], "executor.slots: input should be 'auto' (got 0); or: input should be greater than 0"),
        (["dir=/proc/x"], "dir: /proc/x cannot be made, /proc is not writable (No such file or directory); choose"),
        (["dir="], "dir: string should have at least 1 character"),
        (["task.space=[]"], "Error merging override task.space=[]: Cannot merge DictConfig with ListConfig"),
        (["budget.trails=3"], "budget.trails: no such setting. Did you mean budget.trials? Here: "),
        (["polcy=random"], "polcy: no such setting. Did you mean policy?"),
        (["+polcy=random"], "polcy: no such config group. Did you mean policy?"),
        (["budget.trials=many"], "budget.trials: input should be a valid integer"),
        (["budget.trials=0"], "budget.trials: input should be greater than or equal to 1"),
        (["budget.trials=null"], "budget: no limit is set: give trials, wall_clock_hours, usd or gpu_hours"),
        (["task=quadratic", "task.stepz=3"], "task.stepz: no such setting. Did you mean task.steps?"),
        (["task=quadratic", "+task.stepz=3"], "task.stepz: unknown key. Did you mean steps?"),
        (["+task.rewards.exact_mach={weight: 1}"], "no reward 'exact_mach' is installed. Did you mean exact_match?"),
        (["task.space.learning_rate.low=1"], "task.space.learning_rate: low 1 is above high 0.01"),
        (["task.space.steps.default=9999"], "default 9999 is outside 20 … 60"),
        (["trackers.wandb.projekt=x"], "trackers.wandb.projekt: no such setting. Did you mean trackers.wandb.project?"),
        (["policy.name=nope"], "no policy 'nope' is installed."),
        (["resources.gpus=4096"], "executor 'local' has no machine for resources"),
        (["statuss"], "no command 'statuss'. Did you mean status?"),
        (["seed=-1"], "seed: input should be greater than or equal to 0"),
        (["budget.trials="], "budget.trials"),
        (["budget.trials=[1"], "cannot read the arguments"),
    ],
)
def test_a_mistake_gets_one_line_with_the_cure(cli: Cli, tmp_path: Path, arguments: list[str], words: str) -> None:
    found = cli(*arguments, "console=plain")
    assert found.returncode == 2, found.stdout + found.stderr
    lines = [line for line in found.stderr.splitlines() if line.strip()]
    assert words in found.stderr
    assert len(lines) == 1, found.stderr
    assert lines[0].startswith("error: ")
    assert "Traceback" not in found.stderr


def test_cfg_job_prints_the_resolved_configuration_and_runs_nothing(cli: Cli, tmp_path: Path) -> None:
    found = cli("+task=quadratic", "policy=grid", "seed=9", "--cfg", "job")
    assert found.returncode == 0
    for line in ("seed: 9", "name: quadratic", "name: grid", "trials: 12"):
        assert line in found.stdout
    assert "${" not in found.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", ["+task=quadratic", pytest.param("task=quadratic", marks=pytest.mark.slow)])
def test_a_study_runs_with_either_spelling_and_reports(cli: Cli, tmp_path: Path, task: str) -> None:
    found = cli(task, *QUICK[1:], "dir=mine")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Trial " in found.stdout
    assert "on the test split" in found.stdout
    made = {path.name for path in (tmp_path / "mine").iterdir()}
    assert {"journal.db", "best", "trials", "report.html", "report.md", "progress.png", "results.tsv", ".hydra"} <= made
    status = json.loads(cli("status", "mine", "--json").stdout)
    assert status["state"] == "finished"
    assert status["spent"]["trials"] == 3
    assert cli("status", "mine").returncode == 0
    assert cli("report", "mine", "--to", "copy").returncode == 0
    assert (tmp_path / "copy" / "report.html").exists()


@pytest.mark.slow
def test_a_sweep_runs_one_study_per_combination_and_compares_them(cli: Cli, tmp_path: Path) -> None:
    found = cli("-m", "policy=random,halving", "seed=1,2", "task=quadratic", *QUICK[2:], "budget.trials=1")
    assert found.returncode == 0, found.stdout + found.stderr
    studies = list((tmp_path / "studies").glob("*_sweep/*/journal.db"))
    assert len(studies) == 4
    assert "incumbent (test)" in found.stdout
    rows = json.loads(cli("compare", studies[0].parent.parent, "--json").stdout)
    assert {(row["policy"], row["seed"]) for row in rows} == {
        ("random", 1),
        ("random", 2),
        ("halving", 1),
        ("halving", 2),
    }
    sweep = studies[0].parent.parent
    assert [row["state"] for row in json.loads(cli("status", sweep, "--json").stdout)] == ["finished"] * 4
    assert cli("report", sweep, "--to", "copies").returncode == 0
    assert len(list((tmp_path / "copies").glob("*/report.html"))) == 4
    again = cli("resume", sweep)
    assert (again.returncode, again.stdout.count("passed over")) == (0, 4)


@pytest.mark.slow
def test_a_failed_study_of_a_sweep_reports_itself_and_the_others_run(cli: Cli) -> None:
    found = cli("-m", "task.fault=raise,none", "task=quadratic", *QUICK[1:], "budget.trials=1")
    assert found.returncode == 5
    assert found.stdout.count("finished: all 1 trial") == 2


def test_resume_of_what_is_no_study_or_finished_says_so(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is no study" in cli("resume", "empty").stderr
    assert "is no study" in cli("status", "nowhere").stderr
    nothing = cli("resume", "budget.trials=3")
    assert (nothing.returncode, nothing.stderr.partition("\n")[0]) == (2, "error: the study directory is missing")
    assert cli(*QUICK, "dir=done", "budget.trials=1").returncode == 0
    again = cli("resume", "done")
    assert again.returncode == 2
    assert "is finished" in again.stderr
    twice = cli(*QUICK, "dir=done")
    assert twice.returncode == 2
    assert "already holds a study" in twice.stderr
    wrong = cli("resume", "done", "policy=random")
    assert wrong.returncode == 2
    assert "cannot be changed on resume" in wrong.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a read-only folder, which needs root")
def test_an_unwritable_place_is_a_usage_error(cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "readonly"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        found = cli(*QUICK, f"dir={place}/study")
        assert found.returncode == 2
        assert "choose another place with dir=PATH" in found.stderr
        assert "Traceback" not in found.stderr
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow
def test_a_strangers_tracker_and_notifier_are_told_everything_in_order(cli: Cli, tmp_path: Path) -> None:
    found = cli(*QUICK, "tracker=[jsonlines]", "dir=s", OVERNIGHT_EXAMPLE_NOTIFY=str(tmp_path / "note.txt"))
    assert found.returncode == 0, found.stdout + found.stderr
    events = [json.loads(line) for line in (tmp_path / "s" / "events.jsonl").read_text().splitlines()]
    hooks = [event["hook"] for event in events]
    assert hooks[0] == "study_started"
    assert hooks[-1] == "study_finished"
    assert hooks.count("trial_finished") == 4
    assert all(event["model"] for event in events if event["hook"] == "incumbent_changed")
    assert "trial_reported" in hooks
    assert "Events: " in found.stdout
    assert (tmp_path / "note.txt").read_text() == "quadratic: all 3 trials of the budget were used\n"
