"""Fixtures for the cloud executor: Basilica's API on loopback with real machines, and executors on it."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.contracts import Executor
from core.plugins import discover

sys.path.insert(0, str(Path(__file__).with_name("basilica_stub")))
from basilica_hand import BasilicaStub  # beside these tests, not in a package
from basilica_options import TOKEN, options


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BasilicaStub]:
    """A cloud of its own, whose key is in the environment."""
    for name in [name for name in os.environ if name.startswith(("BASILICA", "SKYPILOT"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BASILICA_API_TOKEN", TOKEN)
    monkeypatch.setenv("OVERNIGHT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-0)'\n")
    (tmp_path / "image" / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'image'}{os.pathsep}{os.environ['PATH']}")  # what the image provides
    prices = ["A100=1.29", "H100=2.49"]
    with BasilicaStub(tmp_path / "cloud", lag_s=0.2, boot_s=0.05, backoff_s=0.2, grace_s=0.1, price=prices) as made:
        yield made
        assert made.orphans() == 0, "every machine must be deleted"


@pytest.fixture
def make(stub: BasilicaStub, tmp_path: Path) -> Iterator[Callable[..., Executor]]:
    """make(**options) → an executor on the study's workspace; several stand for restarts."""
    made: list[Executor] = []

    def _make(workspace: Path | None = None, **more: Any) -> Executor:
        place = workspace or tmp_path / "study" / ".executor"
        made.append(discover().build("executor", options(stub, **more), workspace=place))
        return made[-1]

    yield _make
    if made:
        stub.admin(behave=True, token=TOKEN)
        made[-1].reap("c", ())
