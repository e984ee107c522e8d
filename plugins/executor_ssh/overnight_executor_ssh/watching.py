"""Watching: what hosts say of their jobs, asked in the background; what must outlive a host, copied here."""

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from overnight_executor_ssh.background import spawn
from overnight_executor_ssh.config import SshConfig
from overnight_executor_ssh.host import Host
from overnight_executor_ssh.records import Record, Records
from overnight_jobs.far_side import FarError, FarGone


class Watch:
    """The last answer about each job, and the mirrors."""

    def __init__(self, config: SshConfig, hosts: Mapping[str, Host], records: Records) -> None:
        self._config, self._hosts, self._records = config, hosts, records
        self._lock = threading.Lock()
        self._looks: dict[str, Future[None]] = {}
        self._copies: dict[str, Future[None]] = {}
        self._copied: dict[str, float] = {}
        self._ending: dict[str, Future[None]] = {}
        self._seen: dict[str, dict[str, Any]] = {}

    def look(self, jobs: Sequence[Record], within_s: float) -> set[str]:
        """Ask all hosts of these jobs at once, also those whose start was not answered yet; returns the
        names of those that answered in time."""
        given_up = {record.host for record in self._records.all() if record.given_up}
        names = ({record.host for record in jobs} | given_up) & self._hosts.keys()
        with self._lock:
            for name in names:
                task = self._looks.get(name)
                if task is None or task.done():
                    mine = [record for record in jobs if record.host == name and record.started]
                    self._looks[name] = spawn(self._ask, self._hosts[name], mine)
            asked = {name: self._looks[name] for name in names}
        answered = set()
        end = time.monotonic() + within_s
        for name, task in asked.items():
            try:
                task.result(max(0.0, end - time.monotonic()))
                answered.add(name)
            except (TimeoutError, FarGone, FarError):
                continue  # the host's `trouble` and its silence say it
        return answered

    def seen(self, token: str) -> dict[str, Any] | None:
        """The last answer about a job: state, exit_code, reason, seconds, hardware."""
        return self._seen.get(token)

    def forget(self, token: str) -> None:
        """The job is gone."""
        with self._lock:
            for known in (self._seen, self._copies, self._copied, self._ending):
                known.pop(token, None)

    # Inside: what the threads do.

    def _ask(self, host: Host, jobs: Sequence[Record]) -> None:
        told = host.ask(lambda far: far.poll([record.slug for record in jobs]))
        for record, seen in zip(jobs, told, strict=True):
            self._seen[record.token] = seen
            if seen["state"] == "running" and record.job.get("mirrored"):
                self._copy(host, record)
        for record in self._records.all():
            if record.given_up and record.host == host.name:
                self._end(host, record)

    def _copy(self, host: Host, record: Record) -> None:
        """Copy outputs that are to outlive the host, when it is time to; the first after one period."""
        now = time.monotonic()
        with self._lock:
            last, task = self._copied.setdefault(record.token, now), self._copies.get(record.token)
            if now - last > self._config.mirror_s and (task is None or task.done()):
                self._copied[record.token] = now
                self._copies[record.token] = spawn(self._mirror, host, record)

    def _mirror(self, host: Host, record: Record) -> None:
        names = list(record.job["mirrored"])
        target = self._records.mirror(record.token)
        incoming = target.with_suffix(".incoming")
        host.ask(lambda far: far.fetch(record.slug, incoming, names), "transfer")
        if any((incoming / name).exists() for name in names) and self._records.read(record.token) is not None:
            shutil.rmtree(target, ignore_errors=True)
            incoming.rename(target)
        shutil.rmtree(incoming, ignore_errors=True)

    def _end(self, host: Host, record: Record) -> None:
        """A host that was given up is back: what ran there for us is ended now."""
        with self._lock:
            task = self._ending.get(record.token)
            if task is None or task.done():
                self._ending[record.token] = spawn(self._cancel, host, record)

    def _cancel(self, host: Host, record: Record) -> None:
        if host.ask(lambda far: far.cancel(record.slug, record.token, 0.0)):
            self._records.forget(record.token)
