"""What test modules share besides fixtures: a quick study's configuration, the command line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.study.launch import read_facts

QUICK = (
    "task=quadratic", "policy=random", "tracker=none", "console=plain", "poll_s=0.05", "grace_s=1", "budget.trials=3",
    "decision=greedy",
)  # fmt: skip


def study_config(directory: Path, **changes: Any) -> dict[str, Any]:
    """The configuration of a quick study; `changes` replace whole nodes."""
    return {
        "name": "quick",
        "seed": 1,
        "dir": str(directory),
        "task": {"name": "quadratic"},
        "policy": {"name": "random"},
        "executor": {"name": "local", "slots": 2},
        "decision": {"name": "greedy"},
        "certification": {"runs": 0},
        "trackers": {},
        "budget": {"trials": 4},
        "poll_s": 0.05,
        "grace_s": 1.0,
        "console": "quiet",
        **changes,
    }


def decisions(directory: Path) -> list[Any]:
    """What a study came to, without times and places: each trial's proposal, scores and verdict; the incumbent."""
    facts = read_facts(directory)
    assert facts.state == "finished", facts
    trials = facts.study.trials
    return [
        *(
            (t.number, t.proposal.params, t.score, t.test and t.test.value, t.decision and t.decision.verdict)
            for t in trials
        ),
        facts.study.incumbent,
    ]


def decided_by_grpo(directory: Path, *words: str, **env: str) -> list[Any]:
    """`python -m core` on the arithmetic task with GRPO, two short trials on one core; what it decided."""
    ran = overnight(
        "+task=grpo_arithmetic", "+experiment=smoke", "tracker=none", "seed=5", "task.space.steps.default=20",
        "task.validation_items=100", "task.test_items=100", "resources.cpus=1", "executor.slots=1",
        "deadline.prepare_s=900", "deadline.train_s=900", "deadline.evaluate_s=900", f"dir={directory}", *words,
        cwd=directory.parent, timeout=600, OMP_NUM_THREADS="1", **env,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return decisions(directory)


def overnight(*arguments: object, cwd: Path, timeout: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m core …` as a person types it."""
    return subprocess.run(
        [sys.executable, "-m", "core", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
