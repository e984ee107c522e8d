"""Fixtures for the Ray executor: a scripted dashboard, a provider that asks it."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Test folders are no packages, and several plugins have files of these names.
_NAME = "overnight_executor_ray_tests_recorded"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(_NAME, Path(__file__).with_name("recorded.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def recorded() -> ModuleType:
    """Answers of a real cluster."""
    return _load()


@pytest.fixture
def dashboard(recorded: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A loopback server that gives them."""
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    made = recorded.Dashboard()
    yield made
    made.stop()
