"""The provider `basilica`: one deployment of Basilica's for each machine, through basilica-sdk's low-level calls."""

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from core import Diagnosis, SetupError
from overnight_jobs.provider import (
    CredentialsRefused,
    Lost,
    Machine,
    MachineState,
    Program,
    ProviderError,
    Quote,
    StockOut,
)

T = TypeVar("T")

TOKEN = "BASILICA_API_TOKEN"
_STATES: dict[str, MachineState] = {
    "Pending": "provisioning",
    "Provisioning": "provisioning",
    "Active": "running",
    "Running": "running",
    "Failed": "stopped",
    "Terminating": "stopped",
    "Suspended": "stopped",
}
_NONE_LEFT = ("no gpu nodes available", "no nodes available", "insufficient capacity", "out of stock")
_BILLS = 500  # looked back for one that is closed now
_SKEW_S = 2.0  # between our clock and the provider's
_STARTS = 3  # a program that ended so often will not stay
_TOO_POOR = ("balance is below", "insufficient balance", "insufficient_balance", "insufficient funds")
_NOTHING_DONE = ("rate limit exceeded",)


class Basilica:
    """Deployments, which are services: nothing of them says how a job ended, and one whose program
    ends starts it again; our own program on them tells what became of the job.

    Only `create_deployment` is used, never `deploy`, which leaves a machine behind when it gives up
    waiting. api_url: "" = the SDK's own. spot: prefer interruptible machines. image: the default one.
    usd_per_hour: of one GPU, where the price list is not what is billed. cpu_usd_per_hour: of a
    deployment without a GPU, for which the price list has no entry. geo, interconnect: as in the SDK.
    """

    name = "basilica"
    least_ttl_s = 60.0

    def __init__(
        self,
        image: str,
        api_url: str = "",
        spot: bool = False,
        usd_per_hour: float | None = None,
        cpu_usd_per_hour: float = 0.10,
        geo: str | None = None,
        interconnect: str | None = None,
        lag_s: float = 10.0,
    ) -> None:
        self.lag_s = lag_s
        self._image, self._api_url, self._spot = image, api_url, spot
        self._usd, self._cpu_usd = usd_per_hour, cpu_usd_per_hour
        self._geo, self._interconnect = geo, interconnect
        self._lock = threading.Lock()
        self._made: Any = None

    def diagnose(self) -> Sequence[Diagnosis]:
        """Whether the key works, what is in the account, and what GPUs cost."""
        if not os.environ.get(TOKEN):
            return [Diagnosis("fail", f"basilica: {TOKEN} is not set", f"export {TOKEN}=… (basilica.ai, API tokens)")]
        try:
            balance = self._read(lambda: self._client().get_balance())
            offers = self._offers()
        except (ProviderError, SetupError) as error:
            return [Diagnosis("fail", f"basilica: {error}", "check the token and the network")]
        found = [Diagnosis("ok", f"basilica: the token works, ${_balance(balance):.2f} in the account")]
        best = sorted({(float(offer.hourly_rate), offer.gpu_type) for offer in offers if offer.gpu_count == 1})[:3]
        if best:
            prices = ", ".join(f"{kind} ${price:.2f}" for price, kind in best)
            return [*found, Diagnosis("ok", f"basilica: one GPU costs, an hour: {prices}")]
        return [*found, Diagnosis("warn", "basilica: no machine with one GPU is free just now", "try again later")]

    def quotes(self, gpu_type: str | None, gpus: int, cpus: float, memory_gb: float | None) -> Sequence[Quote]:
        """Kinds of GPUs by price; a kind that is wanted and not listed now is out of stock, not impossible."""
        if gpus == 0:
            kind = f"basilica, {cpus:g} CPU cores"
            return [Quote(kind, self._cpu_usd, cpus=cpus, memory_gb=memory_gb)] if cpus <= 64 else []
        if gpus > 8:
            return []
        prices: dict[str, float] = {}
        for offer in self._offers():
            kind = str(offer.gpu_type)
            fits = gpu_type is None or gpu_type.lower() in kind.lower()
            if fits and offer.gpu_count >= gpus and bool(offer.is_spot) <= self._spot:
                price = self._usd if self._usd is not None else float(offer.hourly_rate)
                prices[kind] = min(price, prices.get(kind, price))
        found = [
            Quote(f"basilica {kind} ×{gpus}", price * gpus, cpus=cpus, memory_gb=memory_gb)
            for kind, price in prices.items()
        ]
        if not found and gpu_type is not None and self._usd is not None:
            found = [Quote(f"basilica {gpu_type} ×{gpus}", self._usd * gpus, 0, cpus=cpus, memory_gb=memory_gb)]
        return sorted(found, key=lambda quote: quote.usd_per_hour)

    def create(self, name: str, tag: str, quote: Quote, program: Program, ttl_s: float) -> str:
        """See overnight_jobs.provider.Provider. The time-to-live is always set."""
        kind, _, count = quote.hardware.removeprefix("basilica ").rpartition(" ×")
        on_cpu = quote.hardware.startswith("basilica,")
        with_gpu = {
            "gpu_count": int(count), "gpu_models": [kind], "spot": True if self._spot else None,
            "geo": self._geo, "interconnect": self._interconnect,
            "cpu": str(max(4, math.ceil(quote.cpus))), "memory": f"{math.ceil(quote.memory_gb or 32)}Gi",
        } if not on_cpu else {
            "cpu": str(max(1, math.ceil(quote.cpus))), "memory": f"{math.ceil(quote.memory_gb or 8)}Gi",
        }  # fmt: skip
        try:
            made = self._client().create_deployment(
                instance_name=name,
                image=program.image or self._image,
                port=program.port,
                command=list(program.command[:1]),
                args=list(program.command[1:]),
                env=dict(program.env),
                ttl_seconds=round(max(self.least_ttl_s, ttl_s)),
                public=True,  # reached from here by its address; our program answers sealed messages only
                **with_gpu,
            )
        except PermissionError as error:
            raise _refused(error) from error
        except ConnectionError as error:
            raise Lost(f"the answer was lost: {error}") from error
        except ValueError as error:
            raise SetupError(f"executor: basilica refuses the request: {error}") from error
        except RuntimeError as error:
            raise _of_create(error) from error
        return str(made.instance_name)

    def machines(self, tag: str) -> Sequence[Machine]:
        """See overnight_jobs.provider.Provider."""
        listed = self._read(lambda: self._client().list_deployments()).deployments
        found = []
        for row in listed:
            if str(row.friendly_name).startswith(tag + "-"):
                state = _STATES.get(row.state, "unknown")
                if state == "running":
                    found.append(Machine(row.instance_name, row.friendly_name, state, row.url or None))
                elif (detailed := self.machine(row.instance_name)) is not None:
                    found.append(detailed)
        return found

    def machine(self, machine_id: str) -> Machine | None:
        """See overnight_jobs.provider.Provider."""
        try:
            row = self._read(lambda: self._client().get_deployment(machine_id))
        except KeyError:
            return None
        state = _STATES.get(row.state, "unknown")
        reason = _reason(row) if state != "running" else ""
        starts = max((int(each.restart_count) for each in row.container_statuses or ()), default=0)
        if state == "provisioning" and starts >= _STARTS:
            return Machine(row.instance_name, row.friendly_name, "stopped", reason=self._last_words(machine_id, reason))
        if state == "unknown":
            reason = f"basilica says {row.state!r}, which is unknown here"
        return Machine(row.instance_name, row.friendly_name, state, row.url or None, reason=reason)

    def delete(self, machine_id: str) -> bool:
        """See overnight_jobs.provider.Provider. It is gone once it cannot be found any more."""
        try:
            self._read(lambda: self._client().delete_deployment(machine_id))
            self._read(lambda: self._client().get_deployment(machine_id))
        except KeyError:
            return True
        return False

    def bill(self, machine_id: str) -> float | None:
        """What the account's history of bills says, which counts to the second."""
        return next((float(row["current_cost"]) for row in self._bills() if row["rental_id"] == machine_id), None)

    def ended(self, since: float, until: float, usd_per_hour: float) -> dict[str, float]:
        """See overnight_jobs.provider.Provider. The history of bills knows no names, so that a machine is
        told by its start and its price."""
        found: list[tuple[str, float]] = []
        try:
            for row in self._bills():
                begun = datetime.fromisoformat(row["start_time"]).timestamp()
                if begun < since - _SKEW_S:
                    break  # newest first
                same = abs(float(row["hourly_rate"]) - usd_per_hour) < 0.005
                if same and begun <= until + _SKEW_S and row["status"] != "active":
                    found.append((str(row["rental_id"]), float(row["current_cost"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ProviderError(f"basilica: a bill that cannot be read: {error!r}") from error
        return dict(reversed(found))

    # Inside.

    def _bills(self) -> Iterator[dict[str, Any]]:
        """The account's history of bills, newest first."""
        for offset in range(0, _BILLS, 100):
            rows = self._read(lambda first=offset: self._client().list_usage_history(limit=100, offset=first))  # type: ignore[misc]
            yield from rows["rentals"]
            if len(rows["rentals"]) < 100:
                return

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                try:
                    import basilica
                except ImportError:
                    raise SetupError("executor.provider=basilica needs its SDK: pip install basilica-sdk") from None
                token = os.environ.get(TOKEN)
                if not token:
                    raise SetupError(f"executor.provider=basilica needs a key in the environment: {TOKEN}")
                self._made = basilica.BasilicaClient(self._api_url or None, token)
            return self._made

    def _offers(self) -> list[Any]:
        return [offer for offer in self._read(lambda: self._client().list_secure_cloud_gpus()) if offer.availability]

    def _last_words(self, machine_id: str, reason: str) -> str:
        """Why a container's program ends again and again."""
        try:
            text = str(self._read(lambda: self._client().get_deployment_logs(machine_id, tail=5)))
        except (ProviderError, KeyError):
            text = ""
        return f"its program ends again and again ({reason}): {text.strip()[-300:] or 'it says nothing'}"

    def _read(self, call: Callable[[], T]) -> T:
        """A call that changes nothing, or that may be made again. KeyError passes: there is none."""
        try:
            return call()
        except PermissionError as error:
            raise _refused(error) from error
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ProviderError(f"basilica: {error}") from error


def _refused(error: Exception) -> CredentialsRefused:
    return CredentialsRefused(f"basilica refuses the key in {TOKEN}: {error}")


def _of_create(error: RuntimeError) -> Exception:
    """What a failed create means: the SDK gives the message only, and after a server's error the
    deployment may exist all the same."""
    said = str(error).lower()
    if any(words in said for words in _NONE_LEFT):
        return StockOut(str(error))
    if any(words in said for words in _TOO_POOR):
        return SetupError(f"basilica: {error}; add funds to the account")
    if any(words in said for words in _NOTHING_DONE):
        return ProviderError(f"basilica: {error}")
    return Lost(f"basilica: {error}")


def _reason(row: Any) -> str:
    reasons = [str(each.reason) for each in row.container_statuses or () if each.reason]
    return ", ".join(dict.fromkeys(reasons)) or str(row.phase or row.state)


def _balance(answer: Any) -> float:
    return float(answer["balance"] if isinstance(answer, dict) else answer.balance)
