"""Hosts for tests: a real sshd on loopback, and throw-away machines of kernel namespaces, each with its sshd."""

import contextlib
import fcntl
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SSHD = shutil.which("sshd") or next((path for path in ("/usr/sbin/sshd",) if Path(path).exists()), None)
_BRIDGE, _SUBNET = "ovsbr", "10.78.0"
NO_SSHD = "" if _SSHD and shutil.which("ssh-keygen") else "needs sshd and ssh-keygen: apt-get install openssh-server"


def no_namespaces() -> str:
    """Why this machine cannot make hosts of namespaces, "" = it can."""
    if NO_SSHD:
        return NO_SSHD
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare"))):
        return "needs root, ip (iproute2) and unshare (util-linux)"
    made = subprocess.run(["ip", "link", "add", "ovsprobe", "type", "veth", "peer", "name", "ovsprobe2"], check=False,
                          capture_output=True)  # fmt: skip
    subprocess.run(["ip", "link", "del", "ovsprobe"], check=False, capture_output=True)
    return "" if made.returncode == 0 else f"cannot make network interfaces: {made.stderr.decode().strip()}"


class Keys:
    """A host's key and a person's, made once; files that sshd and clients are pointed to."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.user, self.host = folder, folder / "user", folder / "host"
        for path in (self.user, self.host):
            if not path.exists():
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.touch()

    def trust(self, address: str, port: int, key: Path | None = None) -> None:
        """Put a host's key into known_hosts."""
        public = (key or self.host).with_suffix(".pub").read_text().split()[:2]
        name = address if port == 22 else f"[{address}]:{port}"
        with self.known_hosts.open("a") as file:
            file.write(f"{name} {' '.join(public)}\n")

    def config(self, address: str, port: int, pid_file: Path, *environment: str) -> str:
        """The text of an sshd_config. environment: NAME=value that all its sessions have."""
        authorized = self.user.with_suffix(".pub")
        lines = [
            f"Port {port}", f"ListenAddress {address}", f"HostKey {self.host}", f"AuthorizedKeysFile {authorized}",
            f"PidFile {pid_file}", "StrictModes no", "UsePAM no", "PasswordAuthentication no",
            "KbdInteractiveAuthentication no", "MaxStartups 100", "PermitRootLogin yes", "PrintMotd no",
            # Nothing of the person's own: neither their shell's beginning nor their files.
            " ".join(["SetEnv", f"HOME={pid_file.parent}", *environment]),
        ]  # fmt: skip
        return "\n".join(lines) + "\n"


class Sshd:
    """A real sshd on loopback."""

    def __init__(self, folder: Path, keys: Keys, *environment: str) -> None:
        self.keys, self.folder = keys, folder
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):
            Path("/run/sshd").mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        keys.trust("127.0.0.1", self.port)
        (folder / "sshd_config").write_text(keys.config("127.0.0.1", self.port, folder / "pid", *environment))
        self.start()

    @property
    def name(self) -> str:
        """user@host:port."""
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; ready when this returns."""
        command = [_SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        assert reachable("127.0.0.1", self.port), (self.folder / "log").read_text()

    def cut(self) -> None:
        """Break all connections; new ones are taken."""
        for pid in _children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it and all connections."""
        self.cut()
        self.process.kill()
        self.process.wait()
        self.cut()


class Vm:
    """A throw-away machine: network, process, mount and name namespaces of its own, and an sshd in them."""

    def __init__(self, number: int, folder: Path, keys: Keys) -> None:
        self.number, self.folder, self.keys = number, folder, keys
        self.label, self.address = f"ovs{number}", f"{_SUBNET}.{number}"
        self.root = folder / "root"
        folder.mkdir(parents=True, exist_ok=True)
        keys.trust(self.address, 22)
        self._ip("netns", "add", self.label)
        self._ip("link", "add", f"v{self.label}", "type", "veth", "peer", "name", "eth0", "netns", self.label)
        self._ip("link", "set", f"v{self.label}", "master", _BRIDGE, "up")
        self._ip("-n", self.label, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for link in ("eth0", "lo"):
            self._ip("-n", self.label, "link", "set", link, "up")
        self.start()

    @property
    def name(self) -> str:
        """user@host."""
        return f"root@{self.address}"

    def host(self, **more: Any) -> dict[str, Any]:
        """The host as a setting of the executor."""
        return {"host": self.address, "user": "root", "root": str(self.root), **more}

    def start(self) -> None:
        """Boot it."""
        config = self.folder / "sshd_config"
        config.write_text(self.keys.config("0.0.0.0", 22, self.folder / "pid"))
        boot = self.folder / "boot.sh"
        boot.write_text(
            f"hostname {self.label}; mount -t proc proc /proc; mount -t tmpfs tmpfs /run; mkdir -p /run/sshd\n"
            f"exec {_SSHD} -D -e -f {config}\n"
        )
        unshare = ["unshare", "--pid", "--fork", "--kill-child", "--uts", "--mount", "--mount-proc"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.label, *unshare, "sh", str(boot)], stdout=log, stderr=log
            )
        assert reachable(self.address, 22), (self.folder / "log").read_text()

    def unplug(self) -> None:
        """Take the network away; what runs there goes on."""
        self._ip("link", "set", f"v{self.label}", "down")

    def plug(self) -> None:
        """Give the network back."""
        self._ip("link", "set", f"v{self.label}", "up")

    def kill(self) -> None:
        """Power off: everything in it ends at once, and nothing answers any more."""
        self.unplug()
        self.process.kill()  # unshare --kill-child ends its init with it, and the init's end is all others'
        self.process.wait()

    def processes(self, needle: str) -> list[int]:
        """Living processes in it whose environment holds a text, by their ids outside."""
        inside = Path(f"/run/netns/{self.label}").stat().st_ino
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "ns" / "net").stat().st_ino == inside:
                    dead = (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
                    if needle.encode() in (entry / "environ").read_bytes() and not dead:
                        found.append(int(entry.name))
        return found

    def delete(self) -> None:
        """Leave nothing of it."""
        self.kill()
        self._ip("netns", "del", self.label)
        with contextlib.suppress(subprocess.CalledProcessError):
            self._ip("link", "del", f"v{self.label}")

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def machines(count: int, folder: Path) -> Iterator[list[Vm]]:
    """Some machines on a network of their own; one test run at a time has it."""
    with Path("/tmp/overnight-ssh-test.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep()
        keys, made = Keys(folder / "keys"), []
        try:
            subprocess.run(["ip", "link", "add", _BRIDGE, "type", "bridge"], check=True)
            subprocess.run(["ip", "addr", "add", f"{_SUBNET}.1/24", "dev", _BRIDGE], check=True)
            subprocess.run(["ip", "link", "set", _BRIDGE, "up"], check=True)
            for number in range(11, 11 + count):
                made.append(Vm(number, folder / f"vm{number}", keys))
            yield made
        finally:
            for vm in made:
                vm.delete()
            _sweep()


def _sweep() -> None:
    """What a killed test run left of its network; its processes died with their parents' end or the namespace."""
    listed = subprocess.run(["ip", "netns", "list"], check=False, capture_output=True, text=True).stdout
    for name in (line.split()[0] for line in listed.splitlines() if line.startswith("ovs")):
        pids = subprocess.run(["ip", "netns", "pids", name], check=False, capture_output=True, text=True).stdout
        for pid in map(int, pids.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", f"v{name}"], check=False, capture_output=True)
    subprocess.run(["ip", "link", "del", _BRIDGE], check=False, capture_output=True)


def reachable(address: str, port: int, within_s: float = 20.0) -> bool:
    """Whether a server's greeting comes in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1.0) as link:
            if link.recv(4) == b"SSH-":
                return True
        time.sleep(0.05)
    return False


def _children(pid: int) -> list[int]:
    """The processes of sshd below one of them; not what they started for others."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            ours = entry.name.isdigit() and (entry / "comm").read_text().startswith("sshd")
            if ours and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return [*found, *(below for child in found for below in _children(child))]
