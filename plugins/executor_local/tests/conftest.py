"""Fixtures for the local executor: make one, run a job to its end."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import Job
from core.contracts import TERMINAL, Executor, Observation
from core.plugins import discover


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test makes or fills the person's own cache."""
    monkeypatch.setenv("OVERNIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Executor]]:
    """make(**options) → an executor on the study's workspace; several stand for restarts."""
    made: list[Executor] = []

    def _make(workspace: Path | None = None, **options: Any) -> Executor:
        place = workspace or tmp_path / "study" / ".executor"
        made.append(discover().build("executor", {"name": "local", **options}, workspace=place))
        return made[-1]

    yield _make
    for executor in made:
        executor.reap("s", ())


@pytest.fixture
def ended() -> Callable[..., tuple[Observation, str]]:
    """ended(executor, code) runs Python code as a job: its last observation and its log."""

    def _ended(executor: Executor, code: str, token: str = "s/1/train/a1", **more: Any) -> tuple[Observation, str]:
        job = Job(token, "s", ("python", "-c", code), **{"deadline_s": 60.0, "grace_s": 1.0, **more})
        handle = executor.submit(job, token)
        end = time.monotonic() + 60
        while (seen := executor.poll([handle])[0]).state not in TERMINAL:
            assert time.monotonic() < end
            time.sleep(0.02)
        return seen, executor.logs(handle, 0)[0].decode(errors="replace")

    return _ended
