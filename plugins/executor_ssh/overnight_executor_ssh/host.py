"""One host: how it is asked, what it has, since when it says nothing."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, get_args

from core import Resources
from overnight_executor_ssh.background import spawn
from overnight_executor_ssh.config import HostSettings, SshConfig
from overnight_executor_ssh.connection import Kind, Refused
from overnight_executor_ssh.environment import Environment, Readiness
from overnight_executor_ssh.transport import SshTransport, Way
from overnight_jobs.far_side import FarError, FarGone, FarSide

T = TypeVar("T")

_MOMENT_S = 3.0


class Host:
    """Asks one host, and remembers what became of it. Thread-safe.

    trouble: why the last question had no answer, "" = it had one. refused: what is wrong and what a
    person has to do, where nothing else can help. facts: what it said it has (see FarSide.facts), None = it
    never answered.
    """

    def __init__(self, host: HostSettings, config: SshConfig) -> None:
        self.settings = config.of(host)
        self.name = host.name
        self.transport = SshTransport(self.settings, config, self._listen)
        self.environment = Environment(self.settings, config, self.transport)
        self.facts: dict[str, Any] | None = None
        self.facts_at = 0.0
        self.trouble = ""
        self.refused: Refused | None = None
        self._threads = config.threads_per_slot
        self._far: dict[Kind, FarSide] = {kind: FarSide(Way(self.transport, kind)) for kind in get_args(Kind)}
        self._lock = threading.Lock()
        self._quiet_since: float | None = None
        self._preparing: Future[Any] | None = None

    def ask(self, work: Callable[[FarSide], T], kind: Kind = "question") -> T:
        """Ask the host's agent. kind: see Connection.channel; only to wait for a question's answer is silence.
        Raises FarGone (also where a person has to act: see `refused`), FarError."""
        return self.attempt(lambda: work(self._far[kind]))

    def attempt(self, work: Callable[[], T]) -> T:
        """Do what needs the host, and remember whether it answered."""
        try:
            found = work()
        except FarGone as error:
            self._listen()
            self.trouble = str(error)
            raise
        except Refused as error:
            self._listen()
            self.trouble, self.refused = str(error), error
            raise FarGone(str(error)) from error
        except FarError:
            self._heard()
            raise
        self._heard()
        return found

    def quickly(self, work: Callable[[FarSide], T], within_s: float) -> T:
        """Like `ask`, for as long at most: FarGone then, though it may still be done."""
        try:
            return spawn(self.ask, work).result(within_s)
        except TimeoutError:
            raise FarGone(f"{self.name} has not answered for {within_s:g} s") from None

    def prepare(self) -> None:
        """See to it in the background that its environment is being made."""
        known = self.environment.known
        with self._lock:
            if (known is None or known.state == "installing") and (self._preparing is None or self._preparing.done()):
                self._preparing = spawn(self.attempt, self.environment.look)

    def ready(self) -> Readiness:
        """How far its environment is, asked where that may have changed. Raises FarGone, FarError, SetupError."""
        known = self.environment.known  # no answer of the host's: to take it for one would hide that there is none
        return known if known is not None and known.state != "installing" else self.attempt(self.environment.look)

    def silent_s(self) -> float:
        """Seconds since the first of the questions that had no answer (yet); 0 = the last one had."""
        with self._lock:
            return 0.0 if self._quiet_since is None else time.monotonic() - self._quiet_since

    def problem(self) -> str:
        """Why it is better not to wait for this host just now; "" = it answers."""
        silent = self.silent_s()
        return self.trouble or (f"{self.name} has not answered for {silent:.0f} s" if silent > _MOMENT_S else "")

    def learn(self, newer_than_s: float = 60.0) -> dict[str, Any]:
        """What the host has, asked again if it is older than that or the host did not answer since.
        Raises FarGone, FarError."""
        if self.facts is None or self.trouble or time.monotonic() - self.facts_at > newer_than_s:
            self.facts, self.facts_at = self.ask(lambda far: far.facts()), time.monotonic()
        return self.facts

    # What it has, once it has answered.

    @property
    def gpu_ids(self) -> list[int]:
        """The GPUs that jobs may get; those that a person names are believed to be there."""
        if isinstance(self.settings.gpus, tuple):
            return list(self.settings.gpus)
        return list((self.facts or {}).get("gpu_ids", []))

    @property
    def slots(self) -> int:
        """Jobs at once."""
        if isinstance(self.settings.slots, int):
            return self.settings.slots
        return len(self.gpu_ids) or min(4, int((self.facts or {}).get("cpus", 1)))

    @property
    def threads(self) -> int:
        """Threads of a job's libraries."""
        if isinstance(self._threads, int):
            return self._threads
        return max(1, int((self.facts or {}).get("cpus", 1)) // self.slots)

    def hardware(self, gpus: int) -> str:
        """What a job gets, in the words that the host's agent uses for it too."""
        names = (self.facts or {}).get("gpus", [])
        if gpus:
            return f"{names[0] if names else 'GPU'} ×{gpus}"
        return f"{(self.facts or {}).get('cpus', '?')} CPU cores"

    def fits(self, request: Resources) -> bool:
        """Whether it is big enough for a job, were it alone on it."""
        facts = self.facts
        if facts is None or request.gpus > len(self.gpu_ids) or request.cpus > facts["cpus"]:
            return False
        if request.memory_gb is not None and request.memory_gb > facts["memory_gb"]:
            return False
        return not request.gpu_type or any(request.gpu_type.lower() in name.lower() for name in facts["gpus"])

    def _listen(self) -> None:
        with self._lock:
            if self._quiet_since is None:
                self._quiet_since = time.monotonic()

    def _heard(self) -> None:
        with self._lock:
            self._quiet_since = None
        self.trouble, self.refused = "", None
