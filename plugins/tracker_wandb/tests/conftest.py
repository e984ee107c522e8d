"""Fixtures of the W&B tracker's tests: a clean environment, a server, a study."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside the tests; pytest's importlib mode does not

from story import Story
from wandb_server import WandbServer

from overnight_tracker_wandb.config import WandbConfig
from overnight_tracker_wandb.tracker import WandbTracker


@pytest.fixture(scope="module", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No settings or credentials of the person who runs the tests; an empty home directory."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("WANDB", "XDG_")) or name == "NETRC":
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        yield home


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A W&B server on loopback; the environment has credentials for it."""
    with WandbServer() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A study directory."""
    place = tmp_path / "study"
    place.mkdir()
    return place


@pytest.fixture
def tell(directory: Path) -> Callable[..., Story]:
    """Begins a story for a tracker with the given options."""

    def begin(**options: Any) -> Story:
        return Story(WandbTracker(WandbConfig(**options)), directory)

    return begin
