"""The `ray` executor: each job a Ray job of an existing cluster, over its Jobs API."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core import Caps, Diagnosis, Handle, Job, SetupError
from overnight_executor_ray.config import RayConfig
from overnight_executor_ray.provider import RayProvider
from overnight_jobs.rented.executor import RentedExecutor


class RayExecutor(RentedExecutor):
    """Runs each trial as a job of a Ray cluster that is there already."""

    Config = RayConfig

    def __init__(self, config: RayConfig, workspace: Path) -> None:
        if config.image is not None:
            raise SetupError("executor.image: jobs run in the environment of their Ray node; name its executor.python")
        self._ray = RayProvider(config)
        self._ray_config = config
        super().__init__(config, workspace, self._ray)

    def caps(self) -> Caps:
        """See core.contracts.Executor."""
        config = self._ray_config
        found = replace(super().caps(), spot=False, priced=config.usd_per_hour > 0)
        if config.slots != "auto":
            return found
        slots = self._ray.slots()
        most = config.max_slots if slots is None or config.autoscaling else max(1, min(slots, config.max_slots))
        return replace(found, slots=most, elastic=True)  # nodes come and go

    def submit(self, job: Job, token: str) -> Handle:
        """See core.contracts.Executor."""
        if job.hardware is not None and job.resources.gpus:
            self._ray.expect(job.hardware)  # another job of the study had it: its node may be gone since
        return super().submit(job, token)

    def diagnose(self) -> Sequence[Diagnosis]:
        """See core.contracts.Diagnoses."""
        return self._ray.diagnose()
