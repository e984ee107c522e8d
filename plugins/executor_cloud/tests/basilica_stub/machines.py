"""One machine of the stub: it boots, runs a container again and again, is billed and comes to an end.

Like a Kubernetes pod with restartPolicy Always: a command that ends is started anew in an empty
folder after a back-off, whatever its exit code, until the machine is deleted or its time is up.
"""

import os
import threading
import time
from datetime import UTC, datetime

import cage

_TICK_S = 0.01
# Where in its boot a machine says it is.
_PHASES = ((0.1, "pending"), (0.35, "scheduling"), (0.9, "pulling"), (1.0, "starting"))


def stamp(epoch=None):
    """RFC 3339, as the API writes times."""
    return datetime.fromtimestamp(time.time() if epoch is None else epoch, UTC).isoformat().replace("+00:00", "Z")


class Machine:
    """`fate` says what is to become of it; it may change while the machine lives."""

    def __init__(self, identity, order, usd_per_hour, hardware, folder, fate, house):
        self.id, self.order, self.usd_per_hour, self.hardware = identity, order, usd_per_hour, hardware
        self.folder, self.fate, self.house = folder, fate, house
        self.name, self.port = order["instanceName"], order["port"]
        self.gpus = ((order.get("resources") or {}).get("gpus") or {}).get("count", 0)
        self.made, self.made_at, self.updated_at = time.monotonic(), time.time(), time.time()
        self.boots_from, self.pod, self.runs_of_pods_before = self.made, 0, 0
        self.ran_from = self.paid_until = self.gone = self.delete_asked = self.stopping_since = None
        self.how, self.stage, self.reason, self.exit_code = "", "boot", "", None
        self.runs, self.process, self.network, self.events = 0, None, None, []
        self.deletes_refused = int(fate.get("delete_fails", 0))
        self.share_token = "" if order.get("public", False) else f"share-{identity[:8]}"
        self.lock = threading.RLock()
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()

    # Its life, in a thread of its own.

    def live(self):
        """Boot, run, and run again, until something ends it."""
        if self.boots():
            self.ran_from = time.monotonic()
            self.network = cage.new_network() if self.house.cage.networks else None
            if self.network is None:
                self.port = cage.free_port()
            while self.gone is None and self.stage != "failed":
                self.start()
                while self.goes_on() and self.process.poll() is None:
                    time.sleep(_TICK_S)
                self.rest()
        while self.goes_on():
            time.sleep(_TICK_S)

    def boots(self):
        """Whether it gets as far as running."""
        end = self.made + self.boot_s()
        if self.boot_s() < 3600:
            self.note("Scheduled", f"Successfully assigned {self.id} to node-1")
        else:
            self.note("FailedScheduling", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
        while self.goes_on():
            if time.monotonic() >= end:
                if self.fate.get("fail"):
                    self.fail(self.fate["fail"])
                return self.stage != "failed"
            time.sleep(_TICK_S)
            end = self.made + self.boot_s()
        return False

    def boot_s(self):
        return float(self.fate.get("provision_s", self.house.boot_s))

    def start(self):
        """A new container in an empty folder."""
        with self.lock:
            if self.gone is not None or self.stage == "failed":
                return
            self.runs += 1
            room = self.folder / f"run-{self.runs}"
            room.mkdir(parents=True)
            env = {name: os.environ[name] for name in self.house.image_env if name in os.environ}
            env |= self.order.get("env") or {}
            if self.network is None:
                env["OVERNIGHT_PORT_OVERRIDE"] = str(self.port)
            command = [*(self.order.get("command") or []), *(self.order.get("args") or [])]
            with self.log().open("wb") as log:
                self.process = self.house.cage.start(
                    command or ["sleep", "infinity"], cwd=room, env=env, stdout=log, stderr=log
                )
            self.turn("running" if self.stopping_since is None else "terminating")
            self.note("Started", f"Started container (run {self.runs})")

    def rest(self):
        """The command ended: back off before it is started anew."""
        if self.gone is not None or self.stage == "failed":
            return
        self.exit_code = self.process.wait()
        self.kill()
        if self.stage == "running":
            self.turn("waiting")
            self.note("BackOff", f"Back-off restarting failed container (exit code {self.exit_code})")
        end = time.monotonic() + (self.boot_s() if self.stage == "boot" else self.house.backoff_s)
        while self.goes_on() and self.stage != "failed" and (time.monotonic() < end or self.stage == "terminating"):
            time.sleep(_TICK_S)

    def goes_on(self):
        """Whether it is still there; carries out whatever is due by now."""
        with self.lock:
            now, fate = time.monotonic(), self.fate
            if self.gone is not None:
                return False
            if self.order.get("ttlSeconds") and now >= self.made + self.order["ttlSeconds"]:
                return self.end("expired")
            if self.delete_asked is not None and now >= self.delete_asked + float(fate.get("delete_late_s", 0.0)):
                return self.stop("terminating", self.house.grace_s) or self.end("deleted")
            if self.ran_from is None or self.stage == "failed":
                return True
            if "vanish_s" in fate and now >= self.ran_from + fate["vanish_s"]:
                return self.end("vanished")
            if "preempt_s" in fate and now >= self.ran_from + fate["preempt_s"]:
                if self.stop(self.stage, float(fate.get("warning_s", 0.0))):
                    return True
                match fate.get("preempt_ends", "failed"):
                    case "gone":
                        return self.end("preempted")
                    case "moved":
                        self.move()
                    case _:
                        self.how = "preempted"
                        self.fail("Preempted")
            return True

    def stop(self, stage, grace_s):
        """Begin to stop, or go on; whether its command may still run."""
        now = time.monotonic()
        if self.stopping_since is None:
            self.stopping_since = now
            self.turn(stage)
            self.note("Killing", "Stopping container main")
            if grace_s and self.process is not None:
                self.house.cage.warn(self.process)
        ended = self.process is None or self.process.poll() is not None
        return now < self.stopping_since + grace_s and not ended

    def move(self):
        """A new pod on another node, with nothing of the old one; the deployment stays."""
        self.kill()
        self.fate = {name: value for name, value in self.fate.items() if name != "preempt_s"}
        self.boots_from, self.stopping_since = time.monotonic(), None
        self.pod, self.runs_of_pods_before = self.pod + 1, self.runs
        self.turn("boot")
        self.note("Preempted", "Pod was preempted; a new one is scheduled")

    def fail(self, reason):
        """It stays to be seen, neither running nor billed."""
        with self.lock:
            self.kill()
            self.reason, self.paid_until, self.stopping_since = reason, time.monotonic(), None
            self.turn("failed")
            self.note(reason, f"Container main: {reason}")

    def end(self, how):
        """Gone, with everything on it."""
        with self.lock:
            if self.gone is None:
                self.kill()
                self.gone, self.how = time.monotonic(), how if not self.how else f"{self.how}, then {how}"
                if self.network is not None:
                    os.close(self.network)
        return False

    def kill(self):
        if self.process is not None:
            self.house.cage.kill(self.process, self.folder)

    def turn(self, stage):
        self.stage, self.updated_at = stage, time.time()

    def note(self, reason, message):
        kind = "Warning" if reason in ("BackOff", "FailedScheduling", "Preempted", self.fate.get("fail")) else "Normal"
        event = {"type": kind, "reason": reason, "message": message, "count": 1, "last_timestamp": stamp()}
        self.events.append(event)

    # What others ask of it.

    def delete(self):
        """Ask for its end, which comes a little later."""
        with self.lock:
            if self.delete_asked is None:
                self.delete_asked = time.monotonic()
                if not self.fate.get("delete_late_s") and not self.house.grace_s:
                    self.end("deleted")

    def connect(self, timeout_s):
        """A connection to the program in it, or OSError."""
        with self.lock:  # the handle of its network closes with it
            if self.gone is not None or self.ran_from is None or self.runs == 0:
                raise ConnectionRefusedError("no healthy upstream")
            line = cage.new_line(self.network)
        line.settimeout(timeout_s)
        try:
            line.connect((cage.ADDRESS if self.network is not None else "127.0.0.1", self.port))
        except OSError:
            line.close()
            raise
        return line

    def phase(self):
        """The granular phase while it boots."""
        share = (time.monotonic() - self.boots_from) / max(self.boot_s(), 1e-9)
        return next((name for until, name in _PHASES if share < until), "starting")

    def restarts(self):
        """Of the present pod's container."""
        return max(self.runs - self.runs_of_pods_before - 1, 0)

    def log(self):
        """The file of the present container, or of the last one while none runs; earlier logs are lost."""
        return self.folder / f"run-{max(self.runs, 1)}.log"

    def seconds(self):
        """Billed so far: from when it ran until it was gone."""
        if self.ran_from is None:
            return 0.0
        ends = [end for end in (self.gone, self.paid_until) if end is not None]
        return max(0.0, min([time.monotonic(), *ends]) - self.ran_from)

    def usd(self):
        return self.seconds() * self.usd_per_hour / 3600

    def facts(self, known):
        """The truth, for the test's ledger."""
        gone = None if self.gone is None else self.made_at + self.gone - self.made
        return {
            "id": self.id, "name": self.name, "made": self.made_at, "gone": gone, "alive": self.gone is None,
            "seconds": self.seconds(), "usd": self.usd(), "usd_per_hour": self.usd_per_hour,
            "hardware": self.hardware, "gpus": self.gpus, "ended": self.how, "stage": self.stage,
            "reason": self.reason, "runs": self.runs, "exit_code": self.exit_code, "folder": str(self.folder),
            "processes": len(cage.inhabitants(self.folder, known)), "order": self.order,
        }  # fmt: skip
