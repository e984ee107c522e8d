"""The ssh executor on two machines of kernel namespaces, one place each: hosts that die, hang and come back."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hosts import Vm
from ssh_jobs import OWNER, eventually, gone, job, token, until

from core import OutOfStock, Resources
from core.contracts import Executor, Handle
from overnight_jobs.far.environment import JOB
from overnight_jobs.far_side import FarGone

_GOOD = "open('result.json', 'w').write('{}')"
_SLEEP = "import time; print('up', flush=True); time.sleep(600)"
# Writes partial checkpoints, each whole, until it is told to end.
_TRAIN = """
import os, time
os.makedirs('partial')
for step in range(100000):
    with open('partial/new', 'w') as file: file.write(str(step))
    os.replace('partial/new', 'partial/step')
    time.sleep(0.05)
"""
Make = Callable[..., Executor]


@pytest.fixture
def executor(make: Make, vms: list[Vm]) -> Any:
    """An executor on both machines, soon impatient; the machines are up."""
    _up(vms)
    return make(vms[0].keys, **_options(vms))


def _up(vms: list[Vm]) -> None:
    for vm in vms:
        vm.plug()
        if vm.process.poll() is not None:
            vm.start()
        shutil.rmtree(vm.root / "jobs", ignore_errors=True)  # the same tokens again, which a study never has


def _options(vms: list[Vm], **more: Any) -> dict[str, Any]:
    return {
        "hosts": [vm.host() for vm in vms],
        "slots": 1,
        "silence_s": 4.0,
        "mirror_s": 0.5,
        "connect_timeout_s": 2.0,
    } | more


def _on(vms: list[Vm], its_token: str) -> Vm:
    (found,) = [vm for vm in vms if vm.processes(f"{JOB}={its_token}")]
    return found


def _both(executor: Any, vms: list[Vm], code: str = _SLEEP, **more: Any) -> dict[str, tuple[Handle, Vm]]:
    """A job on each machine: token → handle and machine."""
    handles = [executor.submit(job(code, token(number), **more), token(number)) for number in (1, 2)]
    for handle in handles:
        until(executor, handle, "running")
    return {handle.token: (handle, _on(vms, handle.token)) for handle in handles}


def test_each_host_gets_its_jobs_and_there_is_no_third_place(executor: Any, vms: list[Vm]) -> None:
    assert executor.caps().slots == 2
    assert [offer.available for offer in executor.offers(Resources())] == [2]
    jobs = _both(executor, vms)
    assert {vm.label for _, vm in jobs.values()} == {vm.label for vm in vms}
    with pytest.raises(OutOfStock, match="its 1 places are taken"):
        executor.submit(job(_GOOD, token(3)), token(3))
    assert executor.find(token(3)) is None


@pytest.mark.slow
def test_a_job_of_a_host_that_dies_is_lost_and_its_last_checkpoint_is_here(
    executor: Any, vms: list[Vm], tmp_path: Path
) -> None:
    jobs = _both(executor, vms, _TRAIN, outputs=("result.json", "partial"), mirrored=("partial",))
    (handle, dead), (other, alive) = jobs.values()
    mirror = executor._records.mirror(handle.token)
    assert eventually(lambda: [executor.poll([handle, other])] and (mirror / "partial" / "step").exists())
    dead.kill()
    began = time.monotonic()
    seen = until(executor, handle)
    assert seen.state == "lost"
    assert dead.name in seen.reason
    assert "has not answered for" in seen.reason
    assert 4.0 <= time.monotonic() - began < 15.0
    assert seen.seconds > 0
    assert executor.poll([other])[0].state == "running"
    found = executor.fetch(handle, tmp_path / "out")
    assert int((tmp_path / "out" / "partial" / "step").read_text()) > 0
    assert "partial/step" in found.files
    executor.cancel(handle, 0.0)
    assert executor.find(handle.token) is None
    assert executor.poll([handle])[0].state == "lost", "final is final"
    assert executor.caps().slots == 1, "a dead host has no places"
    assert eventually(lambda: gone(executor, other))
    again = executor.submit(job(_GOOD, token(1, 2)), token(1, 2))
    assert until(executor, again).state == "succeeded"
    assert executor._records.read(again.token).host == alive.name


@pytest.mark.slow
def test_a_host_that_hangs_delays_nobodys_news(executor: Any, vms: list[Vm]) -> None:
    jobs = _both(executor, vms)
    (handle, hung), (other, _) = jobs.values()
    hung.unplug()
    longest = 0.0
    states = set()
    for _ in range(5):
        began = time.monotonic()
        seen = executor.poll([handle, other])
        longest = max(longest, time.monotonic() - began)
        states.add(seen[0].state)
        assert seen[1].state == "running"
        if seen[0].state == "lost":
            break
        with pytest.raises(FarGone):
            executor.logs(handle, 0)
    assert longest < 4.5
    assert "unknown" in states, "what was not answered is not known, and not lost at once"


@pytest.mark.slow
def test_a_host_that_comes_back_in_time_has_lost_nothing(make: Make, vms: list[Vm]) -> None:
    _up(vms)
    executor: Any = make(vms[0].keys, **_options(vms, silence_s=60.0))
    (handle, vm), _ = _both(executor, vms).values()
    vm.unplug()
    assert eventually(lambda: executor.poll([handle])[0].state == "unknown")
    vm.plug()
    until(executor, handle, "running")
    assert executor.logs(handle, 0)[0] == b"up\n"


@pytest.mark.slow
def test_what_was_given_up_is_ended_when_its_host_comes_back(executor: Any, vms: list[Vm]) -> None:
    (handle, vm), (other, _) = _both(executor, vms).values()
    vm.unplug()
    assert until(executor, handle).state == "lost"
    executor.cancel(handle, 0.0)
    assert vm.processes(f"{JOB}={handle.token}"), "nobody could tell it"
    vm.plug()
    assert eventually(lambda: [executor.poll([other])] and not vm.processes(f"{JOB}={handle.token}"), 60)
    assert eventually(lambda: [executor.poll([other])] and executor._records.read(handle.token) is None)


@pytest.mark.slow
def test_cancel_on_a_host_that_may_still_answer_is_tried_again(make: Make, vms: list[Vm]) -> None:
    _up(vms)
    executor: Any = make(vms[0].keys, **_options(vms, silence_s=60.0))
    (handle, vm), _ = _both(executor, vms).values()
    vm.kill()
    with pytest.raises(FarGone):
        executor.cancel(handle, 0.0)
    assert executor.find(handle.token) == handle


@pytest.mark.slow
def test_a_new_controller_finds_the_jobs_of_the_last_one(
    executor: Any, make: Make, vms: list[Vm], tmp_path: Path
) -> None:
    jobs = _both(executor, vms)
    del executor
    again: Any = make(vms[0].keys, **_options(vms))
    for each, (handle, vm) in jobs.items():
        assert again.find(each) == handle
        assert again.submit(job(_SLEEP, each), each) == handle
        until(again, handle, "running")
        assert _on(vms, each) is vm
    stranger: Any = make(vms[0].keys, workspace=tmp_path / "nothing", **_options(vms))
    assert set(stranger.reap(OWNER, ()).tokens) == set(jobs)
    assert [seen.state for seen in again.poll([handle for handle, _ in jobs.values()])] == ["lost", "lost"]


@pytest.mark.slow
def test_a_host_that_is_gone_before_the_start_is_no_loss(executor: Any, vms: list[Vm]) -> None:
    assert executor.caps().slots == 2
    first = executor.submit(job(_SLEEP, token(1)), token(1))
    until(executor, first, "running")
    busy = _on(vms, first.token)
    idle = next(vm for vm in vms if vm is not busy)
    idle.kill()
    second = executor.submit(job(_GOOD, token(2)), token(2))
    assert executor.poll([second])[0].state == "provisioning"
    assert eventually(lambda: gone(executor, first))
    assert until(executor, second).state == "succeeded"
    assert executor._records.read(second.token).host == busy.name


@pytest.mark.slow
def test_reap_does_not_wait_for_a_host_that_is_gone_for_good(executor: Any, vms: list[Vm]) -> None:
    jobs = _both(executor, vms)
    (_, dead), (other, _) = jobs.values()
    dead.kill()
    began = time.monotonic()
    assert executor.reap(OWNER, ()).tokens == (other.token,)
    assert time.monotonic() - began < 60
    assert executor.find(other.token) is None
