"""A GRPO study on a real Slurm cluster decides as the same study on this machine."""

import sys
from pathlib import Path
from typing import Any

import pytest

from support import decided_by_grpo


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_grpo_study_decides_as_on_this_machine(cluster: Any, tmp_path: Path) -> None:
    here = decided_by_grpo(tmp_path / "local", "executor=local")
    there = decided_by_grpo(
        tmp_path / "slurm", "executor=slurm", f"executor.python={sys.executable}", "executor.squeue_every_s=0.2",
        SLURM_CONF=str(cluster.conf),
    )  # fmt: skip
    assert len(here) == 4
    assert there == here
