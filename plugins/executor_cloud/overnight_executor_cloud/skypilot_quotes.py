"""What SkyPilot could give a request, and for how much: its catalogue's rows, each tried on its optimiser."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from overnight_executor_cloud.skypilot_api import Api, RequestFailed
from overnight_executor_cloud.skypilot_names import OWNED, WITHOUT_AUTODOWN, Hardware, own_instance
from overnight_jobs.provider import CredentialsRefused, ProviderError, Quote

_PORT = 8700  # any port: whether the cloud opens ports at all
_REFUSALS = frozenset({"ResourcesUnavailableError", "NotSupportedError", "ValueError"})
_ROW = re.compile(r"^\s*(?P<cloud>\w+) \((?P<where>[^)]+)\)\s{2,}(?P<instance>\S+)\s{2,}.*?\s{2,}(?P<usd>\d+\.\d\d)\b")


@dataclass(frozen=True)
class Wanted:
    """A request: what the machine must have at least."""

    gpu_type: str | None
    gpus: int
    cpus: float
    memory_gb: float | None


@dataclass(frozen=True)
class Terms:
    """What a person allows.

    infra: this cloud (region, cluster) only, None = all that are enabled. open_port: the cloud has
    to open ports. endless_ok: a cloud that cannot delete the machine by itself is allowed.
    """

    infra: str | None
    spot: bool
    max_hourly_cost: float | None
    open_port: bool
    endless_ok: bool


class Market:
    """Quotes from one API server."""

    def __init__(self, api: Api, terms: Terms, most: int = 8) -> None:
        self._api = api
        self._terms = terms
        self._most = most
        self.refused = ""  # why the optimiser last said no

    def infras(self) -> list[str]:
        """Where machines may come from: "verda", "slurm/cluster"."""
        enabled = [str(name) for name in self._api.call("/enabled_clouds?expand=true")]
        wanted = self._terms.infra
        if wanted is None:
            return [name for name in enabled if self._allowed(name)]
        cloud = wanted.split("/")[0].lower().replace("k8s", "kubernetes")
        if cloud not in {name.split("/")[0].lower() for name in enabled}:
            raise CredentialsRefused(
                f"SkyPilot has no access to {wanted} (only to {', '.join(sorted(enabled)) or 'nothing'}): "
                f"set up its credentials and run `sky check {cloud}` on the API server's machine."
            )
        return [wanted] if self._allowed(cloud) else []

    def quotes(self, wanted: Wanted) -> list[Quote]:
        """Kinds of machines that the optimiser agrees to, cheapest first."""
        found: list[Quote] = []
        errors: list[ProviderError] = []
        for infra in self.infras():
            try:
                found += self._owned(infra, wanted) if _cloud(infra) in OWNED else self._rented(infra, wanted)
            except ProviderError as error:  # one cloud's catalogue must not hide the others'
                errors.append(error)
        if errors and not found:  # not the same as "there is none"
            raise errors[0]
        limit = self._terms.max_hourly_cost
        affordable = [quote for quote in dict.fromkeys(found) if limit is None or quote.usd_per_hour <= limit]
        affordable.sort(key=lambda quote: (quote.usd_per_hour, quote.available == 0, quote.hardware))
        return self._agreed(affordable)

    def _allowed(self, infra: str) -> bool:
        cloud = _cloud(infra)
        if cloud in OWNED:
            return not self._terms.spot
        return self._terms.endless_ok or cloud not in WITHOUT_AUTODOWN

    def _agreed(self, quotes: list[Quote]) -> list[Quote]:
        agreed: list[Quote] = []
        errors: list[ProviderError] = []
        for quote in quotes[: 3 * self._most]:
            hardware = Hardware.parse(quote.hardware)
            try:
                if hardware is not None and self._feasible(hardware):
                    agreed.append(quote)
            except ProviderError as error:
                errors.append(error)
            if len(agreed) == self._most:
                break
        if errors and not agreed:
            raise errors[0]
        return agreed

    def _feasible(self, hardware: Hardware) -> bool:
        resources = hardware.resources()
        if self._terms.open_port:
            resources["ports"] = _PORT
        try:
            self._api.call("/optimize", _dag(resources))
        except RequestFailed as failed:
            if failed.kind not in _REFUSALS:
                raise
            self.refused = f"{hardware}: {failed.message[:300]}"
            return False
        return True

    def _owned(self, infra: str, wanted: Wanted) -> Iterator[Quote]:
        if not wanted.gpus:
            instance = own_instance(wanted.cpus, wanted.memory_gb, "", 0)
            yield Quote(str(Hardware(infra, instance)), 0.0)
            return
        slurm = _cloud(infra) == "slurm"
        path = "/slurm_gpu_availability" if slurm else "/realtime_kubernetes_gpu_availability"
        scope = _scope(infra)
        for context, gpus, *errors in self._api.call(path, {}):
            if scope is not None and context != scope:
                continue
            if any(errors):
                raise ProviderError(f"SkyPilot cannot look into {infra}: {errors[0]}")
            for gpu, per_node, _, free in gpus:
                if not _matches(gpu, wanted.gpu_type) or max(per_node, default=0) < wanted.gpus:
                    continue
                instance = own_instance(wanted.cpus, wanted.memory_gb, gpu, wanted.gpus)
                where = infra if scope is not None else f"{infra}/{context}"
                hardware = Hardware(where, instance, gpu, wanted.gpus)
                yield Quote(str(hardware), 0.0, max(0, int(free)) // wanted.gpus if free is not None else None)

    def _rented(self, infra: str, wanted: Wanted) -> Iterator[Quote]:
        spot = self._terms.spot
        if not wanted.gpus:
            yield from self._without_gpu(infra, wanted)
            return
        body: dict[str, Any] = {
            "clouds": [_cloud(infra)],
            "gpus_only": False,
            "quantity_filter": wanted.gpus,
            "all_regions": True,
            "case_sensitive": False,
        }
        if wanted.gpu_type:
            body["name_filter"] = f"^{re.escape(wanted.gpu_type)}(-|$)"
        scope = _scope(infra)
        listed: dict[str, list[list[Any]]] = self._api.call("/list_accelerators", body)
        prices: dict[tuple[str, str], dict[str, float]] = {}  # (GPU, instance) → region → US dollars
        for rows in listed.values():
            for _, instance, gpu, count, cpus, _, memory, price, spot_price, region in rows:
                usd = spot_price if spot else price
                if usd is None or not instance or count != wanted.gpus or (scope is not None and region != scope):
                    continue
                if (cpus or wanted.cpus) >= wanted.cpus and (memory or 1e9) >= (wanted.memory_gb or 0.0):
                    prices.setdefault((gpu, instance), {})[region] = float(usd)
        for (gpu, instance), by_region in prices.items():
            if scope is None and len(set(by_region.values())) == 1:  # SkyPilot may look in every region
                yield Quote(str(Hardware(_cloud(infra), instance, gpu, wanted.gpus, spot)), min(by_region.values()))
                continue
            for region, usd in by_region.items():
                where = infra if scope is not None else f"{_cloud(infra)}/{region}"
                yield Quote(str(Hardware(where, instance, gpu, wanted.gpus, spot)), usd)

    def _without_gpu(self, infra: str, wanted: Wanted) -> Iterator[Quote]:
        """The catalogue's list has no machines without GPUs: the optimiser's printed table does.
        Its prices have two digits, so they are rounded up by half a cent."""
        resources: dict[str, Any] = {"infra": infra, "cpus": f"{wanted.cpus:g}+", "use_spot": self._terms.spot}
        if wanted.memory_gb:
            resources["memory"] = f"{wanted.memory_gb:g}+"
        if self._terms.open_port:
            resources["ports"] = _PORT
        request_id = self._api.start("/optimize", _dag(resources))
        try:
            self._api.result(request_id)
        except RequestFailed as failed:
            if failed.kind in _REFUSALS:
                return
            raise
        found = [row for line in self._api.output(request_id).splitlines() if (row := _ROW.match(line))]
        rows = [row for row in found if row["cloud"].lower() not in OWNED]
        if not rows:
            raise ProviderError("The optimiser's table of machines without GPUs cannot be read.")
        for row in rows:
            instance = row["instance"].removesuffix("[Spot]")
            hardware = Hardware(f"{row['cloud'].lower()}/{row['where']}", instance, spot=self._terms.spot)
            yield Quote(str(hardware), round(float(row["usd"]) + 0.005, 3))


def _dag(resources: dict[str, Any]) -> dict[str, Any]:
    return {"dag": json.dumps({"name": "quote", "resources": resources, "run": "true"}), "request_options": None}


def _cloud(infra: str) -> str:
    return infra.split("/")[0].lower()


def _scope(infra: str) -> str | None:
    """The region, Slurm cluster or Kubernetes context (which may have slashes) of an infra."""
    cloud, _, rest = infra.partition("/")
    return (rest if cloud.lower() in ("kubernetes", "k8s") else rest.split("/")[0]) or None


def _matches(gpu: str, wanted: str | None) -> bool:
    """Whether a GPU is of a wanted type: "A100" is met by A100 and by A100-80GB."""
    return wanted is None or f"{gpu}-".lower().startswith(f"{wanted}-".lower())
