"""A real Slurm cluster of two nodes on this machine, with fake GPUs, for tests; nothing of it stays.

By hand: `python cluster.py FOLDER` starts one, prints the variable to export, and stops it on Enter or SIGTERM.
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
from pathlib import Path

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scontrol", "scancel")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_CONF = """
ClusterName=overnighttest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=15
MinJobAge=300
KillWait=5
JobRequeue=1
GresTypes=gpu
SlurmdParameters=config_overrides
MpiDefault=none
PropagateResourceLimits=NONE
NodeName=ov1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=4000 Gres=gpu:a100:2
NodeName=ov2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=4000 Gres=gpu:h100:2
PartitionName=spot Nodes=ov1,ov2 Default=YES MaxTime=1:00:00 PriorityTier=1 PreemptMode=REQUEUE GraceTime=15 State=UP
PartitionName=abrupt Nodes=ov1,ov2 MaxTime=1:00:00 PriorityTier=1 PreemptMode=REQUEUE GraceTime=0 State=UP
PartitionName=urgent Nodes=ov1,ov2 MaxTime=1:00:00 PriorityTier=10 PreemptMode=OFF State=UP
"""
_GRES = """
NodeName=ov1 Name=gpu Type=a100 File={folder}/gpu[0-1]
NodeName=ov2 Name=gpu Type=h100 File={folder}/gpu[2-3]
"""


def why_not() -> str:
    """Why there can be no cluster here; empty where there can."""
    if missing := [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]:
        return f"no {', '.join(missing)} (apt-get install slurmctld slurmd slurm-client munge)"
    return "" if os.geteuid() == 0 else "two slurmd on one machine need root here"


class Cluster:
    """Daemons in one folder, on free ports, stopped by pid. conf: what SLURM_CONF must be."""

    def __init__(self, folder: Path) -> None:
        # A socket's path may have 107 characters only, and pytest's folders are deep.
        self.folder = Path(tempfile.mkdtemp(prefix="ovslurm-", dir=folder))
        self.conf = self.folder / "slurm.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._env = {"PATH": _PATH, "SLURM_CONF": str(self.conf), "LANG": "C.UTF-8"}

    def start(self) -> None:
        """Returns once both nodes are idle."""
        for name in ("state", "spool.ov1", "spool.ov2"):
            (self.folder / name).mkdir()
        for number in range(4):
            os.mknod(self.folder / f"gpu{number}", 0o666 | 0o020000, os.makedev(1, 3))
        told = {"host": socket.gethostname().partition(".")[0], "folder": self.folder, "ports": _free_ports(3)}
        self.conf.write_text(_CONF.format(**told))
        (self.folder / "gres.conf").write_text(_GRES.format(**told))
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o600)
        self._run("munged", "--foreground", "--force", *(f"--{what}={self.folder}/munge.{what.split('-')[0]}" for what
                  in ("key-file", "socket", "pid-file", "log-file", "seed-file")))  # fmt: skip
        self.until(lambda: (self.folder / "munge.socket").exists())
        self.controller()
        self.node("ov1")
        self.node("ov2")
        self.until(lambda: self.ask("sinfo", "-h", "-N", "-p", "spot", "-o", "%T").split() == ["idle"] * 2)

    def controller(self) -> None:
        """Start slurmctld (again)."""
        self._run("slurmctld", "-D")

    def node(self, name: str) -> None:
        """Start a node's slurmd (again)."""
        self._run("slurmd", "-D", "-N", name, key=name)

    def ask(self, *command: str) -> str:
        """The output of a Slurm command; empty where it fails."""
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout if done.returncode == 0 else ""

    def away(self) -> None:
        """End slurmctld in good order; `controller` brings it back. (One that is killed forgets its last
        seconds, and drains the nodes of jobs that it finds there and does not know.)"""
        daemon = self._daemons.pop("slurmctld")
        daemon.terminate()
        daemon.wait(60)

    def kill(self, name: str) -> None:
        """SIGKILL a daemon; a node with all that runs on it, at one instant."""
        daemon = self._daemons.pop(name)
        pids = [daemon.pid, *(_jobs_of(name, self.conf) if name in ("ov1", "ov2") else [])]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        daemon.wait()

    def stop(self) -> None:
        """End all daemons, jobs and their folder."""
        for line in self.ask("squeue", "-h", "-o", "%i").split():
            self.ask("scancel", line)
        with contextlib.suppress(AssertionError):
            self.until(lambda: not self.ask("squeue", "-h", "-o", "%i"), 15)
        for name in list(self._daemons)[::-1]:
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def until(self, condition: object, patience_s: float = 60.0) -> None:
        """Wait for a condition (a function without arguments)."""
        end = time.monotonic() + patience_s
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < end, f"the cluster in {self.folder} is not as expected"
            time.sleep(0.1)

    def _run(self, program: str, *arguments: str, key: str = "") -> None:
        found = shutil.which(program, path=_PATH)
        assert found, program
        with (self.folder / f"{key or program}.out").open("ab") as output:
            self._daemons[key or program] = subprocess.Popen(
                [found, *arguments], env=self._env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )


def _jobs_of(node: str, conf: Path) -> list[int]:
    """The processes of a node's jobs: those that carry its mark, all below them, and what Slurm set over them."""
    parents, marked, stewards = {}, set(), set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                pid = int(entry.name)
                parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                environ = (entry / "environ").read_bytes().split(b"\0")
                if {f"SLURMD_NODENAME={node}".encode(), f"SLURM_CONF={conf}".encode()} <= set(environ):
                    marked.add(pid)
                if (entry / "cmdline").read_bytes().startswith(b"slurmstepd:"):
                    stewards.add(pid)
    found = [*({parents[pid] for pid in marked} & stewards), *marked]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


def _free_ports(count: int) -> list[int]:
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
    made = Cluster(Path(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        made.start()
        print(f"export SLURM_CONF={made.conf}", flush=True)
        sys.stdin.readline()
    finally:
        made.stop()
