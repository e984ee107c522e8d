"""The diagnosis: what a person hears of each host before anything is spent."""

from collections.abc import Iterable

from core import Diagnosis
from overnight_executor_ssh import placing
from overnight_executor_ssh.config import SshConfig
from overnight_executor_ssh.host import Host
from overnight_jobs.far_side import FarError, FarGone

_LITTLE_DISK_GB = 10.0


def diagnose(hosts: Iterable[Host], config: SshConfig) -> list[Diagnosis]:
    """Reachable, let in, what it has, what its environment lacks: host by host. Installs nothing."""
    hosts = list(hosts)
    if not hosts:
        return [Diagnosis("fail", "executor.hosts is empty", "name hosts, e.g. 'executor.hosts=[me@gpu1]'")]
    placing.learn(hosts, 0.0, 2 * config.connect_timeout_s + 3.0)
    return [line for host in hosts for line in _host(host, config)]


def _host(host: Host, config: SshConfig) -> list[Diagnosis]:
    if host.refused is not None:
        return [Diagnosis("fail", host.refused.said, host.refused.todo)]
    if host.facts is None or host.trouble:
        todo = f"is it switched on, and does `ssh {host.name}` work from here?"
        return [Diagnosis("fail", f"{host.name} cannot be reached ({host.trouble})", todo)]
    facts = host.facts
    gpus = f"{len(facts['gpus'])}× {facts['gpus'][0]}, {facts['free_gpus']} free" if facts["gpus"] else "no GPU"
    found = [
        Diagnosis(
            "ok",
            f"{host.name}: reachable, our key is accepted; Python {facts['python']}, {gpus}, {facts['cpus']} cores, "
            f"{facts['memory_gb']:g} GiB of memory; {host.slots} jobs at once",
        )
    ]
    if facts["disk_free_gb"] < _LITTLE_DISK_GB:
        said = f"{host.name}: {facts['disk_free_gb']:g} GiB of disk are free below {facts['root']}"
        found.append(Diagnosis("warn", said, "free some, or set executor.root to a folder on another disk"))
    return [*found, _environment(host)]


def _environment(host: Host) -> Diagnosis:
    name = host.name
    try:
        ready = host.attempt(host.environment.peek)
    except (FarGone, FarError) as error:
        return Diagnosis("fail", f"{name}: {error}", "ask again")
    if ready.state == "failed":
        return Diagnosis("fail", ready.said, ready.todo)
    if ready.state == "absent":
        return Diagnosis("warn", f"{name}: it has no environment yet: {ready.said}", "the first job waits for that")
    if ready.state == "installing":
        return Diagnosis("ok", f"{name}: {ready.said}")
    if ready.missing:
        said = f"{name}: {ready.python} lacks {', '.join(ready.missing)}, which plugins use that are installed here"
        return Diagnosis("warn", said, "install there what your task needs, or set executor.python=auto")
    return Diagnosis("ok", f"{name}: its environment is ready ({ready.python})")
