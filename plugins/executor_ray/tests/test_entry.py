"""The entrypoint on a node: a folder for each job, and nothing of it left, whatever ends it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from overnight_executor_ray.provider import entrypoint
from overnight_jobs.provider import Program

_SERVER = "import os, time; print(os.environ['TMPDIR'], os.environ['OVERNIGHT_CACHE'], os.getpid(), flush=True);"


class Started:
    """A Ray job's process group, started as Ray does it: a shell in a session of its own."""

    def __init__(self, folder: Path, then: str) -> None:
        command = entrypoint(sys.executable, Program(("python3", "-c", _SERVER + then)), "r1")
        self.process = subprocess.Popen(
            command, shell=True, start_new_session=True, stdout=subprocess.PIPE, text=True,
            env={"PATH": os.environ["PATH"], "OVERNIGHT_FOLDER": str(folder)},
        )  # fmt: skip
        assert self.process.stdout is not None
        tmp, cache, pid = self.process.stdout.readline().split()
        self.place, self.cache, self.server = Path(tmp), Path(cache), int(pid)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[str], Started]]:
    """begin(code) starts a server that goes on with this code."""
    made: list[Started] = []

    def _begin(then: str = "time.sleep(600)") -> Started:
        made.append(Started(tmp_path, then))
        return made[-1]

    yield _begin
    for each in made:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.wait()


def test_each_job_has_a_folder_of_its_own_and_all_share_a_cache(begin: Callable[..., Started], tmp_path: Path) -> None:
    one, other = begin(), begin()
    assert one.place != other.place and one.place.is_dir() and other.place.is_dir()
    assert one.cache == other.cache == tmp_path / f"overnight-ray-{os.getuid()}" / "cache"


def test_the_folder_goes_with_the_server_and_its_exit_code_is_told(begin: Callable[..., Started]) -> None:
    job = begin("open(os.environ['TMPDIR'] + '/checkpoint', 'w').write('x'); raise SystemExit(3)")
    assert job.process.wait(20) == 3
    assert not job.place.exists()


def test_a_stop_ends_the_server_and_waits_for_what_it_leaves_behind(begin: Callable[..., Started]) -> None:
    job = begin(
        "os.fork() or (os.setsid(), __import__('signal').signal(15, 1), time.sleep(1.5), os._exit(0)); time.sleep(600)"
    )
    time.sleep(0.3)
    started = time.monotonic()
    os.kill(job.process.pid, signal.SIGTERM)
    assert job.process.wait(20) == 128 + 15
    assert 0.5 < time.monotonic() - started < 10
    assert not job.place.exists()


def test_what_was_killed_with_all_its_processes_is_swept_by_the_next_job(begin: Callable[..., Started]) -> None:
    living, killed = begin(), begin()
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    assert killed.place.exists()
    begin()
    assert not killed.place.exists()
    assert living.place.exists()


def test_a_server_does_not_outlive_its_entrypoint(begin: Callable[..., Started]) -> None:
    job = begin()
    os.kill(job.process.pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while _lives(job.server):
        assert time.monotonic() < end
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
