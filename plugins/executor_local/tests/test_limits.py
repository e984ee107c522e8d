"""Limits of a job: what passes one is killed whole, quickly, with the reason."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import Job, Resources
from overnight_jobs.far import devices

_OK = "; open('result.json', 'w').write('{}')"
_TAKE = "held = b'\\1' * ({mib} << 20)"


def test_memory_is_counted_over_all_processes_of_a_job(make: Callable[..., Any], ended: Callable[..., Any]) -> None:
    code = f"import os, time; os.fork(); os.fork(); {_TAKE.format(mib=150)}; time.sleep(60)"
    seen, log = ended(make(memory_gb=0.3), code)
    assert (seen.state, seen.reason) == ("failed", "oom")
    assert "executor.memory_gb allows 0.30 GiB" in log
    assert seen.seconds < 10


def test_memory_shared_between_processes_counts_once(make: Callable[..., Any], ended: Callable[..., Any]) -> None:
    """Four processes that map the same 150 MiB hold 150 MiB."""
    fork = f"import os, time; me = os.getpid(); {_TAKE.format(mib=150)}; os.fork(); os.fork(); time.sleep(1.0)"
    seen, log = ended(make(memory_gb=0.3), f"{fork}; os.getpid() == me or time.sleep(60){_OK}")
    assert seen.state == "succeeded", log


def test_cached_files_are_no_memory_of_a_job(
    make: Callable[..., Any], ended: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\1" * (300 << 20))
    code = (
        f"import mmap, time; f = open({str(tmp_path / 'weights.bin')!r}, 'rb');"
        "m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); s = sum(m[i] for i in range(0, len(m), 4096));"
        "rss = int([l for l in open('/proc/self/status') if l.startswith('VmRSS')][0].split()[1]);"
        f"assert rss > 250 << 10, rss; time.sleep(0.5){_OK}"
    )
    seen, log = ended(make(memory_gb=0.2), code)
    assert seen.state == "succeeded", log


def test_the_jobs_own_request_is_its_limit_unless_the_setting_says_otherwise(
    make: Callable[..., Any], ended: Callable[..., Any]
) -> None:
    code = f"import time; {_TAKE.format(mib=400)}; time.sleep(1.0){_OK}"
    small = Resources(memory_gb=0.2)
    assert ended(make(), code, "s/1/train/a1", resources=small)[0].reason == "oom"
    assert ended(make(), code, "s/2/train/a1")[0].state == "succeeded"
    assert ended(make(memory_gb=None), code, "s/3/train/a1", resources=small)[0].state == "succeeded"


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A memory control group of 64 MiB, in which the kernel does the killing."""
    group = Path("/sys/fs/cgroup/memory/overnight-test")
    if os.geteuid() != 0 or not group.parent.is_dir():
        pytest.skip("needs root and memory control groups of version 1")
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(64 << 20))
    yield group
    end = time.monotonic() + 10
    while (group / "cgroup.procs").read_text() and time.monotonic() < end:
        time.sleep(0.05)
    group.rmdir()


def test_a_job_that_the_kernel_kills_for_want_of_memory_is_diagnosed(
    make: Callable[..., Any], ended: Callable[..., Any], small_cgroup: Path
) -> None:
    join = f"import os; open({str(small_cgroup / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
    seen, log = ended(make(confine="off"), f"{join}; {_TAKE.format(mib=300)}")
    assert (seen.state, seen.exit_code, seen.reason) == ("failed", -9, "oom")
    assert "by the kernel" in log
    plain, _ = ended(make(), "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "s/2/train/a1")
    assert (plain.exit_code, plain.reason) == (-9, ""), "not every SIGKILL is a want of memory"


_BOMBS = {
    "every process forks": "while True:\n    try: os.fork()\n    except OSError: pass",
    "all leave their sessions and parents": (
        "while True:\n    try:\n        if os.fork() and os.fork() and os.getppid() == 1: os._exit(0)\n"
        "        os.setsid()\n    except OSError: pass"
    ),
    "threads": "import threading\nwhile True: threading.Thread(target=time.sleep, args=(600,)).start()",
}


@pytest.mark.parametrize("bomb", _BOMBS)
def test_a_fork_bomb_loses(make: Callable[..., Any], ended: Callable[..., Any], bomb: str) -> None:
    ignore = "import os, signal, time\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n"
    seen, log = ended(make(max_processes=200), ignore + _BOMBS[bomb])
    assert (seen.state, seen.reason) == ("failed", "too-many-processes")
    assert "the 200 processes and threads" in log
    assert seen.seconds < 20
    assert b"s/1/train/a1" not in b"".join(_environs()), "something of it is left"


def _environs() -> Iterator[bytes]:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                yield (entry / "environ").read_bytes()
        except OSError:
            continue


def test_a_full_folder_ends_the_job_but_its_input_does_not_count(
    make: Callable[..., Any], ended: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "weights.bin").write_bytes(b"\1" * (40 << 20))
    given = {"checkpoint": tmp_path / "checkpoint"}
    executor = make(disk_gb=20 / 1024)
    idle = f"import time; time.sleep(1.2){_OK}"
    assert ended(executor, idle, "s/1/train/a1", files=given)[0].state == "succeeded"
    fill = "import time\nfor i in range(30): open(f'{i}', 'wb').write(b'1' * (1 << 20))\ntime.sleep(60)"
    seen, log = ended(executor, fill, "s/2/train/a1")
    assert (seen.state, seen.reason) == ("failed", "disk-limit")
    assert "executor.disk_gb allows 0.02 GiB" in log
    assert seen.seconds < 10


def test_one_file_cannot_pass_the_limit_for_an_instant_either(
    make: Callable[..., Any], ended: Callable[..., Any]
) -> None:
    code = (
        "import subprocess; raise SystemExit(subprocess.call(['dd', 'if=/dev/zero', 'of=big', 'bs=1M', 'count=900']))"
    )
    seen, _ = ended(make(disk_gb=20 / 1024), code)
    assert (seen.state, seen.reason) == ("failed", "disk-limit")


def test_open_files_are_limited_where_asked(make: Callable[..., Any], ended: Callable[..., Any]) -> None:
    seen, log = ended(make(open_files=50), "held = [open('/dev/null') for _ in range(100)]")
    assert seen.state == "failed"
    assert "Too many open files" in log


def test_a_supervisor_starts_in_milliseconds(make: Callable[..., Any]) -> None:
    """What it costs beyond a bare interpreter that is told to do nothing."""
    executor = make()

    def submitted(number: int) -> float:
        began = time.perf_counter()
        job = Job(f"s/{number}/train/a1", "s", ("/bin/true",))
        executor.submit(job, job.token)
        return time.perf_counter() - began

    def bare() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
        return time.perf_counter() - began

    bare_s = min(bare() for _ in range(5))
    assert min(submitted(number) for number in range(5)) < 4 * bare_s + 0.05


def test_the_machines_memory_is_no_more_than_it_has() -> None:
    assert 0 < devices.memory_gb() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
