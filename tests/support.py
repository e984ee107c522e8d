"""What test modules share besides fixtures: a quick study's configuration, the command line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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
