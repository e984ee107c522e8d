"""The Slurm executor keeps the contract, on a real cluster."""

from typing import Any, ClassVar

import pytest

from core.testing import ExecutorConformance
from overnight_jobs.far import landlock

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]


class TestSlurm(ExecutorConformance):
    name = "slurm"
    patience_s = 60.0
    options: ClassVar[dict[str, Any]] = {
        "squeue_every_s": 0.2,
        "lost_after_s": 5.0,
        "confine": "auto" if landlock.available() else "off",
    }
