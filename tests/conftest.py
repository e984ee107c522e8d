"""Fixtures for whole studies on the example distribution's quick task."""

import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

from core.plugins import discover
from core.study.launch import Outcome, create
from support import overnight, study_config


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the person's own cache, nor their list of studies."""
    monkeypatch.setenv("OVERNIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="session", autouse=True)
def _example_is_installed() -> None:
    try:
        distribution("overnight-example")
    except PackageNotFoundError:
        pytest.exit("tests need the example distribution: run `make test`, or pip install ./tests/example_plugin", 2)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Outcome]:
    """Run a quick study in this process: run(task={...}, budget={...}) → Outcome."""

    def _run(name: str = "study", **changes: Any) -> Outcome:
        directory = tmp_path / name
        directory.mkdir()
        return create(study_config(directory, **changes), directory, discover())

    return _run


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """cli("status", directory) runs the command line in a temporary folder."""

    def _cli(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
        return overnight(*arguments, cwd=tmp_path, **more)

    return _cli
