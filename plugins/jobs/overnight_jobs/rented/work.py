"""Work on one machine: giving it its job, asking after it, copying what must outlive it."""

import contextlib
import hashlib
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core import SetupError
from overnight_jobs import code, orders, requirements
from overnight_jobs.far_side import FarBusy, FarSide
from overnight_jobs.http import HttpTransport, OtherBoot
from overnight_jobs.manifest import Hasher
from overnight_jobs.provider import Machine
from overnight_jobs.rented.records import Record, Records
from overnight_jobs.rented.settings import RentedSettings

# What an image with CUDA brings in the versions that fit its driver; gigabytes to install again.
_OF_THE_IMAGE = ("torch", "torchvision", "torchaudio", "triton", "nvidia-", "cuda-")


class NotReady(Exception):
    """The machine is there, but its job has to wait for something."""


class Hopeless(Exception):
    """The machine will never be able to run its job."""


@dataclass
class Look:
    """What is known of a machine's job besides what the provider says. asked: since when its server owes
    an answer, monotonic seconds, 0 = it gave the last one. seen: its last answer. trouble: why it has no job
    yet, or why it does not answer. mirrored: when the last copy of what must outlive it ended, monotonic
    seconds. behind: why that copy failed. lost: why it will never run."""

    asked: float = 0.0
    seen: dict[str, Any] | None = None
    trouble: str = ""
    mirrored: float = 0.0
    behind: str = ""
    lost: str = ""

    @property
    def silent_s(self) -> float:
        """Seconds for which its server has been asked without any answer."""
        return time.monotonic() - self.asked if self.asked else 0.0

    def ask(self) -> None:
        """A question is put; unless one before it is still open, silence begins here."""
        self.asked = self.asked or time.monotonic()


class Machines:
    """The connections to all machines of one executor; every call is short or done by a thread."""

    def __init__(self, settings: RentedSettings, records: Records, workspace: Path) -> None:
        self._settings = settings
        self._records = records
        self._workspace = workspace
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="machines")
        # Apart from the questions, which must not wait for gigabytes.
        self._copiers = ThreadPoolExecutor(4, thread_name_prefix="copies")
        self._lock = threading.Lock()
        self._looks: dict[str, Look] = {}
        self._busy: dict[str, Future[None]] = {}
        self._copies: dict[str, Future[None]] = {}
        self._transports: dict[tuple[str, str, str], HttpTransport] = {}
        self._hasher = Hasher()
        self._bundle: Path | None = None
        self._lines: list[str] | None = None

    def prepare(self) -> None:
        """Make what every machine is given, before the first one is paid for. Raises SetupError, OSError."""
        self._code()
        if self._settings.requirements != "none":
            self._required()

    def look(self, record: Record, machine: Machine) -> Look:
        """What is known of the job; asks again in the background where it is time to."""
        with self._lock:
            look = self._looks.setdefault(record.token, Look())
            task = self._busy.get(record.token)
        if record.boot and not machine.url:
            look.ask()
        if machine.url and (task is None or task.done()):
            work = self._ask if record.boot else self._give
            url = machine.url
            with self._lock:
                self._busy[record.token] = self._pool.submit(self._guarded, work, record, url, look)
        return look

    def settle(self, token: str, within_s: float) -> None:
        """Wait a moment for a question that is under way, so that its answer is in this look."""
        with self._lock:
            task = self._busy.get(token)
        if task is not None:
            with contextlib.suppress(Exception):
                task.result(within_s)

    def far(self, record: Record, url: str) -> FarSide:
        """The agent of a record's machine."""
        return FarSide(self._transport(record.token, url, record.boot))

    def forget(self, token: str) -> None:
        """The job is gone."""
        with self._lock:
            self._looks.pop(token, None)
            self._busy.pop(token, None)
            if copy := self._copies.pop(token, None):
                copy.cancel()
            for key in [key for key in self._transports if key[0] == token]:
                self._transports.pop(key).close()

    # Inside: what the threads do.

    def _guarded(self, work: Callable[[Record, str, Look], None], record: Record, url: str, look: Look) -> None:
        try:
            work(record, url, look)
            look.asked, look.trouble = 0.0, look.behind
        except NotReady as error:
            look.asked, look.trouble = 0.0, str(error)
        except (OtherBoot, FarBusy, Hopeless, SetupError) as error:  # a machine all ours without a free GPU has none
            look.lost = str(error)
        except Exception as error:  # noqa: BLE001 - nobody looks into the Future: whatever it is, a person must see it
            look.trouble = f"{type(error).__name__}: {error}"

    def _give(self, record: Record, url: str, look: Look) -> None:
        """Bring the job's files and start it. The boot is remembered first: a machine that starts again
        after that has lost its job, and is not given it twice."""
        transport = self._transport(record.token, url, "")
        boot = transport.boot or transport.hello()
        transport.boot = boot
        job = orders.restored(record.job)
        entries = self._hasher.manifest(job.files)
        bundle = self._hasher.entry(self._code())
        far = FarSide(transport)
        far.send([*entries.values(), bundle])
        python = self._python(far)
        latest = self._records.read(record.token)
        if latest is None:
            return  # it was cancelled meanwhile
        self._records.write(replace(latest, boot=boot))
        settings = self._settings
        far.start(
            orders.order(
                job,
                entries,
                code=bundle.digest,
                python=python,
                max_log_mb=settings.max_log_mb,
                env=settings.env,
                confine=settings.confine == "auto",
            )
        )

    def _python(self, far: FarSide) -> str:
        """The interpreter for jobs on that machine. Raises NotReady while it is being made, Hopeless."""
        settings = self._settings
        if settings.requirements == "none":
            return settings.python
        lines = self._required()
        key = hashlib.sha256("\n".join([*lines, "--", *settings.pip_args]).encode()).hexdigest()[:16]
        told = far.environment(
            {
                "key": key, "requirements": lines, "first": [], "pip_args": list(settings.pip_args),
                "venv_args": ["--system-site-packages"],
            }
        )  # fmt: skip
        if told["state"] == "ready":
            return str(told["python"])
        if told["state"] == "failed":
            raise Hopeless(
                f"its environment could not be made (executor.requirements, executor.pip_args): {told['said']}"
            )
        step = f": {told['said']}" if told["said"] else ""
        raise NotReady(f"installing the environment ({told['seconds']} s{step})")

    def _ask(self, record: Record, url: str, look: Look) -> None:
        look.ask()
        far = self.far(record, url)
        (seen,) = far.poll([record.slug])
        look.asked = 0.0
        if seen["state"] == "lost" and not far.there(record.slug):
            # The boot is the one that was to get it, but its start was not heard: again, which is safe.
            self._give(record, url, look)
            (seen,) = far.poll([record.slug])
        look.seen = seen
        if seen["state"] == "running" and record.job.get("mirrored"):
            now = time.monotonic()
            look.mirrored = look.mirrored or now  # the first copy is due one period after its start
            with self._lock:
                copy = self._copies.get(record.token)
                due = now - look.mirrored > self._settings.mirror_s and (copy is None or copy.done())
                if due and self._looks.get(record.token) is look:
                    self._copies[record.token] = self._copiers.submit(self._mirror, far, record, look)

    def _mirror(self, far: FarSide, record: Record, look: Look) -> None:
        names = record.job["mirrored"]
        target = self._records.mirror(record.token)
        incoming, former = target.with_suffix(".incoming"), target.with_suffix(".former")
        leftovers = incoming, incoming.with_name(f"{incoming.name}.partial"), former
        try:
            shutil.rmtree(former, ignore_errors=True)
            far.fetch(record.slug, incoming, names)
            with self._lock:  # once the job is forgotten, so is its mirror
                if self._looks.get(record.token) is look and any((incoming / each).exists() for each in names):
                    if target.exists():
                        target.rename(former)
                    incoming.rename(target)
            look.behind = ""
        except Exception as error:  # noqa: BLE001 - as in _guarded
            look.behind = f"what must outlive it was not copied: {type(error).__name__}: {error}"
        finally:
            for each in leftovers:
                shutil.rmtree(each, ignore_errors=True)
            look.mirrored = time.monotonic()

    def _transport(self, token: str, url: str, boot: str) -> HttpTransport:
        key = (token, url, boot)
        with self._lock:
            if key not in self._transports:
                secret = self._records.secret(token)
                self._transports[key] = HttpTransport(url, secret, boot, self._settings.timeout_s)
            return self._transports[key]

    def _code(self) -> Path:
        with self._lock:
            if self._bundle is None:
                try:
                    self._bundle = code.bundle(self._workspace)
                except code.NotPure as error:
                    raise SetupError(str(error)) from None
            return self._bundle

    def _required(self) -> list[str]:
        with self._lock:
            if self._lines is None:
                self._lines = requirements.beside(_OF_THE_IMAGE, requirements.lines(self._settings.requirements))
            return self._lines
