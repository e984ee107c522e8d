"""The `local` executor: each job a supervised process tree on this machine."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from core import (
    Caps,
    Diagnosis,
    Handle,
    Job,
    JobState,
    Manifest,
    NotYet,
    Observation,
    Offer,
    OutOfStock,
    Reaped,
    Resources,
)
from overnight_executor_local import diagnosis, order
from overnight_executor_local.config import LocalConfig
from overnight_jobs import folder
from overnight_jobs.far import devices, files, processes, states, supervisor_path
from overnight_jobs.far.environment import JOB, OWNER
from overnight_jobs.writable import refuse_wide

_STARTING_S = 10.0


class LocalExecutor:
    """Runs each trial as an isolated process tree on this machine.

    A supervisor process per job holds the job's whole tree: it ends it at the deadline, on
    cancel, beyond its limits and when this controller dies (also grandchildren that detach; with
    `detach` jobs go on then), keeps the log within bounds and says in exit.json how it ended.
    """

    Config = LocalConfig

    def __init__(self, config: LocalConfig, workspace: Path) -> None:
        self._config = config
        self._workspace = Path(workspace).absolute()
        if config.confine == "auto":
            refuse_wide(self._workspace, config.writable)
        self._gpus = devices.gpu_ids() if config.gpus == "auto" else list(config.gpus)
        auto = len(self._gpus) or min(4, devices.cores())
        self._gpus_each = 0  # what a job of this study takes, as far as it was asked
        self._slots = max(1, auto if config.slots == "auto" else config.slots)
        threads = config.threads_per_slot
        self._threads = max(1, devices.cores() // self._slots if threads == "auto" else threads)
        self._lock = threading.Lock()  # over starting a job and handing out GPUs, both instant
        self._started: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        self._held: dict[str, list[int]] = {}

    def caps(self) -> Caps:
        """See core.contracts.Executor."""
        slots = self._slots
        if self._config.slots == "auto" and self._gpus_each > 1:
            slots = max(1, len(self._gpus) // self._gpus_each)
        return Caps(slots=slots, detached=self._config.detach)

    def offers(self, request: Resources) -> Sequence[Offer]:
        """This machine, free of charge, if it is big enough."""
        if request.gpus > len(self._gpus) or request.cpus > devices.cores():
            return []
        if request.memory_gb is not None and request.memory_gb > devices.memory_gb():
            return []
        self._gpus_each = request.gpus
        names = devices.gpu_names()
        if request.gpu_type and not any(request.gpu_type.lower() in name.lower() for name in names):
            return []
        return [Offer(self._hardware(request.gpus), available=self.caps().slots)]

    def diagnose(self) -> Sequence[Diagnosis]:
        """See core.contracts.Diagnoses."""
        return diagnosis.diagnose(self._config, self._gpus, self._slots, self._threads)

    def submit(self, job: Job, token: str) -> Handle:
        """See core.contracts.Executor."""
        with self._lock:
            place = self._place(token)
            if self._traces(place):
                return self._handle(token)
            shutil.rmtree(place, ignore_errors=True)  # a folder that a killed submit half made
            self._workspace.mkdir(parents=True, exist_ok=True)
            gpus = self._take_gpus(token, job.resources.gpus)
            try:
                told = order.build(self._config, self._workspace, place, job, gpus, self._slots, self._threads)
                if told["tmp"]:
                    Path(told["tmp"]).mkdir(mode=0o700, exist_ok=True)
                folder.make(place, job, told | {"hardware": self._hardware(job.resources.gpus)})
                self._spawn(token, place)
            except BaseException:
                self._release(token)
                raise
            return self._handle(token)

    def find(self, token: str) -> Handle | None:
        """See core.contracts.Executor."""
        return self._handle(token) if self._traces(self._place(token)) else None

    def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """See core.contracts.Executor."""
        return [self._observe(handle.token) for handle in handles]

    def logs(self, handle: Handle, offset: int, stream: Literal["log", "metrics"] = "log") -> tuple[bytes, int]:
        """See core.contracts.Executor."""
        return folder.read_stream(self._place(handle.token), stream, offset)

    def fetch(self, handle: Handle, dest: Path) -> Manifest:
        """See core.contracts.Executor."""
        place = self._place(handle.token)
        described = files.read(place / "job.json") or {}
        return folder.bring(place, described.get("outputs", []), dest)

    def cancel(self, handle: Handle, grace_s: float) -> None:
        """See core.contracts.Executor."""
        place = self._place(handle.token)
        pid = self._supervisor(handle.token, place)
        if pid is not None:
            asked = files.read(place / "cancel.json")
            if asked is None:
                files.write(place / "cancel.json", {"grace_s": grace_s, "asked": time.monotonic()})
                processes.send([pid], signal.SIGTERM)
            elif time.monotonic() > asked["asked"] + grace_s + 10:
                processes.send([pid], signal.SIGKILL)
            raise NotYet(handle.token)
        processes.kill_all(lambda: processes.marked(lambda env: env.get(JOB) == handle.token))
        if tmp := (files.read(place / "order.json") or {}).get("tmp"):
            shutil.rmtree(tmp, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)
        self._release(handle.token)

    def reap(self, owner: str, live: Collection[str]) -> Reaped:
        """See core.contracts.Executor."""
        found: dict[str, None] = {}  # tokens in order

        def left(env: dict[str, str]) -> bool:
            stale = env.get(OWNER) == owner and env.get(JOB) not in live
            if stale:
                found.setdefault(env.get(JOB, "?"))
            return stale

        for place in sorted(self._workspace.glob("*")) if self._workspace.is_dir() else []:
            job = files.read(place / "job.json")
            if job and job["owner"] == owner and job["token"] not in live:
                found.setdefault(job["token"])
                self._cancel_now(job["token"])
        processes.kill_all(lambda: processes.marked(left))  # also jobs whose folder is gone
        return Reaped(tuple(found))

    # Inside.

    def _place(self, token: str) -> Path:
        return self._workspace / files.slug(token)

    def _handle(self, token: str) -> Handle:
        return Handle(token, str(self._place(token).name))

    def _traces(self, place: Path, *, reported: bool = False) -> bool:
        """Whether a job really started there: a supervisor reported, or this controller started it."""
        if any((place / name).exists() for name in ("exit.json", "supervisor.json")):
            return True
        return not reported and any(self._place(token) == place for token in self._started)

    def _spawn(self, token: str, place: Path) -> None:
        reading, writing = os.pipe()  # neither end is inherited by any other child of ours
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(supervisor_path()), str(place), str(reading)],
                pass_fds=[reading],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=(place / "supervisor.log").open("wb"),
                env={"PATH": os.environ.get("PATH", "")},
            )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._started[token] = (process, writing)
        end = time.monotonic() + _STARTING_S
        while not self._traces(place, reported=True) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)  # until its supervisor has reported, a restart could not find the job

    def _supervisor(self, token: str, place: Path) -> int | None:
        """The pid of the job's supervisor while it lives."""
        if known := files.read(place / "supervisor.json"):
            return int(known["pid"]) if processes.start_time(known["pid"]) == known["start"] else None
        if token in self._started:
            process = self._started[token][0]
            return process.pid if process.poll() is None else None
        return None

    def _observe(self, token: str) -> Observation:
        place = self._place(token)
        alive = self._supervisor(token, place) is not None
        ended = files.read(place / "exit.json")
        if ended is not None:
            self._release_gpus(token)
            return self._ended(token, place, ended)
        if alive:
            known = files.read(place / "supervisor.json")
            began = known["began"] if known else time.monotonic()
            return Observation(token, "running", seconds=time.monotonic() - began, hardware=self._where(place))
        if not place.exists():
            return Observation(token, "lost", reason="there is no trace of the job")
        processes.kill_all(lambda: processes.marked(lambda env: env.get(JOB) == token))
        self._release_gpus(token)
        return Observation(token, "lost", reason="its supervisor was killed", hardware=self._where(place))

    def _ended(self, token: str, place: Path, ended: dict[str, Any]) -> Observation:
        whole = files.read(place / "result.json") is not None
        state, code, reason = states.ended(ended, whole)
        return Observation(token, cast(JobState, state), code, reason, ended["seconds"], 0.0, self._where(place))

    def _where(self, place: Path) -> str:
        return str((files.read(place / "order.json") or {}).get("hardware", ""))

    def _hardware(self, gpus: int) -> str:
        if gpus:
            names = devices.gpu_names()
            return f"{names[0] if names else 'GPU'} ×{gpus}"
        return f"{self._threads} of {devices.cores()} CPU cores"

    def _take_gpus(self, token: str, count: int) -> list[int]:
        taken = {gpu for held in self._held.values() for gpu in held} | self._taken_before()
        free = [gpu for gpu in self._gpus if gpu not in taken]
        if len(free) < count:
            raise OutOfStock(f"{count} GPUs are needed, {len(free)} of {len(self._gpus)} are free")
        self._held[token] = free[:count]
        return free[:count]

    def _taken_before(self) -> set[int]:
        """GPUs of detached jobs that an earlier controller started and that still run."""
        found: set[int] = set()
        for place in self._workspace.glob("*/") if self._config.detach and self._gpus else []:
            job = files.read(place / "job.json")
            if job and job["token"] not in self._started and self._supervisor(job["token"], place) is not None:
                found |= set((files.read(place / "order.json") or {}).get("gpus", []))
        return found

    def _release_gpus(self, token: str) -> None:
        self._held.pop(token, None)

    def _release(self, token: str) -> None:
        self._release_gpus(token)
        process, writing = self._started.pop(token, (None, -1))
        if process is not None:
            os.close(writing)
            process.wait()

    def _cancel_now(self, token: str) -> None:
        end = time.monotonic() + 15
        while time.monotonic() < end:
            try:
                return self.cancel(self._handle(token), 0.0)
            except NotYet:
                time.sleep(0.02)
        raise RuntimeError(f"job {token} cannot be stopped")
