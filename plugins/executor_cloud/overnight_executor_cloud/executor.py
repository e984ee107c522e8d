"""The `cloud` executor: each job on a fresh machine of an on-demand provider, deleted at its end."""

from collections.abc import Sequence
from pathlib import Path

from core import Diagnosis
from overnight_executor_cloud import choice
from overnight_executor_cloud.config import CloudConfig
from overnight_jobs.rented.executor import RentedExecutor


class CloudExecutor(RentedExecutor):
    """Rents a machine for each job from the configured provider; see overnight_jobs.rented."""

    Config = CloudConfig

    def __init__(self, config: CloudConfig, workspace: Path) -> None:
        super().__init__(config, workspace, choice.choose(config))

    def diagnose(self) -> Sequence[Diagnosis]:
        """Whether the chosen provider would work, and what it costs."""
        return list(self._provider.diagnose())
