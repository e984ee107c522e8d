"""What squeue and sinfo print, as values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Separated by a character that no field before the last one has; these are values of squeue and sinfo.
QUEUE_FORMAT = "%i|%T|%N|%M|%b|%j|%k|%r|%Z"
NODES_FORMAT = "%N|%P|%T|%c|%m|%l|%M|%f|%G"

# States in which a job neither holds nodes nor waits for any. All others, unknown ones too, are not its end.
_ENDED = frozenset(("CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"))
_BROKEN = frozenset(("BOOT_FAIL", "LAUNCH_FAILED", "NODE_FAIL", "RECONFIG_FAIL", "REVOKED"))
_UNUSABLE = ("down", "drain", "fail", "maint", "inval", "unk", "powering_down", "reboot", "blocked", "future", "err")


@dataclass(frozen=True)
class Record:
    """A job as Slurm's controller knows it. id: Slurm's. state: its long word. seconds: run time.
    gres: what it asked for on a node. reason: why it is pending, or how it ended. folder: where it runs."""

    id: str
    state: str
    node: str = ""
    seconds: float = 0.0
    gres: str = ""
    name: str = ""
    comment: str = ""
    reason: str = ""
    folder: str = ""

    @property
    def over(self) -> bool:
        """Whether Slurm has let go of it."""
        return self.state in _ENDED | _BROKEN

    @property
    def completing(self) -> bool:
        """Whether Slurm is clearing up after it, which takes as long as an epilog, or for ever on a dead node."""
        return self.state == "COMPLETING"


@dataclass(frozen=True)
class Node:
    """A node in one partition. memory_mb: MiB. limit_s: the longest job in seconds, None = any.
    preempted: whether jobs there may have to go. gpus: type ("" where the cluster has none) → count."""

    name: str
    partition: str
    default: bool
    usable: bool
    cpus: int
    memory_mb: int
    limit_s: float | None
    preempted: bool
    features: frozenset[str]
    gpus: dict[str, int]


def records(text: str) -> Iterator[Record]:
    """Jobs of `squeue --noheader --format QUEUE_FORMAT`; other lines (of several clusters) are left out."""
    for line in text.splitlines():
        fields = line.split("|", 8)
        if len(fields) == 9 and re.match(r"\d", fields[0]):
            job, state, node, elapsed, gres, name, comment, reason, folder = fields
            yield Record(
                job, state, node, seconds(elapsed) or 0.0, _said(gres), name, _said(comment), _said(reason), folder
            )


def nodes(text: str, gres_name: str) -> Iterator[Node]:
    """Nodes of `sinfo --noheader --Node --format NODES_FORMAT`, once per partition."""
    for line in text.splitlines():
        fields = line.split("|", 8)
        if len(fields) != 9 or not fields[3].isdigit():
            continue
        name, partition, state, cpus, memory, limit, preemption, features, gres = fields
        yield Node(
            name=name,
            partition=partition.rstrip("*"),
            default=partition.endswith("*"),
            usable=not state.endswith("*") and not any(word in state.lower() for word in _UNUSABLE),
            cpus=int(cpus),
            memory_mb=int(re.sub(r"\D", "", memory) or 0),
            limit_s=seconds(limit),
            preempted=preemption.lower() not in ("off", "n/a", "(null)", ""),
            features=frozenset(_said(features).split(",")) - {""},
            gpus=dict(gpus(gres, gres_name)),
        )


def gpus(gres: str, gres_name: str) -> Iterator[tuple[str, int]]:
    """Types and counts in e.g. "gpu:a100:4(S:0-1),gpu:1,license:3"."""
    for part in re.sub(r"\([^)]*\)", "", gres).split(","):
        words = part.strip().split(":")
        if words[0] == gres_name and len(words) > 1 and words[-1].isdigit():
            yield ":".join(words[1:-1]), int(words[-1])


def seconds(text: str) -> float | None:
    """Seconds of Slurm's "days-hours:minutes:seconds"; None for "infinite" and its like."""
    days, dash, rest = text.strip().rpartition("-")
    try:
        parts = [int(part) for part in rest.split(":")]
        total = float(days or 0) * 86400
    except ValueError:
        return None
    if dash:
        parts = ([*parts, 0, 0])[:3]  # after days come hours
    elif len(parts) == 1:
        parts = [0, parts[0], 0]  # a single number is minutes
    hours, minutes, rest_s = ([0] * 3 + parts)[-3:]
    return total + hours * 3600 + minutes * 60 + rest_s


def _said(text: str) -> str:
    return "" if text in ("(null)", "N/A", "None", "n/a") else text
