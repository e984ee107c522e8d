"""What a cluster's nodes can give a request: kinds of machines, how many at once. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core import Resources
from overnight_executor_slurm import order
from overnight_executor_slurm.config import SlurmConfig
from overnight_executor_slurm.listing import Node


@dataclass(frozen=True)
class Kind:
    """A kind of machine for one job. gpu_type: the cluster's word, "" = CPUs or GPUs without a type.
    count: how many jobs fit at once on the nodes that work now."""

    hardware: str
    gpu_type: str
    count: int


def eligible(config: SlurmConfig, nodes: Iterable[Node]) -> list[Node]:
    """Nodes of the configured partitions with the wanted feature, whether they work now or not."""
    partitions = set(config.partition.split(",")) if config.partition else None
    feature = config.constraint if config.constraint and config.constraint.replace("_", "").isalnum() else None
    return [
        node
        for node in nodes
        if (node.default if partitions is None else node.partition in partitions)
        and (feature is None or feature in node.features)
    ]


def kinds(config: SlurmConfig, nodes: Sequence[Node], request: Resources) -> list[Kind]:
    """The kinds of machines that can meet a request, the most frequent first; none: it can never be met."""
    found: dict[str, int] = {}
    for node in {node.name: node for node in nodes}.values():  # once, if in several partitions
        for gpu_type, gpus in node.gpus.items() if request.gpus else [("", 0)]:
            if request.gpus and not _wanted(config, request, gpu_type):
                continue
            if count := _fitting(config, node, request, gpus):
                found[gpu_type] = found.get(gpu_type, 0) + count * node.usable
    kinds = [Kind(hardware(request, gpu_type), gpu_type, count) for gpu_type, count in found.items()]
    return sorted(kinds, key=lambda kind: -kind.count)


def told_apart(config: SlurmConfig, nodes: Sequence[Node], request: Resources) -> str | None:
    """The type to ask for where any GPU will do, None = any. Where a node has several, a job that took any
    would not know which it got: the most frequent one is asked for then."""
    if not any(len(node.gpus) > 1 and kinds(config, [node], request) for node in nodes):
        return None
    return next((kind.gpu_type for kind in kinds(config, nodes, request) if kind.gpu_type), None)


def hardware(request: Resources, gpu_type: str) -> str:
    """A kind in words."""
    if request.gpus:
        return f"{gpu_type or 'GPU'} ×{request.gpus}"
    count = order.cores(request)
    return f"{count} CPU core{'s' if count > 1 else ''}"


def longest_s(nodes: Sequence[Node]) -> float | None:
    """Seconds that the longest job may take, None = any length."""
    limits = [node.limit_s for node in nodes]
    return None if not limits or None in limits else max(limit for limit in limits if limit is not None)


def _wanted(config: SlurmConfig, request: Resources, gpu_type: str) -> bool:
    if request.gpu_type is None:
        return True
    if request.gpu_type in config.gpu_types:
        return gpu_type == config.gpu_types[request.gpu_type]
    return request.gpu_type.lower() in gpu_type.lower()


def _fitting(config: SlurmConfig, node: Node, request: Resources, gpus: int) -> int:
    """How many jobs of this size an empty node could run."""
    counts = [node.cpus // order.cores(request)]
    if request.gpus:
        counts.append(gpus // request.gpus)
    if (memory := order.memory_gb(config, request)) is not None:
        counts.append(int(node.memory_mb / (memory * 1024)))
    return min(counts)
