"""Cluster names that carry a study's tag and a machine's name, and the task that SkyPilot is asked to run."""

import hashlib
import json
import math
import re
import shlex
from dataclasses import dataclass
from typing import Any

from overnight_jobs.provider import Program

OWNED = frozenset({"kubernetes", "k8s", "slurm", "ssh"})  # free, and sized by request
WITHOUT_AUTODOWN = frozenset({"hyperbolic", "primeintellect", "verda", "yotta"})  # as SkyPilot 0.14.1 says
PORT_LABEL = "overnight-port"
_PLAIN = re.compile(r"[a-y0-9-]")  # clouds fold case, and "_" and "." into "-": two names must stay two
_ESCAPED = re.compile(r"z([0-9a-f]{2})")


def prefix(tag: str) -> str:
    """What the names of all clusters of a study begin with."""
    return f"on{hashlib.sha256(tag.encode()).hexdigest()[:10]}-"


def cluster_name(tag: str, name: str) -> str:
    """The cluster of a machine: `name` unchanged where it is a-y, digits and dashes, else escaped."""
    escaped = "".join(c if _PLAIN.fullmatch(c) else "".join(f"z{b:02x}" for b in c.encode()) for c in name)
    return f"{prefix(tag)}{escaped}-m"  # it has to end in a letter or digit


def machine_name(cluster: str) -> str:
    """The machine's name, back from its cluster's."""
    escaped = cluster.partition("-")[2].removesuffix("-m")
    parts = _ESCAPED.split(escaped)  # text, hex, text, hex, ..., text
    raw = b"".join(part.encode() if i % 2 == 0 else bytes.fromhex(part) for i, part in enumerate(parts))
    return raw.decode(errors="replace")


@dataclass(frozen=True)
class Hardware:
    """A kind of machine as SkyPilot names it.

    infra: "cloud/region" or "slurm/cluster". instance: its type, None = any. gpu: SkyPilot's name, "" = none.
    """

    infra: str
    instance: str | None = None
    gpu: str = ""
    gpus: int = 0
    spot: bool = False

    _FORM = re.compile(r"(?:(?P<gpu>\S+):(?P<gpus>\d+)|cpu)(?P<spot> spot)? on (?P<infra>\S+)(?: (?P<instance>\S+))?")

    def __str__(self) -> str:
        what = f"{self.gpu}:{self.gpus}" if self.gpu else "cpu"
        where = f" {self.instance}" if self.instance else ""
        return f"{what}{' spot' if self.spot else ''} on {self.infra}{where}"

    @classmethod
    def parse(cls, text: str) -> "Hardware | None":
        """The inverse of `str`; None for a text that is none of it."""
        if (found := cls._FORM.fullmatch(text)) is None:
            return None
        return cls(found["infra"], found["instance"], found["gpu"] or "", int(found["gpus"] or 0), bool(found["spot"]))

    @property
    def cloud(self) -> str:
        """The name of the cloud, in lower case."""
        return self.infra.split("/")[0].lower()

    def resources(self) -> dict[str, Any]:
        """The `resources` of a task that runs on this and on nothing else."""
        found: dict[str, Any] = {"infra": self.infra}
        if self.instance:
            found["instance_type"] = self.instance
        if self.gpu:
            found["accelerators"] = f"{self.gpu}:{self.gpus}"
        if self.spot:
            found["use_spot"] = True
        return found


def own_instance(cpus: float, memory_gb: float | None, gpu: str, gpus: int) -> str:
    """SkyPilot's name of a slice of a Kubernetes or Slurm node."""
    size = f"{max(cpus, 0.1):g}CPU--{max(memory_gb or 4 * cpus, 0.1):g}GB"
    return f"{size}--{gpu}:{gpus}" if gpu else size


def task_text(cluster: str, tag: str, hardware: Hardware, program: Program, ttl_s: float, *, open_port: bool) -> str:
    """The task that runs a program on a machine of its own: JSON, which SkyPilot reads as YAML.

    The environment travels as `secrets`, which SkyPilot does not show in its listings. The
    machine's life is bounded by autodown, whatever runs on it; on Slurm by the allocation's time.
    """
    minutes = max(1, math.ceil(ttl_s / 60))
    resources = hardware.resources()
    resources["labels"] = {"overnight-tag": prefix(tag).rstrip("-"), PORT_LABEL: str(program.port)}
    if open_port:
        resources["ports"] = program.port
    if program.image:
        resources["image_id"] = f"docker:{program.image}"
    task: dict[str, Any] = {"name": cluster, "resources": resources, "run": "exec " + shlex.join(program.command)}
    if program.env:
        task["secrets"] = program.env
    if hardware.cloud not in WITHOUT_AUTODOWN:
        resources["autostop"] = {"idle_minutes": minutes, "down": True, "wait_for": "none"}
    if hardware.cloud == "slurm":  # its autodown does nothing (0.14.1); that one is set marks a whole launch
        task["config"] = {"slurm": {"sbatch_options": {"time": str(minutes)}}}
        resources["autostop"]["idle_minutes"] += 10
    return json.dumps(task, ensure_ascii=False)
