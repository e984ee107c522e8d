"""What an executor of rented machines asks of a provider: quotes, machines that run one program, their end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from core import Diagnosis, SetupError

MachineState = Literal["provisioning", "running", "stopped", "gone", "unknown"]


@dataclass(frozen=True)
class Quote:
    """A kind of machine and its price. usd_per_hour: of the whole machine, all its GPUs.
    available: how many at once, None = unknown, 0 = out of stock now. cpus: cores, memory_gb: GiB that
    were asked for, None = the provider's usual."""

    hardware: str
    usd_per_hour: float
    available: int | None = None
    cpus: float = field(default=1.0, kw_only=True)
    memory_gb: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Program:
    """What a machine runs from its start on: an argv, its environment, the TCP port on which it
    serves HTTP, and the container image to run it in (None: the provider's default)."""

    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    port: int = 8700
    image: str | None = None


@dataclass(frozen=True)
class Machine:
    """What a provider says of a machine. url: where its port is reached from here, None = not yet.
    seconds: billable so far; usd: accrued, in US dollars; None = the provider does not say, and it is
    taken to bill from the request on."""

    id: str
    name: str
    state: MachineState
    url: str | None = None
    hardware: str = ""
    usd: float | None = None
    seconds: float | None = None
    reason: str = ""


class ProviderError(Exception):
    """The provider's answer is an error, and nothing was made by it."""


class Lost(ProviderError):
    """There was no answer that can be understood: what was asked for may have happened."""


class StockOut(ProviderError):
    """There is no machine of this kind just now."""


class CredentialsRefused(SetupError):
    """A person has to renew the credentials."""


class Provider(Protocol):
    """One cloud. Every call may block for as long as one HTTP request; all are thread-safe.

    lag_s: how late a new machine may appear in `machines`, seconds. least_ttl_s: the shortest
    time-to-live that it can enforce, seconds; the budget reserves no less.
    """

    name: str
    lag_s: float
    least_ttl_s: float

    def diagnose(self) -> Sequence[Diagnosis]:
        """Whether it is installed, reachable, and what it would cost; spends nothing."""
        ...

    def quotes(self, gpu_type: str | None, gpus: int, cpus: float, memory_gb: float | None) -> Sequence[Quote]:
        """Kinds of machines that meet a request, best first; empty: none ever will."""
        ...

    def create(self, name: str, tag: str, quote: Quote, program: Program, ttl_s: float) -> str:
        """Start one machine and return its id at once. name: unique, from the job's token; tag: of
        the study. ttl_s: seconds after which the provider itself deletes it.

        Raises Lost, StockOut, ProviderError or CredentialsRefused.
        """
        ...

    def machines(self, tag: str) -> Sequence[Machine]:
        """All machines that carry a study's tag, as far as the listing knows."""
        ...

    def machine(self, machine_id: str) -> Machine | None:
        """One machine, None = there is none (any more)."""
        ...

    def bill(self, machine_id: str) -> float | None:
        """US dollars charged for a machine that is gone; None where the provider does not say."""
        ...

    def ended(self, since: float, until: float, usd_per_hour: float) -> dict[str, float]:
        """Of the account's machines at this price that began between two unix times and are gone, the
        first one first: id → US dollars charged. Empty where the provider does not say, or where creating
        under one name twice gives one machine, so that none is ever unknown."""
        ...

    def delete(self, machine_id: str) -> bool:
        """Delete it. True: it is gone or never was. False: not yet, ask again."""
        ...
