"""A sweep of whole studies as jobs of a real Slurm cluster, by Hydra's submitit launcher."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from core.study.launch import read_facts
from support import QUICK, overnight


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="hydra-submitit-launcher is not installed (docs/sweeps.md)"
)
def test_studies_run_as_slurm_jobs_and_one_that_fails_takes_no_other_with_it(cluster: Any, tmp_path: Path) -> None:
    found = overnight(
        "-m", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10", "hydra.launcher.mem_gb=null",
        "hydra.sweep.dir=sweep", "task.fault=none,check,raise", *QUICK, "budget.trials=1", "executor.slots=1",
        cwd=tmp_path, timeout=500, SLURM_CONF=str(cluster.conf),
    )  # fmt: skip
    assert found.returncode == 5, found.stdout[-3000:] + found.stderr[-3000:]
    said = found.stderr[found.stderr.index("2 of 3 studies of this sweep did not succeed:") :]
    assert "[1] task.fault=check\n      exit code 2: task.fault: says that this cannot work" in said
    assert "[2] task.fault=raise\n      exit code 5: no trial completed" in said
    assert f"Sweep of 3 studies in {tmp_path / 'sweep'}, by launcher submitit_slurm" in found.stdout
    assert read_facts(tmp_path / "sweep" / "0_quadratic_random_seed1").state == "finished"
