"""One study on several executors: the same seed gives the same proposals, scores and decisions."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.plugins import discover
from core.study.launch import create
from support import decided_by_grpo, decisions, study_config

sys.path.insert(0, str(Path(__file__).parents[2] / "plugins" / "executor_cloud" / "tests" / "basilica_stub"))
sys.path.insert(0, str(Path(__file__).parents[2] / "plugins" / "executor_ssh" / "tests"))

from basilica_hand import BasilicaStub  # the stub and the sshd of these executors' own tests
from hosts import NO_SSHD, Keys, Sshd


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The cloud executor on a stub of Basilica's API; its bill is in the ledger to the cent."""
    monkeypatch.setenv("BASILICA_API_TOKEN", "basilica_stub")
    with BasilicaStub(tmp_path / "cloud", lag_s=0.2, boot_s=0.05, price=["cpu=3600"]) as stub:
        basilica = {"api_url": stub.url, "lag_s": 0.3, "cpu_usd_per_hour": 3600.0}
        node = {"name": "cloud", "python": sys.executable, "requirements": "none", "slots": 1, "basilica": basilica}
        yield {"node": node, "stub": stub}


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The ssh executor on a real sshd of this machine."""
    if NO_SSHD:
        pytest.skip(NO_SSHD)
    keys = Keys(tmp_path / "keys")
    sshd = Sshd(tmp_path / "sshd", keys)
    options = {"key": str(keys.user), "known_hosts": str(keys.known_hosts), "python": sys.executable}
    yield {"name": "ssh", "hosts": [sshd.name], "slots": 1, "root": str(tmp_path / "far"), **options}
    sshd.stop()


def essence(directory: Path, executor: dict[str, Any], **changes: Any) -> tuple[list[Any], Any]:
    """What a study of three trials came to, without times and places; and its outcome."""
    directory.mkdir()
    config = study_config(directory, executor=executor, budget={"trials": 3, "usd": 1e6}, seed=7, **changes)
    outcome = create(config, directory, discover())
    assert outcome.exit_code == 0, outcome.error
    return decisions(directory), outcome


def test_local_ssh_and_cloud_decide_alike(
    tmp_path: Path, cloud: dict[str, Any], ssh: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERNIGHT_CACHE", str(tmp_path / "cache"))
    local, _ = essence(tmp_path / "local", {"name": "local", "slots": 1})
    assert essence(tmp_path / "ssh", ssh)[0] == local
    there, outcome = essence(tmp_path / "cloud-study", cloud["node"])
    assert there == local
    stub = cloud["stub"]
    assert stub.orphans() == 0
    assert outcome.facts.study.usd == pytest.approx(stub.usd, abs=0.02), "the ledger is the bill"
    assert list((tmp_path / "far" / "jobs").iterdir()) == [], "nothing is left on the host"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_grpo_study_decides_alike_on_local_ssh_and_cloud(
    tmp_path: Path, cloud: dict[str, Any], ssh: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERNIGHT_CACHE", str(tmp_path / "cache"))
    one = "budget.trials=1"
    here = decided_by_grpo(tmp_path / "local", "executor=local", one)
    assert len(here) == 3, "baseline, trial, incumbent"
    # One machine stands for all, so its starting model is made once; that another makes the same is no promise.
    cache = f"+executor.env.OVERNIGHT_CACHE={tmp_path / 'cache'}"
    far = [one, cache, *(f"executor.{key}={ssh[key]}" for key in ("key", "known_hosts", "python", "root"))]
    assert decided_by_grpo(tmp_path / "ssh", "executor=ssh", f"executor.hosts=[{ssh['hosts'][0]}]", *far) == here
    rented = [f"executor.basilica.{key}={value}" for key, value in cloud["node"]["basilica"].items()]
    rented += ["executor.requirements=none", f"executor.python={sys.executable}", "resources.gpus=0", "budget.usd=1e6"]
    rented += [one, cache]
    assert decided_by_grpo(tmp_path / "cloud-grpo", "executor=cloud", *rented) == here
    assert cloud["stub"].orphans() == 0
