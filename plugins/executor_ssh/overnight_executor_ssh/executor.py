"""The `ssh` executor: jobs on a list of hosts, each kept by a supervisor of its own there."""

import contextlib
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from core import (
    TERMINAL,
    Caps,
    Diagnosis,
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
    SetupError,
)
from overnight_executor_ssh import diagnosis, placing
from overnight_executor_ssh.background import spawn
from overnight_executor_ssh.config import SshConfig
from overnight_executor_ssh.giving import Giver
from overnight_executor_ssh.host import Host
from overnight_executor_ssh.records import Record, Records
from overnight_executor_ssh.watching import Watch
from overnight_jobs import orders, requirements
from overnight_jobs.far.files import digest, slug
from overnight_jobs.far_side import FarError, FarGone

T = TypeVar("T")

_MOMENT_S = 3.0  # what one host's silence may delay the news of all others
_REPLY_S = 10.0
_LONG_S = 90.0


class SshExecutor:
    """Runs each trial on one of the hosts, as a supervised process tree that outlives this controller.

    `submit` only decides and writes down; threads bring the job to its host. A start whose answer
    was lost is asked for again there, which starts nothing twice, so that `submit` is never in doubt.
    """

    Config = SshConfig

    def __init__(self, config: SshConfig, workspace: Path) -> None:
        self._config = config
        if config.requirements != "auto":
            requirements.lines(config.requirements)  # a file that is not there is said at once
        self._hosts = {host.name: Host(host, config) for host in config.hosts}
        self._records = Records(Path(workspace).absolute())
        self._giver = Giver(config, Path(workspace).absolute(), self._hosts, self._records)
        self._watch = Watch(config, self._hosts, self._records)
        self._offered = False

    def __del__(self) -> None:
        for host in getattr(self, "_hosts", {}).values():
            host.transport.close()

    def caps(self) -> Caps:
        """See core.contracts.Executor. Hosts that do not answer have no slots just now."""
        self._learn(_REPLY_S)
        slots = sum(host.slots for host in self._hosts.values() if not placing.usable(host))
        return Caps(
            max(1, slots), detached=True, priced=self._config.usd_per_hour > 0, elastic=True, shares_files=False
        )  # fmt: skip

    def offers(self, request: Resources) -> Sequence[Offer]:
        """The kinds of hosts that are big enough, those with most places first."""
        if not self._hosts:
            raise SetupError("executor.hosts is empty: name hosts, e.g. 'executor.hosts=[me@gpu1, me@gpu2:2222]'")
        self._learn(2 * self._config.connect_timeout_s + _MOMENT_S)
        hosts = list(self._hosts.values())
        if refused := [host.refused for host in hosts if host.refused is not None and host.facts is None]:
            raise SetupError("\n".join(map(str, refused)))
        if all(host.facts is None for host in hosts):
            raise SetupError("no host of executor.hosts can be reached: " + "; ".join(h.trouble for h in hosts))
        self._offered = True
        kinds: dict[str, int] = {}
        for host in hosts:
            if host.fits(request):
                kind = host.hardware(request.gpus)
                kinds[kind] = kinds.get(kind, 0) + host.slots
        best = sorted(kinds.items(), key=lambda each: -each[1])
        return [Offer(kind, self._config.usd_per_hour, places) for kind, places in best]

    def submit(self, job: Job, token: str) -> Handle:
        """See core.contracts.Executor. Never Ambiguous."""
        with self._giver.choosing:
            record = self._records.read(token)
            if record is None:
                self._learn(_REPLY_S, newer_than_s=0.0 if job.resources.gpus else 60.0)
                price = self._config.usd_per_hour
                if job.max_usd_per_hour is not None and price > job.max_usd_per_hour * (1 + 1e-9):
                    raise OutOfStock(f"executor.usd_per_hour is {price:g}, more than {job.max_usd_per_hour:g}")
                host = placing.choose(job, self._hosts, self._records)
                self._records.write(Record(token, job.owner, host.name, orders.plain(job)))
        for each in self._hosts.values():
            each.prepare()
        self._giver.push(token)
        return self._handle(token)

    def find(self, token: str) -> Handle | None:
        """See core.contracts.Executor."""
        record = self._records.read(token)
        return None if record is None or record.given_up else self._handle(token)

    def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """See core.contracts.Executor. SetupError: no host's environment can be made."""
        found = [(handle.token, self._records.read(handle.token)) for handle in handles]
        going = [record for _, record in found if record is not None and record.takes_a_place]
        for record in going:
            if not record.started and record.host in self._hosts:
                self._giver.push(record.token)
        for host in self._hosts.values() if any(not record.started for record in going) else ():
            host.prepare()
        answered = self._watch.look([record for record in going if record.sent], _MOMENT_S)
        return [self._observe(token, self._records.read(token), answered) for token, _ in found]

    def logs(self, handle: Handle, offset: int, stream: Literal["log", "metrics"] = "log") -> tuple[bytes, int]:
        """See core.contracts.Executor. Raises FarGone at once for a host that did not answer just now."""
        record = self._records.read(handle.token)
        host = self._hosts.get(record.host) if record is not None else None
        if record is None or host is None or not record.started or self._over(record):
            return b"", offset
        if problem := host.problem():
            raise FarGone(problem)
        data = host.quickly(lambda far: far.read(record.slug, stream, offset), _REPLY_S)
        return data, offset + len(data)

    def fetch(self, handle: Handle, dest: Path) -> Manifest:
        """See core.contracts.Executor. Of a host that is lost: what was mirrored."""
        record = self._records.read(handle.token)
        host = self._hosts.get(record.host) if record is not None else None
        if record is not None and record.started and host is not None and not self._hopeless(record, host):
            try:
                brought = host.ask(lambda far: far.fetch(record.slug, dest), "transfer")
                names = {name.partition("/")[0] for name in brought.files}
                if not self._over(record) or names & set(record.job["mirrored"]):
                    return brought
            except (FarGone, FarError):
                if not self._hopeless(record, host):
                    raise
        mirror = self._records.mirror(handle.token)
        shutil.rmtree(dest, ignore_errors=True)
        if mirror.is_dir():
            shutil.copytree(mirror, dest)
        else:
            dest.mkdir(parents=True)
        return Manifest({str(p.relative_to(dest)): digest(p) for p in sorted(dest.rglob("*")) if p.is_file()})

    def cancel(self, handle: Handle, grace_s: float) -> None:
        """See core.contracts.Executor. On a host that has been silent for too long nothing can be done:
        the job ends there at its deadline, or as soon as the host answers this controller again."""
        token = handle.token
        with self._giver.only(token):
            record = self._records.read(token)
            host = self._hosts.get(record.host) if record is not None else None
            if record is not None and record.sent and host is not None:
                if self._hopeless(record, host):
                    self._records.change(token, given_up=True)
                    return
                if not host.quickly(lambda far: far.cancel(record.slug, token, grace_s), _LONG_S):
                    raise NotYet(token)
            self._records.forget(token)
        self._giver.forget(token)
        self._watch.forget(token)

    def reap(self, owner: str, live: Collection[str]) -> Reaped:
        """See core.contracts.Executor. What is on a host that does not answer is ended when it answers
        again, else at its deadline. Raises FarGone for such a host where no study began here, so that
        nothing is known of what it may hold."""
        stale = [record for record in self._records.all() if record.owner == owner and record.token not in live]
        for record in stale:
            self._records.change(record.token, given_up=True)  # from here on, none of them is started
            with contextlib.suppress(FarGone), self._giver.only(record.token, _REPLY_S):
                continue  # and one that was just being started has been, so that its host knows of it
        ours = {record.host for record in stale}
        asked = {
            host.name: spawn(self._reap, host, owner, live, host.name in ours and not host.problem())
            for host in self._hosts.values()
        }
        found: dict[str, None] = {}
        gone: dict[str, FarGone] = {}
        for name, future in asked.items():
            try:
                found |= dict.fromkeys(future.result())
            except FarGone as error:
                gone[name] = error
        for record in stale:
            latest = self._records.read(record.token)
            if latest is not None and latest.host in gone and latest.sent:
                continue
            if record.takes_a_place and not record.sent:
                found.setdefault(record.token)
            self._records.forget(record.token)
            self._giver.forget(record.token)
            self._watch.forget(record.token)
        if gone and not self._offered and not self._records.all():
            raise next(iter(gone.values()))
        return Reaped(tuple(found))

    def diagnose(self) -> Sequence[Diagnosis]:
        """See core.contracts.Diagnoses."""
        return diagnosis.diagnose(self._hosts.values(), self._config)

    # Inside.

    def _learn(self, within_s: float, newer_than_s: float = 60.0) -> None:
        placing.learn(self._hosts.values(), newer_than_s, within_s)

    def _reap(self, host: Host, owner: str, live: Collection[str], again: bool) -> tuple[str, ...]:
        try:
            return host.quickly(lambda far: far.reap(owner, live), _LONG_S)
        except FarGone:
            if not again or host.refused is not None:
                raise
        time.sleep(_MOMENT_S)  # a connection that broke is made anew
        return host.quickly(lambda far: far.reap(owner, live), _LONG_S)

    def _handle(self, token: str) -> Handle:
        return Handle(token, slug(token))

    def _over(self, record: Record) -> bool:
        """Whether the job was seen as lost already, or given up: whoever asks has stopped waiting for it."""
        return record.given_up or record.ended.get("state") == "lost"

    def _hopeless(self, record: Record, host: Host) -> bool:
        """Whether its host does not answer, and nobody waits for that any longer."""
        return bool(host.problem()) and (self._over(record) or host.silent_s() > self._config.silence_s)

    def _observe(self, token: str, record: Record | None, answered: Collection[str]) -> Observation:
        if record is None or record.given_up:
            return Observation(token, "lost", reason="there is no trace of the job")
        if record.ended:
            return Observation(token, **record.ended)
        seen = self._state(record, answered)
        if seen.state in TERMINAL:
            # Final is final: what becomes of the host later changes nothing of what was seen once.
            names = ("state", "exit_code", "reason", "seconds", "usd", "hardware")
            self._records.change(token, ended={name: getattr(seen, name) for name in names})
        return seen

    def _state(self, record: Record, answered: Collection[str]) -> Observation:
        token, host = record.token, self._hosts.get(record.host)
        last = self._watch.seen(token) or {}
        seconds = float(last.get("seconds", 0.0))
        said: dict[str, Any] = {
            "seconds": seconds,
            "usd": seconds / 3600 * self._config.usd_per_hour,
            "hardware": last.get("hardware") or (host.hardware(record.gpus) if host is not None else ""),
        }
        if host is None:
            return Observation(token, "lost", reason=f"{record.host} is not in executor.hosts any more", **said)
        silent = host.silent_s()
        if record.sent and silent > self._config.silence_s:
            why = f"{host.name} has not answered for {silent:.0f} s ({host.trouble or 'it hangs'})"
            return Observation(token, "lost", reason=why, **said)
        if not record.started:
            if hopeless := self._giver.hopeless(token):
                return Observation(token, "lost", reason=f"{host.name}: {hopeless}", **said)
            if not record.sent and (todo := placing.mendable(self._hosts.values())):
                raise SetupError(todo)
            return Observation(token, "provisioning", reason=self._giver.said(token), **said)
        if not last and not host.trouble:
            return Observation(token, "provisioning", reason=f"{host.name}: started", **said)
        if host.name not in answered:
            why = host.trouble or f"{host.name} has not answered for {silent:.0f} s"
            return Observation(token, "unknown", reason=why, **said)
        return Observation(token, cast(JobState, last["state"]), last["exit_code"], last["reason"], **said)
