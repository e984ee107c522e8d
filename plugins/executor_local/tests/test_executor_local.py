"""The local executor: the contract, and that nothing of a trial ever stays behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from core import Job, OutOfStock, Resources
from core.contracts import Executor
from core.plugins import discover
from core.testing import ExecutorConformance
from overnight_jobs.far import landlock, supervisor_path

_SUPERVISOR = supervisor_path()
_ANCHOR = "OVERNIGHT_TEST_ANCHOR"
# A trial that starts a grandchild which detaches in every way it can and ignores SIGTERM.
_STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(600)
    os._exit(0)
print("up", flush=True)
time.sleep(600)
"""
_CONTROLLER = """
import sys, time
from pathlib import Path
from core import Job
from core.plugins import discover
executor = discover().build("executor", {"name": "local"}, workspace=Path(sys.argv[1]))
job = Job("s/1/train/a1", "s", ("python", "-c", sys.argv[2]), env={"OVERNIGHT_TEST_ANCHOR": sys.argv[1]})
handle = executor.submit(job, job.token)
while b"up" not in executor.logs(handle, 0)[0]:
    time.sleep(0.01)
print("running", flush=True)
time.sleep(600)
"""


class TestLocal(ExecutorConformance):
    name = "local"
    # Without Landlock every log begins with a line that says so.
    options: ClassVar[dict[str, Any]] = {"slots": 3, "confine": "auto" if landlock.available() else "off"}


def left_over(anchor: Path) -> list[int]:
    """Living processes that carry the anchor in their environment (zombies are dead)."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environ = (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"{_ANCHOR}={anchor}".encode() in environ and state not in "ZX":
            found.append(int(entry.name))
    return found


def eventually(condition: Callable[[], bool], patience_s: float = 30.0) -> bool:
    end = time.monotonic() + patience_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def make(workspace: Path, **options: Any) -> Any:
    return discover().build("executor", {"name": "local", **options}, workspace=workspace)


def job(code: str, anchor: Path, token: str = "s/1/train/a1", **more: Any) -> Job:
    return Job(token, "s", ("python", "-c", code), env={_ANCHOR: str(anchor)}, **more)


def test_a_killed_controller_leaves_no_process_not_even_a_detached_one(tmp_path: Path) -> None:
    controller = subprocess.Popen(
        [sys.executable, "-c", _CONTROLLER, str(tmp_path), _STUBBORN], stdout=subprocess.PIPE, text=True
    )
    assert controller.stdout is not None
    assert controller.stdout.readline() == "running\n"
    assert len(left_over(tmp_path)) >= 2
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    assert eventually(lambda: not left_over(tmp_path)), left_over(tmp_path)
    executor = make(tmp_path)
    handle = executor.find("s/1/train/a1")
    assert eventually(lambda: executor.poll([handle])[0].state == "lost")
    assert executor.poll([handle])[0].reason == "controller-died"


def test_a_job_that_wrote_its_result_before_its_controller_died_is_not_run_again(tmp_path: Path) -> None:
    code = "open('new', 'w').write('{}'); import os, time; os.replace('new', 'result.json');" + (
        "print('up', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", _CONTROLLER, str(tmp_path), code]
    controller = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert controller.stdout is not None
    assert controller.stdout.readline() == "running\n"
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    executor = make(tmp_path)
    handle = executor.find("s/1/train/a1")
    assert eventually(lambda: executor.poll([handle])[0].state != "running")
    (seen,) = executor.poll([handle])
    assert (seen.state, seen.exit_code, seen.reason) == ("succeeded", None, "")
    assert not left_over(tmp_path)


def test_a_killed_supervisor_leaves_nothing_once_somebody_looks(tmp_path: Path) -> None:
    executor = make(tmp_path)
    started = job(_STUBBORN, tmp_path)
    handle = executor.submit(started, started.token)
    assert eventually(lambda: b"up" in executor.logs(handle, 0)[0])
    (supervisor,) = (json.loads(path.read_text())["pid"] for path in tmp_path.glob("*/supervisor.json"))
    os.kill(supervisor, signal.SIGKILL)
    assert eventually(lambda: executor.poll([handle])[0].state == "lost")
    assert eventually(lambda: not left_over(tmp_path)), left_over(tmp_path)


def supervised(folder: Path, code: str) -> tuple[subprocess.Popen[bytes], int]:
    """A supervisor by itself on a job; also the end whose closing is the controller's death."""
    order = {"folder": str(folder), "command": [sys.executable, "-c", code], "grace_s": 1.0, "deadline_s": 600.0,
             "env": {_ANCHOR: str(folder)}, "max_log_bytes": 1 << 24}  # fmt: skip
    (folder / "order.json").write_text(json.dumps(order))
    reading, writing = os.pipe()
    command = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(folder), str(reading)]
    process = subprocess.Popen(command, pass_fds=[reading])
    os.close(reading)
    return process, writing


def test_a_stalled_disk_does_not_keep_a_dead_controllers_job_alive(tmp_path: Path) -> None:
    """The log goes to a pipe that nobody empties: the supervisor's writing to it stands still."""
    os.mkfifo(tmp_path / "log.txt")
    stalled = os.open(tmp_path / "log.txt", os.O_RDWR)
    process, controller = supervised(tmp_path, _STUBBORN.replace('print("up"', 'print("up" * 10**6'))
    assert eventually(lambda: len(left_over(tmp_path)) >= 2)
    time.sleep(0.5)
    assert process.poll() is None
    os.close(controller)
    assert eventually(lambda: not left_over(tmp_path)), left_over(tmp_path)
    os.set_blocking(stalled, False)
    while process.poll() is None:  # the disk is back
        with contextlib.suppress(BlockingIOError):
            os.read(stalled, 1 << 16)
    os.close(stalled)
    assert json.loads((tmp_path / "exit.json").read_text())["reason"] == "controller-died"


def test_a_job_whose_controller_died_before_its_start_is_not_started(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    order = {"folder": str(tmp_path), "command": [sys.executable, "-c", "open('ran', 'w')"], "env": {},
             "grace_s": 1.0, "deadline_s": 600.0, "max_log_bytes": 1 << 20}  # fmt: skip
    (tmp_path / "order.json").write_text(json.dumps(order))
    command = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(tmp_path), str(reading)]
    subprocess.run(command, pass_fds=[reading], timeout=20, check=True)
    os.close(reading)
    assert json.loads((tmp_path / "exit.json").read_text())["reason"] == "controller-died"
    assert not (tmp_path / "ran").exists()


def test_the_end_of_a_trial_is_the_end_of_all_that_it_started(tmp_path: Path) -> None:
    executor = make(tmp_path)
    code = _STUBBORN.rpartition("time.sleep(600)")[0]
    started = job(code, tmp_path)
    handle = executor.submit(started, started.token)
    assert eventually(lambda: executor.poll([handle])[0].state == "failed")
    assert left_over(tmp_path) == []


def test_a_huge_output_costs_neither_disk_nor_memory_and_blocks_nothing(tmp_path: Path) -> None:
    executor = make(tmp_path, max_log_mb=1.0)
    code = (
        "import os, sys; sys.stdout.buffer.write(b'BEGIN'); block = os.urandom(1 << 20)\n"
        "for _ in range(300): sys.stdout.buffer.write(block)\n"
        "sys.stdout.buffer.write(b'THE END'); sys.stdout.flush(); open('result.json', 'w').write('{}')"
    )
    started = job(code, tmp_path)
    handle = executor.submit(started, started.token)
    assert eventually(lambda: executor.poll([handle])[0].state == "succeeded", 60)
    executor.fetch(handle, tmp_path / "out")
    log = (tmp_path / "out" / "log.txt").read_bytes()
    assert len(log) < 1.1 * 2**20
    assert log.startswith(b"BEGIN")
    assert log.endswith(b"THE END")
    assert b"bytes of output left out here" in log


def test_every_job_gets_gpus_of_its_own_and_none_gets_none(tmp_path: Path) -> None:
    executor = make(tmp_path, gpus=[4, 7], slots=3)
    code = "import os; open('result.json', 'w').write('{\"gpus\": \"%s\"}' % os.environ['CUDA_VISIBLE_DEVICES'])"
    seen = {}
    for number, gpus in ((1, 1), (2, 1), (3, 0)):
        started = job(code, tmp_path, f"s/{number}/train/a1", resources=Resources(gpus=gpus))
        handle = executor.submit(started, started.token)
        seen[number] = handle
    for number, handle in seen.items():
        assert eventually(lambda handle=handle: executor.poll([handle])[0].state == "succeeded")
        executor.fetch(handle, tmp_path / f"out{number}")
    got = {number: json.loads((tmp_path / f"out{number}" / "result.json").read_text())["gpus"] for number in seen}
    assert {got[1], got[2]} == {"4", "7"}
    assert got[3] == ""
    assert executor.offers(Resources(gpus=3)) == []


def test_a_job_folder_that_a_killed_submit_half_made_is_made_again(tmp_path: Path) -> None:
    executor = make(tmp_path)
    started = job("open('result.json', 'w').write('{}')", tmp_path)
    half = executor._place(started.token)
    half.mkdir(parents=True)
    (half / "job.json").write_text(json.dumps({"token": started.token, "owner": "s", "outputs": []}))
    assert executor.find(started.token) is None
    handle = executor.submit(started, started.token)
    assert eventually(lambda: executor.poll([handle])[0].state == "succeeded")


def test_outputs_cannot_lead_out_of_the_job_folder(tmp_path: Path) -> None:
    executor = make(tmp_path / "work")
    (tmp_path / "private.txt").write_text("private")
    link = f"os.symlink({str(tmp_path / 'private.txt')!r}, 'leak.txt')"
    code = f"import os; {link}; open('result.json', 'w').write('{{}}')"
    started = job(code, tmp_path, outputs=("result.json", "leak.txt"))
    handle = executor.submit(started, started.token)
    assert eventually(lambda: executor.poll([handle])[0].state == "succeeded")
    assert set(executor.fetch(handle, tmp_path / "out").files) == {"result.json", "log.txt"}


def test_jobs_of_two_gpus_are_as_many_as_fit_and_the_next_waits(make: Callable[..., Executor]) -> None:
    executor = make(gpus=[0, 1, 2, 3])
    assert executor.caps().slots == 4
    (offer,) = executor.offers(Resources(gpus=2))
    assert (executor.caps().slots, offer.available) == (2, 2)
    jobs = [
        Job(f"s/{n}/train/a1", "s", ("python", "-c", "import time; time.sleep(60)"), resources=Resources(gpus=2))
        for n in (1, 2, 3)
    ]
    for job in jobs[:2]:
        executor.submit(job, job.token)
    with pytest.raises(OutOfStock, match="2 GPUs are needed, 0 of 4 are free"):
        executor.submit(jobs[2], jobs[2].token)
