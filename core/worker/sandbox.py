"""The sandbox: trains a patched program in a process that sees no network, no secrets and little of the machine.

The worker itself (trusted) prepares the task, then starts this same worker once more under
bubblewrap, in the folder `inside` of its job's folder. Only that folder can be written in; what
counts is taken out of it afterwards, and looked at first: links out of it would be followed by
those who come later, outside.
"""

import json
import math
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from core.contracts import HasProgram, SetupError, Task
from core.worker import bubblewrap
from core.worker.contexts import cache_dir, sealed_dir
from core.worker.result import JobResult
from core.worker.spec import CHECKPOINT, FILENAME, METRICS, PARTIAL, PROGRAM, RESULT, RESUME, WorkerSpec

INSIDE = "inside"
_PROBE_S = 30.0
_GONE_S = 10.0
_LARGEST_RESULT = 1 << 20
_KINDS = ("exception", "setup", "preflight")


def train(task: Task, spec: WorkerSpec, folder: Path, used_s: float) -> JobResult:
    """Train there and bring the checkpoint out. used_s: seconds of the deadline that are gone.

    Raises SetupError where there is no bubblewrap that works: such a program is run in no other way.
    """
    inside = _make(spec, folder, used_s)
    readable = [Path(path).expanduser().absolute() for path in spec.readable]
    reads = [path.absolute() for path in task.training_reads()] if isinstance(task, HasProgram) else []
    shown = [*bubblewrap.caches(os.environ, cache_dir()), *reads, *readable]
    hidden = [sealed_dir(), *(path for path in bubblewrap.datasets(os.environ) if path not in (*reads, *readable))]
    private = [name for name in (PROGRAM, RESUME) if (folder / name).exists()]
    command = [
        bubblewrap.program(),
        # All namespaces: no network, no processes but its own, which all die with the first of them.
        *("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox"),
        *bubblewrap.mounts(inside, private, shown, hidden),
        *("--bind", str(folder / METRICS), str(inside / METRICS)),
        *("--bind", str(folder / PARTIAL), str(inside / PARTIAL)),
        *("--chdir", str(inside), "--"),
    ]
    env = bubblewrap.environment(os.environ)
    _probe(command, env)
    code = _run(command, [sys.executable, "-m", "core.worker"], env)
    result = _read_result(inside / RESULT) or _without_a_word(code)
    if result.status == "succeeded":
        _take_out(inside / CHECKPOINT, folder / CHECKPOINT)
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    shutil.rmtree(inside, ignore_errors=True)
    return result


def _make(spec: WorkerSpec, folder: Path, used_s: float) -> Path:
    inside = folder / INSIDE
    for made in (inside / "tmp", inside / "home", inside / PARTIAL, folder / PARTIAL):
        made.mkdir(parents=True, exist_ok=True)
    for made in (folder / METRICS, inside / METRICS):
        made.touch()
    inputs = {key: str(folder / place) for key, place in spec.inputs.items()}  # the same paths, if they are shown
    left = max(1.0, spec.deadline_s - used_s)
    told = spec.model_copy(update={"sandbox": "inside", "deadline_s": left, "inputs": inputs})
    (inside / FILENAME).write_text(told.model_dump_json(indent=2), encoding="utf-8")
    return inside


def _probe(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run([*command, "true"], env=env, capture_output=True, timeout=_PROBE_S, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[:300]
        raise SetupError(
            f"sandbox: a trial with a patch runs under bubblewrap only, and it cannot start here ({said}): "
            "allow user namespaces and mounts in this machine or container, or trust what is proposed with sandbox=off"
        )


def _run(command: list[str], training: list[str], env: dict[str, str]) -> int:
    """The exit code, once nothing of it lives. SIGTERM reaches the training, not bubblewrap, which
    would take it along at once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # inherited by bubblewrap, undone by the worker in it
    reading, writing = os.pipe()
    process = subprocess.Popen([command[0], "--info-fd", str(writing), *command[1:], *training], env=env,
                               pass_fds=[writing])  # fmt: skip
    os.close(writing)

    with os.fdopen(reading) as info:  # written once the sandbox stands
        first = int(json.loads(info.read() or "{}").get("child-pid", 0))

    def pass_on(number: int, frame: object) -> None:
        for pid in _children(first)[:1]:  # the worker in there; those after it lost their parents
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                return  # it ended meanwhile

    signal.signal(signal.SIGTERM, pass_on)
    code = process.wait()
    # Its first process has been killed by now, and is gone only when all others in there are.
    end = time.monotonic() + _GONE_S
    while _alive(first):
        if time.monotonic() > end:
            raise RuntimeError(f"processes of the sandbox do not end (its first one has pid {first})")
        time.sleep(0.005)
    return code


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return pid > 0 and state not in ("Z", "X")


def _children(pid: int) -> list[int]:
    try:
        return sorted(int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    except (OSError, ValueError):
        return []


def _read_result(path: Path) -> JobResult | None:
    """What the training says of itself, as far as it may say anything; None if nothing can be read."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            told: dict[str, Any] = json.loads(file.read(_LARGEST_RESULT))
        error = None if told.get("error") is None else str(told["error"])[:4000]
        if told.get("status") != "succeeded":
            kind = told.get("error_kind")
            return JobResult("failed", error or "failed without a message", kind if kind in _KINDS else "exception")
        details = {str(name)[:100]: float(value) for name, value in dict(told.get("details") or {}).items()}
        finite = {name: value for name, value in list(details.items())[:100] if math.isfinite(value)}
        return JobResult("succeeded", stopped_early=told.get("stopped_early") is True, details=finite)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _without_a_word(code: int) -> JobResult:
    number = code - 128 if code > 128 else -code  # bubblewrap says it as shells do
    try:
        name = signal.Signals(number).name if code > 128 or code < 0 else ""
    except ValueError:
        name = ""
    if name:
        return JobResult("failed", f"killed by {name} (in the sandbox)", "signal")
    return JobResult("failed", f"ended with exit code {code} and without a result (in the sandbox)", "exit")


def _take_out(source: Path, target: Path) -> None:
    """Move a folder out of the sandbox, without links and anything else that is neither file nor folder."""
    if not stat.S_ISDIR(source.lstat().st_mode):
        raise RuntimeError("training left something else than a folder as its checkpoint")
    for place, folders, files in os.walk(source):
        for name in (*folders, *files):
            path = Path(place) / name
            mode = path.lstat().st_mode
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                path.unlink()
            else:
                path.chmod(stat.S_IMODE(mode) & 0o777 | stat.S_IRUSR)
    shutil.rmtree(target, ignore_errors=True)
    source.replace(target)
