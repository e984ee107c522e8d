"""Confinement: a job writes in its own folder, caches and temporary folders, and nowhere else."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import SetupError
from overnight_jobs.far import landlock, places, supervisor_path

_CODE = supervisor_path().parent
_OK = "; open('result.json', 'w').write('{}')"
pytestmark = pytest.mark.skipif(not landlock.available(), reason="this kernel has no Landlock")


def tried(executor: Any, ended: Callable[..., Any], attempt: str, token: str = "s/1/train/a1") -> str:
    """What became of one attempt in a job: "done" or the error's name."""
    code = f"import os, shutil, signal, subprocess, tempfile\ntry:\n    {attempt}\n    print('done')\n" + (
        "except Exception as error: print(type(error).__name__, error)"
    )
    return str(ended(executor, code, token)[1].strip())


@pytest.mark.parametrize(
    "attempt",
    [
        "open('{other}/mine.txt', 'w')",
        "open('{other}/given.txt', 'r+')",
        "os.truncate('{other}/given.txt', 0)",
        "os.remove('{other}/given.txt')",
        "os.rename('{other}/given.txt', '{other}/taken.txt')",
        "os.rename('{other}/given.txt', 'taken.txt')",
        "os.link('{other}/given.txt', 'linked.txt'); open('linked.txt', 'w').write('x')",
        "os.mkdir('{other}/folder')",
        "os.rmdir('{other}/empty')",
        "os.symlink('/', '{other}/link')",
        "os.symlink('{other}/given.txt', 'link'); open('link', 'w')",
        "os.mkfifo('{other}/pipe')",
        "subprocess.run(['sh', '-c', 'exec setsid rm {other}/given.txt'], check=True, stderr=subprocess.DEVNULL)",
    ],
)
def test_another_trials_folder_is_out_of_reach(
    make: Callable[..., Any], ended: Callable[..., Any], tmp_path: Path, attempt: str
) -> None:
    other = tmp_path / "study" / "trials" / "0001"
    (other / "empty").mkdir(parents=True)
    (other / "given.txt").write_text("given")
    said = tried(make(), ended, attempt.format(other=other))
    assert said.startswith(("PermissionError", "CalledProcessError")) or "[Errno 18]" in said, said
    assert sorted(path.name for path in other.iterdir()) == ["empty", "given.txt"]
    assert (other / "given.txt").read_text() == "given"
    assert tried(make(confine="off"), ended, f"open('{other}/mine.txt', 'w')", "s/2/train/a1") == "done"


@pytest.mark.parametrize(
    "attempt",
    [
        "os.makedirs('a/b'); open('a/b/c', 'w').write('x'); os.rename('a/b/c', 'c'); shutil.rmtree('a')",
        "open(os.environ['OVERNIGHT_CACHE'] + '/x', 'w')",
        "open(os.environ['OVERNIGHT_CACHE'] + '-sealed/x', 'w')",
        "p = os.path.expanduser('~/.cache/overnight-test'); open(p, 'w'); os.remove(p)",
        "tempfile.TemporaryFile().write(b'x')",
        "import multiprocessing.shared_memory as m; s = m.SharedMemory(create=True, size=9); s.close(); s.unlink()",
        "import multiprocessing.managers as m; m.SyncManager().start()",
        "open('/dev/null', 'w').write('x')",
        "open('/proc/self/comm', 'w').write('renamed')",
        "open('{allowed}/x', 'w')",
        "len(open('{read}').read())",
    ],
)
def test_what_a_trial_needs_still_works(
    make: Callable[..., Any], ended: Callable[..., Any], tmp_path: Path, attempt: str
) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "readable").write_text("x")
    executor = make(writable=[str(tmp_path / "allowed")])
    allowed, read = tmp_path / "allowed", tmp_path / "study" / "readable"
    assert tried(executor, ended, attempt.format(allowed=allowed, read=read)) == "done"


def test_a_job_signals_only_its_own_processes(make: Callable[..., Any], ended: Callable[..., Any]) -> None:
    if landlock.version() < 6:
        pytest.skip("this kernel's Landlock does not know of signals")
    assert tried(make(), ended, f"os.kill({os.getpid()}, 0)").startswith("PermissionError")
    own = "p = subprocess.Popen(['sleep', '60']); p.kill(); p.wait()"
    assert tried(make(), ended, own, "s/2/train/a1") == "done"


def test_a_temporary_folder_that_holds_the_study_is_replaced_by_one_of_the_jobs_own(
    make: Callable[..., Any], ended: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    executor = make()
    said = tried(executor, ended, "print(tempfile.gettempdir()); open(tempfile.gettempdir() + '/x', 'w')")
    own, done = said.splitlines()
    assert done == "done"
    assert Path(own).parent == tmp_path
    assert not Path(own).exists(), "it goes with the job"
    assert tried(executor, ended, f"open('{tmp_path}/x', 'w')", "s/2/train/a1").startswith("PermissionError")


def test_elsewhere_the_common_temporary_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    env = {"HOME": str(tmp_path / "home"), "TMPDIR": "unchanged"}
    workspace = tmp_path / "study" / ".executor"
    assert places.private_tmp(workspace, workspace / "job") is None
    found = places.confinement(workspace, workspace / "job", env, ())
    assert str(tmp_path / "tmp") in found["folders"]
    assert env["TMPDIR"] == "unchanged"
    assert env["TRITON_CACHE_DIR"] == str(tmp_path / "home" / ".cache" / "triton")
    (tmp_path / "home" / ".triton").mkdir()
    assert str(tmp_path / "home" / ".triton") in places.confinement(workspace, workspace / "job", env, ())["folders"]


def test_caches_and_devices_that_hold_the_study_are_not_opened(tmp_path: Path) -> None:
    workspace = tmp_path / "hub" / "study" / ".executor"
    env = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hub")}
    assert str(tmp_path / "hub") not in places.confinement(workspace, workspace / "job", env, ())["folders"]
    in_memory = Path("/dev/shm/study/.executor")
    found = places.confinement(in_memory, in_memory / "job", {"HOME": str(tmp_path)}, ())
    assert "/dev/null" in found["contents"]
    assert not {"/dev", "/dev/shm"} & {*found["contents"], *found["folders"]}


def test_opening_the_whole_study_is_refused_before_anything_starts(make: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="holds the study"):
        make(writable=[str(tmp_path)])
    make(writable=[str(tmp_path)], confine="off")


def test_a_kernel_without_landlock_is_said_in_the_jobs_log(tmp_path: Path) -> None:
    order = {"folder": str(tmp_path), "command": ["/bin/echo", "hello"], "env": {}, "grace_s": 1.0, "deadline_s": 60.0,
             "max_log_bytes": 1 << 20, "confine": {"folders": [str(tmp_path)], "contents": []}}  # fmt: skip
    (tmp_path / "order.json").write_text(json.dumps(order))
    reading, writing = os.pipe()
    code = (
        f"import sys; sys.path.insert(0, {str(_CODE)!r}); import landlock, supervisor;"
        f"landlock.version = lambda: 0; supervisor.Supervisor({str(tmp_path)!r}, {reading}).run()"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", code], pass_fds=[reading], timeout=20, check=True)
    os.close(writing)
    first, second = (tmp_path / "log.txt").read_text().splitlines()
    assert "writes are not confined to its folder: the kernel has no Landlock" in first
    assert second == "hello"
