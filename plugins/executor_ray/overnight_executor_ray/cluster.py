"""What a Ray cluster has: its nodes, what is free on them, and how many jobs of a kind they hold."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from overnight_executor_ray.api import Api
from overnight_jobs.provider import Quote

_KIND = "accelerator_type:"


@dataclass(frozen=True)
class Request:
    """What one job takes of one node. custom: Ray's custom resources, by name."""

    cpus: float
    gpus: int
    memory_gb: float | None
    custom: Mapping[str, float]


@dataclass(frozen=True)
class RayQuote(Quote):
    """A quote with what it is for. kind: of GPU, "" = as Ray names none, or no GPU is asked for."""

    kind: str = ""
    request: Request = Request(1.0, 0, None, {})


@dataclass(frozen=True)
class Node:
    """A living node. kind: its GPUs' accelerator type, "" = none is known. total: its resources by
    Ray's names. free: what of CPU, GPU and memory nobody uses, None = it is not known."""

    id: str
    ip: str
    kind: str
    total: Mapping[str, float]
    free: Mapping[str, float] | None

    def holds(self, request: Request) -> bool:
        """Whether such a job can ever run here."""
        return self._room(self.total, request) > 0 and all(
            self.total.get(name, 0.0) >= amount for name, amount in request.custom.items()
        )

    def room(self, request: Request) -> int | None:
        """How many such jobs would start now, None = it is not known."""
        if not self.holds(request):
            return 0
        return None if self.free is None else self._room(self.free, request)

    def _room(self, given: Mapping[str, float], request: Request) -> int:
        memory = (request.memory_gb or 0.0) * 2**30
        asked = {"CPU": request.cpus, "GPU": float(request.gpus), "memory": memory}
        return int(min((given.get(name, 0.0) + 1e-6) // amount for name, amount in asked.items() if amount))


def nodes(api: Api) -> list[Node]:
    """The cluster's living nodes. Raises ProviderError."""
    usage = api.usage()
    found = []
    for each in api.nodes():
        total = {name: float(amount) for name, amount in (each.get("resources_total") or {}).items()}
        kinds = [name.removeprefix(_KIND) for name in sorted(total) if name.startswith(_KIND)]
        name = str(each.get("node_id"))
        kind = kinds[0] if kinds and total.get("GPU") else ""
        found.append(Node(name, str(each.get("node_ip")), kind, total, _free(usage, name)))
    return found


def quotes(
    known: list[Node],
    request: Request,
    wanted: str | None,
    usd: float,
    autoscaling: bool,
    expected: Collection[str] = (),
) -> list[RayQuote]:
    """Kinds of nodes that hold a request, those with room first. wanted: a kind of GPU, None = any.
    expected: kinds that an autoscaling cluster has had, and may have again."""
    fitting = [node for node in known if node.holds(request) and _is(node.kind, wanted, request.gpus)]
    kinds = sorted({node.kind if request.gpus else "" for node in fitting})
    if autoscaling and request.gpus:
        kinds += sorted(kind for kind in expected if kind not in kinds and _is(kind, wanted, request.gpus))
    if autoscaling and not kinds:
        kinds = [wanted or ""]
    found = []
    for kind in kinds:
        room = [node.room(request) for node in fitting if not request.gpus or node.kind == kind]
        known_room = sum(count for count in room if count is not None)
        unsure = autoscaling or (None in room and not known_room)
        price = usd * (request.gpus or request.cpus)
        available = None if unsure and not known_room else known_room
        found.append(RayQuote(hardware(kind, request), price, available, kind, request))
    return sorted(found, key=lambda quote: quote.available == 0)


def hardware(kind: str, request: Request) -> str:
    """What a job gets, in words."""
    if request.gpus:
        return f"{kind or 'GPU'} ×{request.gpus}"
    return f"{request.cpus:g} CPU cores"


def kind_of(hardware: str) -> str:
    """The kind of GPU in such words."""
    kind = hardware.rpartition(" ×")[0]
    return "" if kind == "GPU" else kind


def demand(quote: RayQuote) -> dict[str, Any]:
    """The same as fields of a submission."""
    request = quote.request
    custom = dict(request.custom)
    if quote.kind and request.gpus:
        custom[_KIND + quote.kind] = 0.001  # a node has 1 of it, however many GPUs it has
    return {
        # Without any resource, Ray would put it on the head node.
        "entrypoint_num_cpus": request.cpus,
        "entrypoint_num_gpus": request.gpus,
        "entrypoint_memory": int((request.memory_gb or 0.0) * 2**30),
        "entrypoint_resources": custom or None,
    }


def _free(usage: dict[str, dict[str, Any]] | None, node: str) -> dict[str, float] | None:
    # Names with underscores come in camel case here: these three have none.
    try:
        told = (usage or {})[node]
        return {name: float(told[name][1]) - float(told[name][0]) for name in ("CPU", "GPU", "memory") if name in told}
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _is(kind: str, wanted: str | None, gpus: int) -> bool:
    return not gpus or not wanted or wanted.lower() in kind.lower()
