"""A real GRPO study, end to end: killed in the middle, resumed, reported, and read back from W&B's files."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.journal import events as ev
from core.journal.store import Journal
from core.study.launch import read_facts
from support import overnight

ARGUMENTS = (
    "budget.trials=2", "console=plain", "task.space.steps.default=30", "policy=tpe", "seed=3", "decision=greedy",
    "task.validation_items=300", "task.test_items=500",
)  # fmt: skip


def ended_trials(directory: Path) -> int:
    if not (directory / "journal.db").exists():
        return 0
    with Journal.open(directory / "journal.db", readonly=True) as journal:
        return sum(isinstance(entry.event, ev.TrialEnded) for entry in journal.entries())


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_the_main_job_survives_kill_9_and_ends_with_a_better_model(tmp_path: Path) -> None:
    directory = tmp_path / "study"
    controller = subprocess.Popen(
        [sys.executable, "-m", "core", *ARGUMENTS, f"dir={directory}"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 400
    while ended_trials(directory) < 2:
        assert controller.poll() is None, controller.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.5)
    controller.send_signal(signal.SIGKILL)
    controller.wait()

    resumed = overnight("resume", directory, cwd=tmp_path, timeout=600)
    assert resumed.returncode == 0, resumed.stdout[-3000:] + resumed.stderr[-3000:]
    facts = read_facts(directory)
    study = facts.study
    assert facts.state == "finished"
    assert len(study.trials) == 3
    baseline, best = study.trial(0), study.trial(study.incumbent)
    assert baseline.test is not None
    assert best.test is not None
    assert best.number != 0
    assert best.test.value > 1.3 * baseline.test.value
    assert f"Trial {best.number} leads, unconfirmed" in resumed.stdout
    assert "too small for certification" in resumed.stdout
    assert "On the test split trial" in resumed.stdout
    assert "wandb sync" in resumed.stdout
    for name in ("report.html", "report.md", "progress.png", "results.tsv"):
        assert (directory / name).stat().st_size > 100
    assert (directory / "best" / "config.json").exists()
    assert list((directory / "wandb").glob("offline-run-*/run-*.wandb"))
    status = json.loads(overnight("status", directory, "--json", cwd=tmp_path).stdout)
    assert status["verdict"]["sentence"] in resumed.stdout
