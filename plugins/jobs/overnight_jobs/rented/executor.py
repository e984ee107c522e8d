"""An executor on rented machines: one fresh machine for each job, deleted at its end, whatever happens."""

import shutil
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from core import (
    Ambiguous,
    Caps,
    Handle,
    Job,
    JobState,
    Manifest,
    NotYet,
    Observation,
    Offer,
    OutOfStock,
    Reaped,
    Resources,
)
from overnight_jobs import bootstrap, orders
from overnight_jobs.far.files import digest
from overnight_jobs.provider import Lost, Machine, Program, Provider, Quote, StockOut
from overnight_jobs.rented.records import Record, Records, name, tag
from overnight_jobs.rented.settings import RentedSettings
from overnight_jobs.rented.work import Look, Machines

_FINAL = ("succeeded", "failed", "cancelled", "preempted", "lost")
_MARGIN_S = 0.2  # a listing is believed this much later than its lag
_MOMENT_S = 2.0
_STOCK_OUT = "stock-out"  # how a provider's reason begins that comes after a creation was taken
_PASSED_S = 900.0


class RentedExecutor:
    """What is common to all executors that rent machines; see core.contracts.Executor.

    A machine runs an agent behind HTTP, which ends the job at its deadline and the machine at its
    time-to-live whether or not this controller lives; the provider's own time-to-live stands behind
    that. All that is known of a job is in its record, so that a new instance goes on where the last
    one was killed.
    """

    def __init__(self, settings: RentedSettings, workspace: Path, provider: Provider) -> None:
        self._settings = settings
        self._workspace = Path(workspace).absolute()
        self._provider = provider
        self._records = Records(self._workspace)
        self._machines = Machines(settings, self._records, self._workspace)
        self._lock = threading.Lock()
        self._submitting: dict[str, threading.Lock] = {}
        self._sold_out: dict[str, tuple[float, float]] = {}  # hardware: until when it is passed over, for how long

    def caps(self) -> Caps:
        """See core.contracts.Executor."""
        settings = self._settings
        slots = settings.max_slots if settings.slots == "auto" else settings.slots
        overhead = max(settings.provision_s + settings.wind_down_s, self._provider.least_ttl_s)
        return Caps(slots, spot=True, detached=True, priced=True, shares_files=False, overhead_s=overhead)

    def offers(self, request: Resources) -> Sequence[Offer]:
        """What the provider has, in the order of preference; what is out of stock comes last."""
        self._machines.prepare()
        quotes = self._quotes(request) or self._taken(request)
        return [Offer(quote.hardware, quote.usd_per_hour, quote.available) for quote in quotes]

    def submit(self, job: Job, token: str) -> Handle:
        """See core.contracts.Executor."""
        with self._lock:
            own = self._submitting.setdefault(token, threading.Lock())
        with own:
            record = self._records.read(token)
            if record is not None:
                if record.machine:
                    return record.handle
                if (found := self.find(token)) is not None:
                    return found
                self._records.suspect(record)
            return self._create(job, token)

    def find(self, token: str) -> Handle | None:
        """See core.contracts.Executor. A listing that lags is asked until it must know."""
        record = self._records.read(token)
        if record is not None and record.machine:
            return record.handle
        if record is None:
            return None  # nothing is created before its record is written
        end = time.monotonic() + self._provider.lag_s + _MARGIN_S
        while True:
            over = time.monotonic() >= end
            for machine in self._provider.machines(tag(record.owner)):
                if machine.name == record.name and machine.state not in ("gone", "stopped"):
                    record = replace(record, machine=machine.id)
                    self._records.write(record)
                    return record.handle
            if over:
                return None
            time.sleep(min(0.25, self._provider.lag_s + 0.05))

    def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """See core.contracts.Executor."""
        pairs = [(handle, self._records.read(handle.token)) for handle in handles]
        listed: dict[str, Machine] = {}
        for owner in {record.owner for _, record in pairs if record is not None and not record.ended}:
            listed |= {machine.id: machine for machine in self._provider.machines(tag(owner))}
        looks: dict[str, tuple[Machine | None, Look | None]] = {}
        for handle, record in pairs:
            if record is not None and not record.ended:
                machine = listed.get(record.machine) or self._provider.machine(record.machine)
                look = self._machines.look(record, machine) if machine is not None else None
                looks[handle.token] = machine, look
        end = time.monotonic() + _MOMENT_S
        for token in looks:
            self._machines.settle(token, max(0.0, end - time.monotonic()))
        return [self._observe(handle, record, *looks.get(handle.token, (None, None))) for handle, record in pairs]

    def logs(self, handle: Handle, offset: int, stream: Literal["log", "metrics"] = "log") -> tuple[bytes, int]:
        """See core.contracts.Executor."""
        record = self._records.read(handle.token)
        machine = self._machine(record)
        if record is None or machine is None or machine.url is None:
            return b"", offset
        if not record.boot:
            self._machines.look(record, machine)  # it has no job yet: see to it
            return b"", offset
        data = self._machines.far(record, machine.url).read(record.slug, stream, offset)
        return data, offset + len(data)

    def fetch(self, handle: Handle, dest: Path) -> Manifest:
        """See core.contracts.Executor. Of a machine that is gone: what was mirrored."""
        record = self._records.read(handle.token)
        machine = None if record is None or self._over(record) else self._machine(record)
        if record is not None and machine is not None and machine.url and record.boot:
            return self._machines.far(record, machine.url).fetch(record.slug, dest)
        mirror = self._records.mirror(handle.token)
        shutil.rmtree(dest, ignore_errors=True)
        if mirror.is_dir():
            shutil.copytree(mirror, dest)
        else:
            dest.mkdir(parents=True)
        return Manifest({str(p.relative_to(dest)): digest(p) for p in sorted(dest.rglob("*")) if p.is_file()})

    def cancel(self, handle: Handle, grace_s: float) -> None:
        """See core.contracts.Executor: the machine goes, and with it all that is left of the job."""
        record = self._records.read(handle.token)
        machine = record.machine if record is not None else handle.id
        if machine and not self._provider.delete(machine):
            raise NotYet(handle.token)
        self._forget(handle.token)

    def bill(self, handle: Handle) -> float | None:
        """See core.contracts.TellsBills."""
        return self._provider.bill(handle.id)

    def reap(self, owner: str, live: Collection[str]) -> Reaped:
        """See core.contracts.Executor. Goes on until nothing new appears for longer than a listing lags."""
        found: dict[str, None] = {}
        kept = {record.machine: record for record in self._records.all() if record.token in live}
        names = {name(owner, token): token for token in live}
        for record in list(self._records.all()):
            if record.owner == owner and record.token not in live:
                if not record.ended or (record.machine and self._provider.machine(record.machine) is not None):
                    found.setdefault(record.token)
                if record.machine:
                    self._delete(record.machine)
                else:
                    self._records.suspect(record)
                self._forget(record.token)
        lag = self._provider.lag_s + _MARGIN_S
        quiet = time.monotonic() + lag
        while True:
            over = time.monotonic() >= quiet
            stale = []
            for machine in self._provider.machines(tag(owner)):
                unanswered = names.get(machine.name) and not self._known(names[machine.name])
                if machine.id not in kept and not unanswered and machine.state != "gone":
                    stale.append(machine)
            for machine in stale:
                self._delete(machine.id)
                found.setdefault(self._token(machine))
            if stale:
                quiet = time.monotonic() + lag
            elif over:
                return Reaped(tuple(found), self._bills())
            time.sleep(min(0.25, lag / 4))

    # Inside.

    def _bills(self) -> dict[str, float]:
        """What machines cost of which the study's journal may not know: those deleted here, and those whose
        creation was not answered and that ended by themselves before any listing showed them."""
        told = {machine: self._provider.bill(machine) for machine in self._records.doomed()}
        bills = {machine: usd for machine, usd in told.items() if usd is not None}
        known = {*self._records.known(), *told}
        for since, until, usd_per_hour in self._records.suspects():
            ended = self._provider.ended(since, until, usd_per_hour)
            if own := next((machine for machine in ended if machine not in known), None):
                known.add(own)  # one creation made one machine at most
                bills[own] = ended[own]
        return bills

    def _quotes(self, request: Resources) -> list[Quote]:
        wanted = self._settings.gpu_types if request.gpus and not request.gpu_type else ()
        found: list[Quote] = []
        for kind in wanted or (request.gpu_type,):
            found += self._provider.quotes(kind, request.gpus, request.cpus, request.memory_gb)
        unique = list({quote.hardware: quote for quote in reversed(found)}.values())[::-1]
        return sorted(unique, key=lambda quote: quote.available == 0)

    def _create(self, job: Job, token: str) -> Handle:
        self._machines.prepare()
        quotes = self._quotes(job.resources)
        if job.hardware is not None:
            quotes = [quote for quote in quotes if quote.hardware == job.hardware]
        if job.max_usd_per_hour is not None:
            quotes = [quote for quote in quotes if quote.usd_per_hour <= job.max_usd_per_hour * (1 + 1e-9)]
        tried: list[str] = []
        for quote in quotes:
            if (until := self._sold_out.get(quote.hardware, (0.0, 0.0))[0]) > time.monotonic():
                tried.append(f"{quote.hardware}: was out of stock, asked for again in {until - time.monotonic():.0f} s")
                continue
            try:
                return self._created(job, token, quote, "; ".join(tried))
            except StockOut as error:
                self._records.forget(token)
                tried.append(f"{quote.hardware}: {error}")
        what = job.hardware or " or ".join(self._settings.gpu_types) or job.resources.gpu_type or "a machine"
        raise OutOfStock(f"there is no {what} just now ({'; '.join(tried) or 'none at a price that was reserved'})")

    def _created(self, job: Job, token: str, quote: Quote, tried: str) -> Handle:
        settings = self._settings
        ttl = self._ttl_s(job)
        record = Record(
            token=token,
            owner=job.owner,
            name=name(job.owner, token),
            hardware=quote.hardware,
            usd_per_hour=quote.usd_per_hour,
            made=time.time(),
            job=orders.plain(job),
            notice=self._notice(job, quote, tried),
        )
        self._records.write(record)
        env = {
            "OVERNIGHT_SECRET": self._records.secret(token),
            "OVERNIGHT_UNTIL": str(round(record.made + ttl, 1)),
            "OVERNIGHT_LINGER_S": str(settings.provision_s + settings.wind_down_s),
        }
        program = Program(bootstrap.command(settings.port, python=settings.python), env, settings.port, settings.image)
        try:
            machine = self._provider.create(record.name, tag(job.owner), quote, program, ttl)
        except Lost as error:
            raise Ambiguous(f"{token}: {error}") from error
        record = replace(record, machine=machine)
        self._records.write(record)
        return record.handle

    def _ttl_s(self, job: Job) -> float:
        """Seconds after which a job's machine ends itself."""
        return self._settings.provision_s + job.deadline_s + job.grace_s + self._settings.wind_down_s

    def _notice(self, job: Job, quote: Quote, tried: str) -> str:
        """What to say where the machine is not of the kind that was wanted first."""
        first = self._settings.gpu_types[:1] if job.resources.gpus and not job.resources.gpu_type else ()
        if not first or first[0].lower() in quote.hardware.lower() or job.hardware is not None:
            return ""
        why = f" ({tried})" if tried else ""
        price = f"${quote.usd_per_hour:.2f} an hour"
        return f"no {first[0]} is to be had just now{why}: this job runs on {quote.hardware} at {price}"

    def _observe(
        self, handle: Handle, record: Record | None, machine: Machine | None, look: Look | None
    ) -> Observation:
        token = handle.token
        if record is None:
            return Observation(token, "lost", reason="there is no trace of the job")
        if record.ended:
            return Observation(token, **record.ended)
        seen = self._state(record, machine, look)
        if seen.state in _FINAL:
            # Final is final: the machine's later end changes nothing of what was seen once.
            ended = {k: getattr(seen, k) for k in ("state", "exit_code", "reason", "seconds", "usd", "hardware")}
            latest = self._records.read(token)
            if latest is not None:
                self._records.write(replace(latest, ended=ended))
        return seen

    def _state(self, record: Record, machine: Machine | None, look: Look | None) -> Observation:
        age = time.time() - record.made
        # A provider that does not say what a machine cost so far is taken to bill it from the request on.
        seconds = age if machine is None or machine.seconds is None else machine.seconds
        rate = record.usd_per_hour / 3600
        usd = seconds * rate if machine is None or machine.usd is None else machine.usd
        said: dict[str, Any] = {"hardware": record.hardware, "seconds": seconds, "usd": usd}
        token = record.token
        if look is not None and look.seen is not None and look.seen["state"] in _FINAL:
            state = cast(JobState, look.seen["state"])
            return Observation(token, state, look.seen["exit_code"], look.seen["reason"], **said)
        if machine is None or machine.state in ("gone", "stopped"):
            why = (machine.reason if machine is not None else "") or "the machine is gone"
            if why.startswith(_STOCK_OUT) and not record.boot:
                self._passed(record.hardware)
                return Observation(token, "lost", reason=_STOCK_OUT, hardware=record.hardware)
            preempted = "preempt" in why.lower() or "spot" in why.lower()
            if not preempted and age > self._ttl_s(orders.restored(record.job)):
                why = f"its machine's time was up after {age:.0f} s ({why})"
            return Observation(token, "preempted" if preempted else "lost", reason=why, **said)
        if look is not None and look.lost:
            return Observation(token, "lost", reason=look.lost, **said)
        if not record.boot:
            if age > self._settings.provision_s:
                trouble = f" ({look.trouble})" if look and look.trouble else ""
                why = f"no machine was ready within {self._settings.provision_s:g} s{trouble}"
                return Observation(token, "lost", reason=why, **said)
            return Observation(token, "provisioning", reason=(look.trouble if look else "") or machine.reason, **said)
        if look is not None and look.seen is not None:
            silent = look.silent_s
            if silent > self._settings.silence_s:
                why = f"its machine has not answered for {silent:.0f} s ({look.trouble})"
                return Observation(token, "lost", reason=why, **said)
            return Observation(token, "running", reason=look.trouble, **said)
        if machine.state == "unknown":
            return Observation(token, "unknown", reason=machine.reason, **said)
        if look is not None and look.trouble and look.silent_s > self._settings.silence_s:
            return Observation(token, "lost", reason=f"its machine does not answer ({look.trouble})", **said)
        return Observation(token, "running", reason=look.trouble if look else "", **said)

    def _passed(self, hardware: str) -> None:
        """Ask for other kinds first for a while, each time for twice as long: it was out of stock after all."""
        _, pause = self._sold_out.get(hardware, (0.0, _PASSED_S / 2))
        self._sold_out[hardware] = time.monotonic() + 2 * pause, 2 * pause

    def _taken(self, request: Resources) -> list[Quote]:
        """What jobs of this study have whose kind nobody lists any more: a restart must not end over it."""
        alive = [record for record in self._records.all() if record.machine and not record.ended]
        ours = [record for record in alive if orders.restored(record.job).resources == request]
        return [Quote(record.hardware, record.usd_per_hour, 0) for record in ours[:1]]

    def _machine(self, record: Record | None) -> Machine | None:
        """The machine of a record while it is there."""
        if record is None or not record.machine:
            return None
        machine = self._provider.machine(record.machine)
        return machine if machine is not None and machine.state not in ("gone", "stopped") else None

    def _over(self, record: Record) -> bool:
        """Whether the machine is known to be lost, so that asking it would only take time."""
        return record.ended.get("state") in ("lost", "preempted")

    def _known(self, token: str) -> bool:
        record = self._records.read(token)
        return record is not None and bool(record.machine)

    def _token(self, machine: Machine) -> str:
        return next((record.token for record in self._records.all() if record.name == machine.name), machine.name)

    def _delete(self, machine: str) -> None:
        self._records.doom(machine)
        end = time.monotonic() + 60
        while not self._provider.delete(machine):
            if time.monotonic() > end:
                raise RuntimeError(f"machine {machine} is still there 60 s after it was deleted")
            time.sleep(0.2)

    def _forget(self, token: str) -> None:
        self._machines.forget(token)
        self._records.forget(token)
        with self._lock:
            self._submitting.pop(token, None)
