"""Fixtures for the ssh executor: an sshd, executors on it, jobs run to their end."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hosts import NO_SSHD, Keys, Sshd, Vm, machines, no_namespaces
from ssh_jobs import OWNER

from core.contracts import Executor
from core.plugins import discover


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test makes or fills the person's own cache."""
    monkeypatch.setenv("OVERNIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real sshd on loopback."""
    if NO_SSHD:
        pytest.skip(NO_SSHD)
    folder = tmp_path_factory.mktemp("sshd")
    made = Sshd(folder / "sshd", Keys(folder / "keys"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def vms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Vm]]:
    """Two machines of namespaces."""
    if problem := no_namespaces():
        pytest.skip(problem)
    with machines(2, tmp_path_factory.mktemp("vms")) as made:
        yield made


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Executor]]:
    """make(keys, **options) → an executor on the study's workspace; several stand for restarts."""
    made: list[Executor] = []

    def _make(keys: Keys, workspace: Path | None = None, **options: Any) -> Executor:
        place = workspace or tmp_path / "study" / ".executor"
        node = {"name": "ssh", "key": str(keys.user), "known_hosts": str(keys.known_hosts), "python": sys.executable}
        made.append(discover().build("executor", node | options, workspace=place))
        return made[-1]

    yield _make
    for executor in made:
        try:
            executor.reap(OWNER, ())
        except Exception as error:  # noqa: BLE001 - a test's host may be gone for good
            print(f"left to its end: {error}")
