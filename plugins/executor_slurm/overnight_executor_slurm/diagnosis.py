"""What `doctor` can say of a Slurm cluster before a study starts on it; starts nothing."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from core import Diagnosis, Resources, SetupError
from overnight_executor_slurm import listing, offers, order
from overnight_executor_slurm.commands import Slurm, SlurmError
from overnight_executor_slurm.config import SlurmConfig
from overnight_executor_slurm.listing import Node

_COMMANDS = ("sbatch", "squeue", "sinfo", "scancel", "scontrol")
_SHARED = (
    "nfs",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "gluster",
    "pvfs",
    "orangefs",
    "panfs",
    "weka",
    "cifs",
    "afs",
    "virtiofs",
)


def diagnose(config: SlurmConfig, slurm: Slurm, workspace: Path) -> list[Diagnosis]:
    """See core.contracts.Diagnoses."""
    missing = [name for name in _COMMANDS if shutil.which(name) is None]
    if missing:
        todo = "run Overnight on a login node of the cluster, or install Slurm's client commands (Debian: slurm-client)"
        return [Diagnosis("fail", f"no {', '.join(missing)} on the PATH", todo)]
    try:
        version = slurm.run("sinfo", "--version").strip()
        state = slurm.run("scontrol", "ping").strip().splitlines()[0]
    except (SlurmError, SetupError, IndexError) as error:
        todo = "see `scontrol ping`; SLURM_CONF or /etc/slurm/slurm.conf must name the cluster's controller"
        return [Diagnosis("fail", f"Slurm's controller does not answer: {error}", todo)]
    if "UP" not in state:
        return [Diagnosis("fail", f"{version}: {state}", "wait, or ask the cluster's administrators")]
    found = [Diagnosis("ok", f"{version}; {state}")]
    try:
        found += _partitions(config, slurm)
    except SlurmError as error:
        found.append(Diagnosis("fail", f"the partitions cannot be listed: {error}", "see `sinfo`"))
    return [*found, _folder(workspace)]


def _partitions(config: SlurmConfig, slurm: Slurm) -> Iterator[Diagnosis]:
    everything = slurm.nodes()
    nodes = offers.eligible(config, everything)
    if not nodes:
        others = ", ".join(sorted({node.partition for node in everything})) or "none"
        wanted = config.partition or "the default one"
        said = f"no node in partition {wanted} with the wanted features; partitions: {others}"
        yield Diagnosis("fail", said, "set executor.partition (and executor.constraint)")
        return
    for partition in sorted({node.partition for node in nodes}):
        yield _partition(config, slurm, partition, [node for node in nodes if node.partition == partition])
    try:
        allowed = slurm.would_take(order.placement(config, Resources(), ""))
    except SetupError as error:
        yield Diagnosis("fail", str(error), "mend the setting; `sacctmgr show assoc user=$USER` lists accounts and QOS")
        return
    if not allowed:
        yield Diagnosis(
            "fail", "Slurm says that even a job of one core can never run there", "see `sbatch --test-only`"
        )


def _partition(config: SlurmConfig, slurm: Slurm, name: str, nodes: list[Node]) -> Diagnosis:
    working = [node for node in nodes if node.usable]
    parts = [f"partition {name}: {len(working)} of {len(nodes)} nodes work"]
    if gpus := _gpus(working):
        used = slurm.run("sinfo", "--noheader", "--Node", f"--partition={name}", "--Format=GresUsed:300")
        busy, total = _used(used, config.gres_name), sum(gpus.values())
        kinds = ", ".join(f"{count} {gpu_type or config.gres_name}" for gpu_type, count in sorted(gpus.items()))
        parts.append(f"GPUs: {kinds}; {max(0, total - busy)} of {total} are free")
    else:
        parts.append("no GPUs")
    limit = offers.longest_s(nodes)
    parts.append("jobs of any length" if limit is None else f"jobs up to {limit / 3600:g} h")
    if any(node.preempted for node in nodes):
        parts.append("jobs may be preempted")
    if not working:
        return Diagnosis("warn", "; ".join(parts), "jobs will wait; see `sinfo -R` for why nodes are down")
    return Diagnosis("ok", "; ".join(parts))


def _gpus(nodes: list[Node]) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in nodes:
        for gpu_type, count in node.gpus.items():
            found[gpu_type] = found.get(gpu_type, 0) + count
    return found


def _used(text: str, gres_name: str) -> int:
    return sum(count for line in text.splitlines() for _, count in listing.gpus(line.strip(), gres_name))


def _folder(workspace: Path) -> Diagnosis:
    kind = _file_system(workspace)
    if kind.startswith((*_SHARED, "fuse")):
        return Diagnosis("ok", f"{workspace} is on a network file system ({kind})")
    said = f"{workspace} is on {kind or 'an unknown file system'}, which other machines may not see"
    todo = "put studies where the nodes see them under the same path: dir=/shared/...; try: srun ls -d " + str(
        workspace
    )
    return Diagnosis("warn", said, todo)


def _file_system(path: Path) -> str:
    """The type of the file system that a path, which need not exist yet, is on."""
    best, kind, real = "", "", os.path.realpath(path)
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in mounts.splitlines():
        point, found = line.split()[1:3]
        if len(point) >= len(best) and Path(real).is_relative_to(point):
            best, kind = point, found
    return kind
