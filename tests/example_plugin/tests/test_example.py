"""A stranger's plugins pass the same suites as the built-ins."""

from core.testing import (
    DecisionConformance,
    ExecutorConformance,
    PolicyConformance,
    RewardConformance,
    TaskConformance,
    TrackerConformance,
)


class TestTask(TaskConformance):
    name = "quadratic"


class TestPolicy(PolicyConformance):
    name = "halving"


class TestExecutor(ExecutorConformance):
    name = "example_subprocess"


class TestReward(RewardConformance):
    name = "brevity"


class TestTracker(TrackerConformance):
    name = "jsonlines"


class TestDecision(DecisionConformance):
    name = "first_wins"
