"""A real Ray cluster on this machine, a head and two nodes, for tests; nothing of it stays.

By hand: `OVERNIGHT_RAY=…/bin/ray python cluster.py FOLDER` starts one, prints its address and stops it on
Enter. `ray stop` is never used: it ends every cluster of the machine.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

_MARK = "OVERNIGHT_TEST_RAY"
# Cores are counted, not real: enough that no job of a test waits for another test's.
_NODES = {"head": ["--num-cpus=2"], "a": ["--num-cpus=4", "--num-gpus=2"], "b": ["--num-cpus=4", "--num-gpus=1"]}
_CUSTOM = {"a": '{"accelerator_type:A100": 1, "left": 1}', "b": '{"accelerator_type:H100": 1, "right": 1}'}


def why_not() -> str:
    """Why there can be no cluster here; empty where there can."""
    program = os.environ.get("OVERNIGHT_RAY")
    if not program:
        return "OVERNIGHT_RAY does not name a ray executable (pip install 'ray[default]==2.60.0' in a venv of its own)"
    return "" if Path(program).is_file() else f"OVERNIGHT_RAY={program} is no file"


class Cluster:
    """Nodes in one folder, on free ports; each process is known by its environment."""

    def __init__(self) -> None:
        # Ray's sockets need a short path.
        self.folder = Path(tempfile.mkdtemp(prefix="ovray-", dir="/tmp"))
        self._port, dashboard = free_ports(2)
        self.address = f"http://127.0.0.1:{dashboard}"
        self._dashboard = dashboard

    def start(self) -> None:
        """Returns once all nodes are there."""
        local = ["--head", f"--port={self._port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={self._dashboard}"]
        self.node("head", *local)
        for name in _CUSTOM:
            self.node(name)
        until(lambda: len(self.nodes()) == len(_NODES), 120)

    def node(self, name: str, *where: str) -> None:
        """Start a node (again)."""
        listen, grpc = free_ports(2)
        command = [os.environ["OVERNIGHT_RAY"], "start", *(where or [f"--address=127.0.0.1:{self._port}"])]
        command += [*_NODES[name], "--disable-usage-stats", "--object-store-memory=100000000"]
        # Several nodes of one address need ports of their own, or their jobs have no logs.
        command += [f"--dashboard-agent-listen-port={listen}", f"--dashboard-agent-grpc-port={grpc}"]
        command += [f"--resources={_CUSTOM[name]}"] if name in _CUSTOM else []
        env = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "RAY_TMPDIR": str(self.folder),
            "RAY_raylet_start_wait_time_s": "150", "LANG": "C.UTF-8", _MARK: f"{self.folder}/{name}",
        }  # fmt: skip
        (self.folder / "home").mkdir(exist_ok=True)
        with (self.folder / f"{name}.out").open("ab") as output:
            subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True)

    def nodes(self) -> list[str]:
        """The ids of the living nodes."""
        try:
            answer = httpx.get(f"{self.address}/api/v0/nodes?detail=1", timeout=10).json()
            return [each["node_id"] for each in answer["data"]["result"]["result"] if each["state"] == "ALIVE"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return []

    def jobs(self) -> list[dict[str, object]]:
        """What the cluster remembers."""
        return list(httpx.get(f"{self.address}/api/jobs/", timeout=30).json())

    def kill(self, name: str, only: str = "") -> None:
        """SIGKILL the processes of a node (those with a word in their command line)."""
        for pid in self._processes(f"{_MARK}={self.folder}/{name}"):
            with contextlib.suppress(OSError):
                if only in Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace"):
                    os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End all nodes and delete their folder."""
        for _ in range(50):
            found = self._processes(f"{_MARK}={self.folder}/")
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not found:
                break
            time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self, mark: str) -> list[int]:
        return [pid for pid in living() if mark.encode() in environment(pid)]


def living() -> list[int]:
    """All processes that are no zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX":
                    found.append(int(entry.name))
    return found


def environment(pid: int) -> bytes:
    """A process's initial environment, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def until(condition: Callable[[], bool], patience_s: float = 60.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(reason)
    made = Cluster()
    try:
        made.start()
        print(f"executor.address={made.address}", flush=True)
        sys.stdin.readline()
    finally:
        made.stop()
