"""Executor `example_subprocess`: plain subprocesses in folders; state on disk, no supervisor."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from core import Caps, Handle, Manifest, NotYet, Observation, Offer, PluginConfig, Reaped

_KEEP = ("PATH", "HOME", "LANG", "OVERNIGHT_CACHE", "PYTHONPATH", "VIRTUAL_ENV")
# Ends the command at its deadline also when nobody looks, and says how it ended.
_WRAPPER = """
import json, os, subprocess, sys, threading
folder, deadline, command = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
process = subprocess.Popen(command)
late = threading.Event()
timer = threading.Timer(deadline, lambda: (late.set(), process.kill()))
timer.daemon = True
timer.start()
code = process.wait()
with open(os.path.join(folder, "exit.partial"), "w") as file:
    json.dump({"code": code, "reason": "deadline" if late.is_set() else ""}, file)
os.replace(os.path.join(folder, "exit.partial"), os.path.join(folder, "exit.json"))
"""


class SubprocessExecutor:
    """Runs jobs as plain subprocesses that outlive the controller."""

    class Config(PluginConfig):
        """slots: jobs at once. usd_per_hour: what a job is said to cost."""

        slots: int = 2
        usd_per_hour: float = 0.0

    def __init__(self, config, workspace):
        self._config = config
        self._workspace = workspace
        self._lock = threading.Lock()
        self._processes = {}

    def caps(self):
        return Caps(slots=self._config.slots, detached=True)

    def offers(self, request):
        return [] if request.gpus else [Offer("a subprocess", self._config.usd_per_hour)]

    def submit(self, job, token):
        with self._lock:
            place = self._place(token)
            if (place / "pid").exists():
                return Handle(token, place.name)
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            for name, source in job.files.items():
                target = place / name
                target.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
            about = {"token": token, "owner": job.owner, "outputs": list(job.outputs)}
            (place / "about.json").write_text(json.dumps(about))
            command = [sys.executable if word == "python" and not i else word for i, word in enumerate(job.command)]
            env = {name: os.environ[name] for name in _KEEP if name in os.environ} | job.env
            with (place / "log.txt").open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-c", _WRAPPER, str(place), str(job.deadline_s), *command],
                    cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            (place / "pid").write_text(str(process.pid))
            self._processes[token] = process
            return Handle(token, place.name)

    def find(self, token):
        place = self._place(token)
        return Handle(token, place.name) if (place / "pid").exists() else None

    def poll(self, handles):
        return [self._observe(handle.token) for handle in handles]

    def logs(self, handle, offset, stream="log"):
        path = self._place(handle.token) / ("log.txt" if stream == "log" else "metrics.jsonl")
        if not path.exists():
            return b"", offset
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(1 << 20)
        return data, offset + len(data)

    def fetch(self, handle, dest):
        place, partial = self._place(handle.token), dest.with_name(dest.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        about = json.loads((place / "about.json").read_text()) if place.exists() else {"outputs": []}
        for name in [*about["outputs"], "log.txt"]:
            source, target = place / name, partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            elif source.exists():
                shutil.copy(source, target)
        shutil.rmtree(dest, ignore_errors=True)
        partial.rename(dest)
        found = sorted(path for path in dest.rglob("*") if path.is_file())
        return Manifest({str(p.relative_to(dest)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found})

    def cancel(self, handle, grace_s):
        place = self._place(handle.token)
        if not place.exists():
            return
        pid = int((place / "pid").read_text())
        if self._alive(handle.token, pid):
            asked = place / "cancelled"
            if not asked.exists():
                asked.write_text(str(time.monotonic()))
                _signal(pid, signal.SIGTERM)
            elif time.monotonic() > float(asked.read_text()) + grace_s:
                _signal(pid, signal.SIGKILL)
            raise NotYet(handle.token)
        shutil.rmtree(place)

    def reap(self, owner, live):
        reaped = []
        for about in self._workspace.glob("*/about.json"):
            job = json.loads(about.read_text())
            if job["owner"] != owner or job["token"] in live:
                continue
            reaped.append(job["token"])
            while True:
                try:
                    self.cancel(Handle(job["token"], ""), 0.0)
                    break
                except NotYet:
                    time.sleep(0.02)
        return Reaped(tuple(reaped))

    def _place(self, token):
        return self._workspace.absolute() / hashlib.sha256(token.encode()).hexdigest()[:24]

    def _observe(self, token):
        place = self._place(token)
        # Looked at first: a process that ends in between has left its exit.json by then.
        there = (place / "pid").exists() and self._alive(token, int((place / "pid").read_text()))
        if (place / "exit.json").exists():
            ended = json.loads((place / "exit.json").read_text())
            whole = ended["code"] == 0 and (place / "result.json").exists()
            return Observation(token, "succeeded" if whole else "failed", ended["code"], ended["reason"], 1.0)
        if not there:
            return Observation(token, "lost", reason="the process is gone")
        return Observation(token, "running", seconds=0.0)

    def _alive(self, token, pid):
        if token in self._processes:
            return self._processes[token].poll() is None
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False


def _signal(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
