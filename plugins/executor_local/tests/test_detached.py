"""Detached jobs: they outlive their controller, and the next one takes them up."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from core import Job, NotYet, Resources
from core.journal import events as ev
from core.journal.store import Journal
from core.testing import ExecutorConformance
from overnight_jobs.far import landlock, supervisor_path
from support import QUICK, overnight

_SUPERVISOR = supervisor_path()
_CONTROLLER = """
import sys
from pathlib import Path
from core import Job
from core.plugins import discover
executor = discover().build("executor", {"name": "local", "detach": True}, workspace=Path(sys.argv[1]))
job = Job("s/1/train/a1", "s", ("python", "-c", sys.argv[2]), deadline_s=float(sys.argv[3]), grace_s=0.5)
executor.submit(job, job.token)
print("submitted", flush=True)
import time; time.sleep(600)
"""
_COUNTED = "import time; open('starts.txt', 'a').write('x'); time.sleep({}); open('result.json', 'w').write('{{}}')"


class TestDetached(ExecutorConformance):
    name = "local"
    options: ClassVar[dict[str, Any]] = {
        "slots": 3,
        "detach": True,
        "confine": "auto" if landlock.available() else "off",
    }


def orphaned(workspace: Path, code: str, deadline_s: float = 60.0) -> None:
    """A job whose controller was killed after it was submitted."""
    command = [sys.executable, "-c", _CONTROLLER, str(workspace), code, str(deadline_s)]
    controller = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert controller.stdout is not None
    assert controller.stdout.readline() == "submitted\n"
    controller.kill()
    controller.wait()


def until(condition: Callable[[], Any], patience_s: float = 20.0) -> Any:
    end = time.monotonic() + patience_s
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_a_job_goes_on_without_its_controller_and_is_found(make: Callable[..., Any], tmp_path: Path) -> None:
    workspace = tmp_path / "study" / ".executor"
    orphaned(workspace, _COUNTED.format(1.0))
    executor = make(workspace, detach=True)
    assert executor.caps().detached
    handle = executor.find("s/1/train/a1")
    (seen,) = executor.poll([handle])
    assert (seen.state, seen.reason) == ("running", "")
    again = Job("s/1/train/a1", "s", ("python", "-c", _COUNTED.format(1.0)))
    assert executor.submit(again, again.token) == handle
    assert until(lambda: executor.poll([handle])[0].state == "succeeded")
    executor.fetch(handle, tmp_path / "out")
    assert (tmp_path / "out" / "result.json").exists()
    assert (next(workspace.glob("*/starts.txt"))).read_text() == "x"


def test_one_that_ended_while_nobody_looked_is_read_not_run_again(make: Callable[..., Any], tmp_path: Path) -> None:
    workspace = tmp_path / "study" / ".executor"
    orphaned(workspace, _COUNTED.format(0.0))
    assert until(lambda: list(workspace.glob("*/exit.json")))
    executor = make(workspace, detach=True)
    assert executor.poll([executor.find("s/1/train/a1")])[0].state == "succeeded"


def test_the_deadline_holds_without_a_controller(make: Callable[..., Any], tmp_path: Path) -> None:
    workspace = tmp_path / "study" / ".executor"
    orphaned(workspace, "import time; time.sleep(600)", deadline_s=1.0)
    assert until(lambda: list(workspace.glob("*/exit.json")))
    executor = make(workspace, detach=True)
    (seen,) = executor.poll([executor.find("s/1/train/a1")])
    assert (seen.state, seen.reason) == ("failed", "deadline")


def test_the_next_controller_cancels_and_reaps(make: Callable[..., Any], tmp_path: Path) -> None:
    workspace = tmp_path / "study" / ".executor"
    for way in ("cancel", "reap"):
        orphaned(workspace, "import time; time.sleep(600)")
        executor = make(workspace, detach=True)
        handle = executor.find("s/1/train/a1")
        (known,) = (json.loads(path.read_text()) for path in workspace.glob("*/supervisor.json"))
        if way == "cancel":
            assert until(lambda executor=executor, handle=handle: cancelled(executor, handle))
        else:
            assert executor.reap("s", ()).tokens == ("s/1/train/a1",)
        assert executor.find("s/1/train/a1") is None
        assert until(lambda known=known: not Path(f"/proc/{known['pid']}/cwd").exists())


def cancelled(executor: Any, handle: Any) -> bool:
    try:
        executor.cancel(handle, 0.5)
    except NotYet:
        return False
    return True


def test_gpus_of_an_earlier_controllers_jobs_are_not_handed_out_again(make: Callable[..., Any], tmp_path: Path) -> None:
    def held(executor: Any, number: int) -> list[int]:
        job = Job(f"s/{number}/train/a1", "s", ("/bin/sleep", "60"), resources=Resources(gpus=1))
        executor.submit(job, job.token)
        (place,) = (tmp_path / "study" / ".executor").glob(f"s_{number}_*")
        found: list[int] = json.loads((place / "order.json").read_text())["gpus"]
        return found

    first = held(make(detach=True, gpus=[4, 7]), 1)
    second = held(make(detach=True, gpus=[4, 7]), 2)
    assert sorted(first + second) == [4, 7]


def test_a_folder_has_one_supervisor_and_a_replaced_one_none(tmp_path: Path) -> None:
    """A controller that dies at once after starting a supervisor leaves one that is yet to begin."""
    place = tmp_path / "job"
    place.mkdir()
    code = "open('starts.txt', 'a').write('x'); open('result.json', 'w').write('{}')"
    order = {"folder": str(place), "command": [sys.executable, "-c", code], "env": {}, "detach": True,
             "grace_s": 1.0, "deadline_s": 60.0, "max_log_bytes": 1 << 20}  # fmt: skip
    (place / "order.json").write_text(json.dumps(order))
    reading, writing = os.pipe()
    command = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(place), str(reading)]
    both = [subprocess.Popen(command, pass_fds=[reading], stderr=subprocess.DEVNULL) for _ in range(2)]
    assert sorted(process.wait(20) for process in both) == [0, 1]
    os.close(reading)
    os.close(writing)
    assert (place / "starts.txt").read_text() == "x"


def test_a_resumed_study_adopts_its_jobs_and_runs_none_again(tmp_path: Path) -> None:
    directory = tmp_path / "study"
    settings = ("task.step_s=0.5", "budget.trials=2", "executor.slots=2", "executor.detach=true")
    controller = subprocess.Popen(
        [sys.executable, "-m", "core", *QUICK, *settings, f"dir={directory}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OVERNIGHT_CACHE": str(tmp_path / "cache")},
    )
    training = (ev.JobSubmitted, "/train/")
    assert until(lambda: sum(1 for _ in tokens(directory, *training)) >= 2, 60)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    time.sleep(0.3)
    supervisors = list((directory / ".executor").glob("*/supervisor.json"))
    assert len(supervisors) >= 2
    assert all(Path(f"/proc/{json.loads(path.read_text())['pid']}").exists() for path in supervisors)
    resumed = overnight("resume", directory, cwd=tmp_path, OVERNIGHT_CACHE=str(tmp_path / "cache"))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    intended = list(tokens(directory, ev.JobIntended, ""))
    assert len(intended) == len(set(intended))
    assert all(token.endswith("/a1") for token in intended), "something was run again"
    assert list((directory / ".executor").iterdir()) == []


def tokens(directory: Path, kind: type[Any], part: str) -> Iterator[str]:
    """Tokens of the journal's events of a kind that contain `part`."""
    if not (directory / "journal.db").exists():
        return
    try:
        with Journal.open(directory / "journal.db", readonly=True) as journal:
            recorded = [entry.event for entry in journal.entries()]
    except Exception:  # noqa: BLE001 - the very first instant: the tables are being made
        return
    for event in recorded:
        if isinstance(event, kind):
            token = event.handle.token if isinstance(event, ev.JobSubmitted) else event.token
            if part in token:
                yield token
