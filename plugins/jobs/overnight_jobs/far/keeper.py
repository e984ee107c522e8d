"""The keeper: the jobs of one machine's root folder: starts, observes and stops them.

Standard library only: loaded by path on the far side. It holds no state but files: any call may be
made by another process than the last one.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import devices  # beside this file, not in a package: -I -S has no site-packages
import environment
import files
import places
import processes
import states
from store import Store

_STARTING_S = 10.0


class Busy(Exception):
    """There is no free GPU for this job just now."""


class Keeper:
    """Jobs below `root`: jobs/SLUG is a job's folder, cache/ what jobs share, blobs/ and code/ their files.

    tied: jobs end with this process, whatever ends it; else they live on until their deadline.
    jobs: the folder below root that is this keeper's alone, where several share the rest.
    """

    def __init__(self, root: Path, tied: bool = False, jobs: str = "jobs") -> None:
        self.root = root.absolute()
        self.tied = tied
        self.ties: dict[str, int] = {}  # by slug, the end of a pipe that closes with this process
        self.jobs = self.root / jobs
        self.store = Store(self.root)

    def start(self, order: dict[str, Any]) -> None:
        """Start a job once: the same slug again starts nothing. Raises Busy, ValueError, OSError.

        order: slug, token, owner, command, env, files (path → [digest, mode]), code (digest of a
        bundle or None), python (interpreter), gpus (how many), gpu_ids (which may be used, None =
        all), deadline_s, grace_s, outputs, max_log_bytes, limits, confine, threads.
        """
        with self._locked():
            place = self._place(order["slug"])
            if not self._traces(place):
                shutil.rmtree(place, ignore_errors=True)  # a folder that a killed start half made
                gpus = self._free_gpus(order["gpus"], order.get("gpu_ids"))
                self._make(place, order, gpus)
                self._spawn(place)

    def there(self, slug: str) -> bool:
        """Whether a job of this slug was started here and not deleted."""
        return self._traces(self._place(slug))

    def observe(self, slug: str) -> dict[str, Any]:
        """A job's state, exit_code, reason, seconds and hardware. Of one that is lost, nothing goes on."""
        place = self._place(slug)
        seen = self._look(place)
        if seen["state"] == "lost" and place.exists():
            with self._locked():  # a start that is under way comes first: its job has a folder, but no supervisor yet
                seen = self._look(place)
                if seen["state"] == "lost":
                    self._kill_marked((files.read(place / "order.json") or {}).get("token", slug))
        return seen

    def read(self, slug: str, stream: str, offset: int, most: int = 1 << 20) -> bytes:
        """Bytes of a job's log or metrics from `offset` on."""
        try:
            with (self._place(slug) / files.STREAMS[stream]).open("rb") as file:
                file.seek(offset)
                return file.read(most)
        except FileNotFoundError:
            return b""

    def cancel(self, slug: str, token: str, grace_s: float) -> bool:
        """Stop a job and delete all of it; False while it is still going."""
        with self._locked():  # not while its start is under way, which nobody could stop yet
            return self._cancel(self._place(slug), token, grace_s)

    def reap(self, owner: str, live: list[str]) -> list[str]:
        """Stop and delete the jobs of `owner` whose token is not in `live`; returns their tokens."""
        found: dict[str, None] = {}
        for place in sorted(self.jobs.glob("*")) if self.jobs.is_dir() else ():
            job = files.read(place / "job.json")
            if job and job["owner"] == owner and job["token"] not in live:
                found.setdefault(job["token"])
                end = time.monotonic() + 15
                while not self.cancel(place.name, job["token"], 0.0) and time.monotonic() < end:
                    time.sleep(0.02)

        def left(env: dict[str, str]) -> bool:
            stale = env.get(environment.OWNER) == owner and env.get(environment.JOB) not in live
            if stale:
                found.setdefault(env.get(environment.JOB, "?"))
            return stale

        processes.kill_all(lambda: processes.marked(left))  # also jobs whose folder is gone
        self.store.forget_old()
        return list(found)

    def kill_everything(self) -> None:
        """End all jobs at once: the machine is going away."""
        for place in self.jobs.glob("*") if self.jobs.is_dir() else ():
            job = files.read(place / "job.json") or {}
            while not self.cancel(place.name, job.get("token", ""), 0.0):
                time.sleep(0.02)

    def facts(self) -> dict[str, Any]:
        """What this machine has and what of it is free."""
        names = devices.gpu_names()
        taken = self._taken()
        disk = shutil.disk_usage(self.root if self.root.exists() else Path.home())
        return {
            "python": sys.version.split()[0],
            "cpus": devices.cores(),
            "memory_gb": round(devices.memory_gb(), 2),
            "gpus": names,
            "gpu_ids": devices.gpu_ids(),
            "free_gpus": len([gpu for gpu in devices.gpu_ids() if gpu not in taken]),
            "disk_free_gb": round(disk.free / 2**30, 1),
            "root": str(self.root),
        }

    # Inside.

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _place(self, slug: str) -> Path:
        place = files.inside(self.jobs, slug)
        if place.parent != self.jobs:
            raise ValueError(f"{slug!r} is no name of a job")
        return place

    def _cancel(self, place: Path, token: str, grace_s: float) -> bool:
        pid = self._supervisor(place)
        if pid is not None:
            asked = files.read(place / "cancel.json")
            if asked is None:
                files.write(place / "cancel.json", {"grace_s": grace_s, "asked": time.monotonic()})
                processes.send([pid], 15)
            elif time.monotonic() > asked["asked"] + grace_s + 10:
                processes.send([pid], 9)
            return False
        self._kill_marked(token)
        if tmp := (files.read(place / "order.json") or {}).get("tmp"):
            shutil.rmtree(tmp, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)
        if (tie := self.ties.pop(place.name, None)) is not None:
            os.close(tie)
        return True

    def _look(self, place: Path) -> dict[str, Any]:
        told = files.read(place / "order.json") or {}
        seen = {
            "state": "running",
            "exit_code": None,
            "reason": "",
            "seconds": 0.0,
            "hardware": told.get("hardware", ""),
        }
        alive = self._supervisor(place) is not None
        report = files.read(place / "exit.json")
        if report is not None:
            whole = files.read(place / "result.json") is not None
            seen["state"], seen["exit_code"], seen["reason"] = states.ended(report, whole)
            return seen | {"seconds": report["seconds"]}
        if alive:
            known = files.read(place / "supervisor.json") or {}
            return seen | {"seconds": time.monotonic() - known.get("began", time.monotonic())}
        if not place.exists():
            return seen | {"state": "lost", "reason": "there is no trace of the job"}
        return seen | {"state": "lost", "reason": "its supervisor was killed"}

    def _traces(self, place: Path) -> bool:
        return any((place / name).exists() for name in ("exit.json", "supervisor.json"))

    def _supervisor(self, place: Path) -> int | None:
        known = files.read(place / "supervisor.json")
        if known and processes.start_time(known["pid"]) == known["start"]:
            return int(known["pid"])
        return None

    def _kill_marked(self, token: str) -> None:
        if token:
            processes.kill_all(lambda: processes.marked(lambda env: env.get(environment.JOB) == token))

    def _taken(self) -> set[int]:
        found: set[int] = set()
        for place in self.jobs.glob("*/") if self.jobs.is_dir() else ():
            if self._supervisor(place) is not None:
                found |= set((files.read(place / "order.json") or {}).get("gpus", []))
        return found

    def _free_gpus(self, count: int, allowed: list[int] | None) -> list[int]:
        if not count:
            return []
        ids = devices.gpu_ids() if allowed is None else allowed
        taken = self._taken()
        free = [gpu for gpu in ids if gpu not in taken]
        if len(free) < count:
            raise Busy(f"{count} GPUs are needed, {len(free)} of {len(ids)} are free")
        return free[:count]

    def _make(self, place: Path, order: dict[str, Any], gpus: list[int]) -> None:
        partial = place.with_name(f"{place.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, (digest, mode) in order["files"].items():
            self.store.place(digest, mode, files.inside(partial, name))
        env = environment.job_environment(
            order["token"], order["owner"], order["env"], order.get("keep_env", ()), gpus, order.get("threads") or 1
        )
        env.setdefault("OVERNIGHT_CACHE", str(self.root / "cache"))
        if order.get("code"):
            path = [str(self.store.unpacked(order["code"])), *filter(None, [env.get("PYTHONPATH")])]
            env["PYTHONPATH"] = os.pathsep.join(path)
        confine, tmp = None, None
        if order.get("confine"):
            confine = places.confinement(self.jobs, place, env, ())
            tmp = places.private_tmp(self.jobs, place)
            if tmp is not None:
                tmp.mkdir(mode=0o700, exist_ok=True)
        command = list(order["command"])
        if command[0] == "python":
            command[0] = order.get("python") or sys.executable
        names = devices.gpu_names() if gpus else []
        files.write(partial / "job.json", {key: order[key] for key in ("token", "owner", "outputs")})
        files.write(
            partial / "order.json",
            {
                "folder": str(place), "command": command, "env": env, "token": order["token"],
                "deadline_s": order["deadline_s"], "grace_s": order["grace_s"],
                "max_log_bytes": order["max_log_bytes"], "gpus": gpus, "detach": not self.tied, "confine": confine,
                "tmp": None if tmp is None else str(tmp), "limits": order.get("limits") or {},
                "hardware": f"{names[0] if names else 'GPU'} ×{len(gpus)}" if gpus else f"{devices.cores()} CPU cores",
            },
        )  # fmt: skip
        partial.rename(place)

    def _spawn(self, place: Path) -> None:
        reading, writing = os.pipe()
        with (place / "supervisor.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py")), str(place), str(reading)],
                pass_fds=[reading],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={"PATH": os.environ.get("PATH", "")},
            )
        os.close(reading)
        if self.tied:
            self.ties[place.name] = writing
        else:
            os.close(writing)  # it is detached: nobody's death ends it
        end = time.monotonic() + _STARTING_S
        while not self._traces(place) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)  # until its supervisor has reported, nobody could find the job
        if not self._traces(place):
            said = (place / "supervisor.log").read_text(errors="replace")[-500:].strip()
            shutil.rmtree(place, ignore_errors=True)
            raise OSError(f"the job's supervisor did not start: {said or 'it said nothing'}")


def short_root(path: str) -> Path:
    """The root folder as given: `~` is the home, "" a private folder below the temporary one."""
    if path:
        return Path(os.path.expanduser(path))
    name = f"overnight-{os.getuid()}-{hashlib.sha256(str(Path.home()).encode()).hexdigest()[:6]}"
    return Path(tempfile.gettempdir()) / name
