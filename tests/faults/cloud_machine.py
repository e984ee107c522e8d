"""One machine of the faulty cloud: a folder, a real process tree, a bill and a fate."""

import base64
import contextlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

_KEEP = ("PATH", "HOME", "LANG", "OVERNIGHT_CACHE", "PYTHONPATH", "VIRTUAL_ENV", "OMP_NUM_THREADS")


class Machine:
    """One machine: a folder, a process tree, a bill."""

    def __init__(self, number, order, price, folder, fate):
        self.id, self.order, self.price, self.folder, self.fate = f"m-{number:04d}", order, price, folder, fate
        self.made, self.gone, self.paid_until = time.monotonic(), None, None
        self.process, self.exit_code, self.reason, self.status = None, None, "", "provisioning"
        self.shown_from = self.made + float(fate.get("late_s", 0.0))
        self.deletes_refused = int(fate.get("delete_fails", 0))
        self.lock = threading.Lock()
        threading.Thread(target=self.live, daemon=True).start()

    def live(self):
        """The machine's whole life: boot, run the command, keep the time-to-live."""
        order, fate = self.order, self.fate
        end = self.made + order["ttl_s"]
        if not self.sleep(min(float(fate.get("provision_s", 0.0)), order["ttl_s"])):
            return None
        with self.lock:
            if self.gone is None and time.monotonic() < end:
                self.boot()
        deadline = self.made + order["deadline_s"]
        started = time.monotonic()
        warned = None
        while self.process is not None and self.gone is None:
            now = time.monotonic()
            if self.process.poll() is not None:
                if warned is not None:
                    self.over(None, "preempted")
                    self.paid_until = time.monotonic()
                    return None
                self.over(self.process.returncode)
                break
            if "vanish_s" in fate and now - started > fate["vanish_s"]:
                return self.vanish()
            if "preempt_s" in fate and now - started > fate["preempt_s"]:
                if warned is None:
                    warned = now
                    self.send(signal.SIGTERM) if fate.get("warning_s") else None
                if now - warned >= fate.get("warning_s", 0.0):
                    self.kill()
                    self.over(None, "preempted")
                    self.paid_until = time.monotonic()
                    return None
            elif now >= deadline + order["grace_s"]:
                self.kill()
            elif now >= deadline and not self.reason:
                self.reason = "deadline"
                self.send(signal.SIGTERM)
            time.sleep(0.02)
        # Idle but paid for, until somebody deletes it or its time is up.
        if self.sleep(end - time.monotonic()):
            self.kill()
            self.paid_until = self.paid_until or end
            self.status = "exited" if self.exit_code is not None else "expired"
        return None

    def sleep(self, seconds):
        """Whether the machine is still there after so long."""
        end = time.monotonic() + seconds
        while self.gone is None and time.monotonic() < end:
            time.sleep(0.02)
        return self.gone is None

    def boot(self):
        """Start the command in its folder."""
        self.folder.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(self.order["files"]))) as tar:
            tar.extractall(self.folder, filter="data")
        command = [
            sys.executable if word == "python" and not i else word for i, word in enumerate(self.order["command"])
        ]
        env = {name: os.environ[name] for name in _KEEP if name in os.environ} | self.order["env"]
        with (self.folder / "log.txt").open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.status = "running"

    def over(self, code, status="exited"):
        """The command ended: nothing it started lives on."""
        self.kill()
        self.exit_code, self.status = code, status
        self.shown_from = time.monotonic() + float(self.fate.get("late_s", 0.0))

    def send(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self):
        """SIGKILL the session, then whatever else works in the machine's folder."""
        if self.process is not None:
            self.send(signal.SIGKILL)
            self.process.wait()
            for pid in inhabitants(self.folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def vanish(self):
        """The host is gone, with everything on it, and nothing of it is listed or billed any more."""
        with self.lock:
            self.gone = self.gone or time.monotonic()
        self.kill()

    def delete(self, grace_s):
        """Begin, or go on, deleting; whether it is gone."""
        with self.lock:
            if self.process is not None and self.process.poll() is None:
                if self.status != "stopping":
                    self.status, self.stop_at = "stopping", time.monotonic() + grace_s
                    self.send(signal.SIGTERM)
                if time.monotonic() < self.stop_at:
                    return False
            self.kill()
            self.gone = self.gone or time.monotonic()
            return True

    def seconds(self):
        """Billed so far."""
        ends = [end for end in (self.gone, self.paid_until) if end is not None]
        return min([time.monotonic(), *ends]) - self.made

    def facts(self):
        """The truth, for the test's ledger."""
        return {
            "id": self.id, "token": self.order["token"], "tag": self.order["tag"], "alive": self.gone is None,
            "status": self.status, "seconds": round(self.seconds(), 4), "usd": self.seconds() * self.price / 3600,
            "price": self.price, "processes": len(inhabitants(self.folder)), "reason": self.reason,
            "age": time.monotonic() - self.made,
        }  # fmt: skip

    def shown(self):
        """What a customer is told: sometimes late, sometimes in words nobody knows."""
        status = self.status
        if status in ("exited", "preempted") and time.monotonic() < self.shown_from:
            status = "running"
        if (word := self.fate.get("word")) and time.monotonic() - self.made < self.fate.get("word_s", 1e9):
            status = word
        ended = status == "exited"
        return {
            "id": self.id, "token": self.order["token"], "status": status, "hardware": self.order["hardware"],
            "exit_code": self.exit_code if ended else None, "reason": self.reason if ended else "",
            "result": ended and (self.folder / "result.json").exists(),
            "seconds": self.seconds(), "usd": self.seconds() * self.price / 3600,
        }  # fmt: skip

    def artefacts(self):
        """A tar of the outputs asked for, and the log."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for name in [*self.order["outputs"], "log.txt"]:
                if (self.folder / name).exists():
                    tar.add(self.folder / name, name)
        return data.getvalue()


def inhabitants(folder):
    """Living processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                place = str((entry / "cwd").readlink())
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if (place == str(folder) or place.startswith(f"{folder}/")) and state not in "ZX":
                    found.append(int(entry.name))
    return found
