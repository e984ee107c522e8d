"""Runs one script in a process group of its own: streams it, asks it to stop, ends it for certain."""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overnight_task_script.metrics import metrics_of

CANCELLED = 42
"""The exit code by which an autoresearch-rl script says that it stopped because it was asked to."""
_POLL_S = 0.05

Report = Callable[..., None]


@dataclass
class Run:
    """What became of a script. metrics: the last value of each that it printed or reported.
    stopped: it was asked to stop. tail: its last lines."""

    code: int = 0
    stopped: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=30))


def run_script(
    command: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    report: Report,
    should_stop: Callable[[], bool],
    grace_s: float,
) -> Run:
    """Run to the end. Raises RuntimeError when the script fails by itself."""
    run, reader = Run(), _Progress(Path(env["AR_PROGRESS_FILE"]), report)
    process = subprocess.Popen(
        command, cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(process, lines), daemon=True).start()
    asked: float | None = None
    try:
        while process.poll() is None:
            _drain(lines, run, reader)
            reader.read(run)
            if asked is None and should_stop():
                asked, run.stopped = time.monotonic(), True
                Path(env["AR_CONTROL_FILE"]).write_text('{"action": "cancel", "reason": "stop"}', encoding="utf-8")
            if asked is not None and time.monotonic() - asked > grace_s:
                _end(process, grace_s)
            time.sleep(_POLL_S)
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()
    time.sleep(_POLL_S)
    _drain(lines, run, reader, last=True)
    reader.read(run)
    run.code = process.returncode
    if run.code == CANCELLED or (run.stopped and run.code <= 0):
        run.stopped = True
        return run
    if run.code != 0:
        end = "\n".join(run.tail)
        how = f"was killed by signal {-run.code}" if run.code < 0 else f"exited with code {run.code}"
        raise RuntimeError(f"{Path(command[-1]).name if len(command) == 1 else ' '.join(command)} {how}:\n{end}")
    return run


def _pump(process: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _drain(lines: "queue.SimpleQueue[str | None]", run: Run, reader: "_Progress", last: bool = False) -> None:
    # At the end the pipe is closed, since the whole group is dead; a process that left the group
    # may hold it open, and is not waited for.
    while True:
        try:
            line = lines.get(timeout=1.0) if last else lines.get_nowait()
        except queue.Empty:
            return
        if line is None:
            if not last:
                lines.put(None)
            return
        print(line, end="", flush=True)
        run.tail.append(line.rstrip())
        if found := metrics_of(line):
            run.metrics |= found
            reader.say(found)


class _Progress:
    """Passes on live metrics with rising steps, from the progress file and from printed lines."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path, self._report, self._offset, self._step = path, report, 0, 0

    def say(self, metrics: Mapping[str, float], total: int | None = None) -> None:
        step = metrics.get("step", self._step + 1)
        self._step = max(self._step, int(step)) if abs(step) < 1e15 else self._step + 1
        values = {name: value for name, value in metrics.items() if name != "step"}
        if "peak_vram_mb" in values:  # autoresearch's word; results.tsv has it as memory_gb, as autoresearch's own has
            values["peak_gpu_memory_gb"] = values["peak_vram_mb"] / 1024
        if values:
            self._report(self._step, total, **values)

    def read(self, run: Run) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, end, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(end)
        for line in whole.splitlines():
            try:
                row = json.loads(line)
                given = row.get("metrics", {k: v for k, v in row.items() if k not in ("step", "step_target")})
                found = {str(k): float(v) for k, v in given.items() if isinstance(v, int | float)}
                target = row.get("step_target")
                step = {"step": float(row["step"])} if "step" in row else {}
            except (ValueError, AttributeError, TypeError):
                print(f"a line of AR_PROGRESS_FILE cannot be read: {line[:200]!r}")
                continue
            run.metrics |= found
            self.say(found | step, int(target) if isinstance(target, int | float) else None)


def _end(process: "subprocess.Popen[str]", grace_s: float) -> None:
    _signal(process, signal.SIGTERM)
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: "subprocess.Popen[str]", number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
