"""Fixtures for the Slurm executor: a real cluster, an executor on it, jobs run to a state."""

# Tests are imported by path: their folder is no package.
import hashlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import Handle, Job, Observation
from core.contracts import TERMINAL
from core.plugins import discover
from overnight_jobs.far import landlock

_SPEC = importlib.util.spec_from_file_location("slurm_test_cluster", Path(__file__).with_name("cluster.py"))
assert _SPEC is not None and _SPEC.loader is not None
cluster_module = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(cluster_module)

# Without Landlock every log begins with a line that says so.
QUICK = {
    "squeue_every_s": 0.2,
    "lost_after_s": 5.0,
    "settle_s": 6.0,
    "confine": "auto" if landlock.available() else "off",
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test makes or fills the person's own cache."""
    monkeypatch.setenv("OVERNIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes on this machine for the whole session; skips where there can be none."""
    if reason := cluster_module.why_not():
        pytest.skip(f"no Slurm cluster: {reason}")
    made = cluster_module.Cluster(Path("/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(made.conf))
        try:
            made.start()
            yield made
        finally:
            made.stop()


class Bench:
    """An executor on a workspace, and what one does with it."""

    def __init__(self, workspace: Path, **options: Any) -> None:
        # Of this folder only: what reaps a study of the same name elsewhere on this machine would end its jobs.
        self.owner = f"s{hashlib.sha256(str(workspace).encode()).hexdigest()[:8]}"
        self.workspace = workspace
        self.executor = discover().build("executor", {"name": "slurm", **QUICK, **options}, workspace=workspace)

    def token(self, trial: int = 1) -> str:
        """The token of a trial's training."""
        return f"{self.owner}/{trial}/train/a1"

    def start(self, code: str, trial: int = 1, **more: Any) -> Handle:
        """Submit Python code."""
        given = {"deadline_s": 120.0, "grace_s": 1.0, **more}
        token = self.token(trial)
        return self.executor.submit(Job(token, self.owner, ("python", "-c", code), **given), token)

    def find(self, trial: int = 1) -> Handle | None:
        """Ask for a trial's training."""
        return self.executor.find(self.token(trial))

    def reap(self) -> tuple[str, ...]:
        """Ask for the end of all."""
        return self.executor.reap(self.owner, ()).tokens

    def wait(self, handle: Handle, *states: str, patience_s: float = 90.0) -> Observation:
        """Poll until one of the states, by default any terminal one."""
        end = time.monotonic() + patience_s
        while (seen := self.executor.poll([handle])[0]).state not in (states or TERMINAL):
            assert time.monotonic() < end, seen
            time.sleep(0.05)
        return seen

    def log(self, handle: Handle, until: bytes, patience_s: float = 60.0) -> bytes:
        """The log once it holds this."""
        end = time.monotonic() + patience_s
        while until not in (said := self.executor.logs(handle, 0)[0]):
            assert time.monotonic() < end, said
            time.sleep(0.05)
        return said


@pytest.fixture
def bench(tmp_path: Path, cluster: Any) -> Iterator[Callable[..., Bench]]:
    """bench(**options) → a Bench on the study's workspace; several stand for restarts."""
    made: list[Bench] = []

    def _bench(**options: Any) -> Bench:
        made.append(Bench(tmp_path / "study" / ".executor", **options))
        return made[-1]

    yield _bench
    for one in made[:1]:
        one.reap()
