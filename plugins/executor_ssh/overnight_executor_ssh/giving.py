"""Giving: brings a job to its host in the background: the environment, the files, the start."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

from core import Job, OutOfStock, SetupError
from overnight_executor_ssh.background import spawn
from overnight_executor_ssh.config import SshConfig
from overnight_executor_ssh.host import Host
from overnight_executor_ssh.placing import choose
from overnight_executor_ssh.records import Record, Records
from overnight_jobs import code, orders
from overnight_jobs.far_side import FarBusy, FarError, FarGone
from overnight_jobs.manifest import Entry, Hasher

_GIB = 2**30
# Tries after which an error that is nobody's absence is the job's end.
_TRIES = 5


class Giver:
    """Gives jobs to hosts. Whatever it does may be done again: a host starts nothing twice, and a job
    whose start was asked for at one host is never brought to another."""

    def __init__(self, config: SshConfig, workspace: Path, hosts: Mapping[str, Host], records: Records) -> None:
        self._config, self._workspace, self._hosts, self._records = config, workspace, hosts, records
        self.choosing = threading.Lock()  # so that no place is given twice
        self._lock = threading.Lock()
        self._own: dict[str, threading.Lock] = {}
        self._under_way: dict[str, Future[None]] = {}
        self._said: dict[str, str] = {}
        self._errors: dict[str, list[tuple[float, str]]] = {}
        self._tried: dict[str, set[str]] = {}
        self._hasher = Hasher()
        self._bundle: Entry | None = None

    def push(self, token: str) -> None:
        """Go on with a job that has not started, unless that is under way or just failed."""
        with self._lock:
            errors = self._errors.get(token, [])
            if errors and time.monotonic() - errors[-1][0] < 2 ** (len(errors) - 1):
                return
            task = self._under_way.get(token)
            if task is None or task.done():
                self._under_way[token] = spawn(self._guarded, token)

    def said(self, token: str) -> str:
        """Why a job has not started yet."""
        return self._said.get(token, "on its way to its host")

    def hopeless(self, token: str) -> str:
        """The error that a job cannot be started for, after several tries; else ""."""
        errors = self._errors.get(token, [])
        return errors[-1][1] if len(errors) >= _TRIES else ""

    @contextlib.contextmanager
    def only(self, token: str, within_s: float = 60.0) -> Iterator[None]:
        """Held while a job is being started or deleted: never both. Raises FarGone after that long."""
        with self._lock:
            own = self._own.setdefault(token, threading.Lock())
        if not own.acquire(timeout=within_s):
            raise FarGone(f"{token} is being started on a host that does not answer")
        try:
            yield
        finally:
            own.release()

    def forget(self, token: str) -> None:
        """The job is gone."""
        with self._lock:
            for known in (self._own, self._under_way, self._said, self._errors, self._tried):
                known.pop(token, None)

    # Inside: what the threads do.

    def _guarded(self, token: str) -> None:
        try:
            self._give(token)
        except (FarError, SetupError, OSError, ValueError, KeyError, TypeError) as error:
            self._said[token] = f"it could not be started: {type(error).__name__}: {error}"
            self._errors.setdefault(token, []).append((time.monotonic(), self._said[token]))

    def _give(self, token: str) -> None:
        record = self._records.read(token)
        host = self._hosts.get(record.host) if record is not None else None
        if record is None or host is None or record.started or not record.takes_a_place:
            return None
        try:
            ready = host.ready()
            if ready.state == "failed":
                return self._elsewhere(record, f"{ready.said}; {ready.todo}")
            if ready.state == "installing":
                self._said[token] = f"{host.name}: {ready.said}"
                return None
            self._start(record, host, ready.python)
        except FarGone as error:
            # The start may have been heard, unless it was not sent: then another host is as good.
            latest = self._records.read(token)
            if latest is not None and not latest.sent:
                return self._elsewhere(latest, str(error))
            self._said[token] = f"its start was not answered: {error}"
        except FarBusy as error:
            if (latest := self._records.change(token, sent=False)) is not None:
                self._elsewhere(latest, f"{host.name}: {error}")
        return None

    def _start(self, record: Record, host: Host, python: str) -> None:
        job = orders.restored(record.job)
        entries = self._hasher.manifest(job.files)
        bundle = self._code()
        self._said[record.token] = f"{host.name}: its files are being sent"
        host.ask(lambda far: far.send([*entries.values(), bundle]), "transfer")
        host.learn()
        order = orders.order(
            job,
            entries,
            code=bundle.digest,
            python=python,
            max_log_mb=self._config.max_log_mb,
            env=self._config.env,
            gpu_ids=host.gpu_ids,
            limits=self._limits(job),
            confine=self._config.confine == "auto",
            threads=host.threads,
        )
        order["keep_env"] = list(self._config.keep_env)
        with self.only(record.token):
            latest = self._records.read(record.token)
            if latest is None or latest.given_up:
                return  # it was cancelled meanwhile
            self._records.change(record.token, sent=True)
            host.ask(lambda far: far.start(order), "work")
            self._records.change(record.token, started=True)
        self._said.pop(record.token, None)

    def _elsewhere(self, record: Record, why: str) -> None:
        """Choose another host for a job that was started nowhere; if there is none, all are tried again."""
        tried = self._tried.setdefault(record.token, set())
        tried.add(record.host)
        self._said[record.token] = why
        with self.choosing:
            try:
                host = choose(orders.restored(record.job), self._hosts, self._records, but=tried)
            except OutOfStock:
                tried.clear()  # it waits where it is, and all are tried again
                return
            if self._records.change(record.token, host=host.name) is not None:
                self._said[record.token] = f"{why}; it goes to {host.name}"

    def _limits(self, job: Job) -> dict[str, int | None]:
        config = self._config
        memory = job.resources.memory_gb if config.memory_gb == "auto" else config.memory_gb
        return {
            "memory_bytes": None if memory is None else int(memory * _GIB),
            "processes": config.max_processes,
            "disk_bytes": None if config.disk_gb is None else int(config.disk_gb * _GIB),
            "open_files": None,
        }

    def _code(self) -> Entry:
        with self._lock:
            if self._bundle is None:
                self._bundle = self._hasher.entry(code.bundle(self._workspace))
            return self._bundle
