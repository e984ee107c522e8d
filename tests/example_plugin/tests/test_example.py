"""A stranger's plugins pass the same suites as the built-ins."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.testing import (
    DecisionConformance,
    ExecutorConformance,
    PolicyConformance,
    RewardConformance,
    TaskConformance,
    TrackerConformance,
)
from faults.faulty_cloud import FaultyCloud


class TestTask(TaskConformance):
    name = "quadratic"


class TestPolicy(PolicyConformance):
    name = "halving"


class TestExecutor(ExecutorConformance):
    name = "example_subprocess"


class TestCloudExecutor(ExecutorConformance):
    name = "example_cloud"

    @pytest.fixture(autouse=True)
    def _cloud(self, tmp_path: Path) -> Iterator[None]:
        with FaultyCloud(tmp_path / "cloud", lag_s=0.3) as cloud:
            self.cloud = cloud
            yield

    @property
    def options(self) -> dict[str, Any]:  # type: ignore[override]
        return {key: value for key, value in self.cloud.node().items() if key != "name"}


class TestReward(RewardConformance):
    name = "brevity"


class TestTracker(TrackerConformance):
    name = "jsonlines"


class TestDecision(DecisionConformance):
    name = "first_wins"
