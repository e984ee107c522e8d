"""Conformance suites and fixtures for plugin authors, one base class per kind of plugin.

from core.testing import PolicyConformance

class TestMyPolicy(PolicyConformance):
    name = "my_policy"
    options = {}
"""

from importlib import import_module
from typing import Any

_SUITES = {
    "PolicyConformance": "core.testing.policy",
    "ExecutorConformance": "core.testing.executor",
    "TaskConformance": "core.testing.task",
    "RewardConformance": "core.testing.reward",
    "TrackerConformance": "core.testing.tracker",
    "DecisionConformance": "core.testing.decision",
}


def __getattr__(name: str) -> Any:
    if name in _SUITES:
        return getattr(import_module(_SUITES[name]), name)
    raise AttributeError(f"module 'core.testing' has no attribute {name!r}")
