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

from overnight_jobs import code, orders, requirements
from overnight_jobs.far_side import FarBusy, FarError, FarGone, FarSide
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
    """What is known of a machine's job besides what the provider says. heard: when its server last
    answered, monotonic seconds, 0 = never. seen: its last answer. trouble: why it has no job yet, or
    why it does not answer."""

    heard: float = 0.0
    seen: dict[str, Any] | None = None
    trouble: str = ""
    mirrored: float = 0.0
    lost: str = ""


class Machines:
    """The connections to all machines of one executor; every call is short or done by a thread."""

    def __init__(self, settings: RentedSettings, records: Records, workspace: Path) -> None:
        self._settings = settings
        self._records = records
        self._workspace = workspace
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="machines")
        self._lock = threading.Lock()
        self._looks: dict[str, Look] = {}
        self._busy: dict[str, Future[None]] = {}
        self._transports: dict[tuple[str, str, str], HttpTransport] = {}
        self._hasher = Hasher()
        self._bundle: Path | None = None

    def look(self, record: Record, machine: Machine) -> Look:
        """What is known of the job; asks again in the background where it is time to."""
        with self._lock:
            look = self._looks.setdefault(record.token, Look())
            task = self._busy.get(record.token)
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
            for key in [key for key in self._transports if key[0] == token]:
                self._transports.pop(key).close()

    # Inside: what the threads do.

    def _guarded(self, work: Callable[[Record, str, Look], None], record: Record, url: str, look: Look) -> None:
        try:
            work(record, url, look)
            look.heard, look.trouble = time.monotonic(), ""
        except NotReady as error:
            look.heard, look.trouble = time.monotonic(), str(error)
        except (OtherBoot, FarBusy, Hopeless) as error:  # a machine that is all ours and has no GPU free has none
            look.lost = str(error)
        except (FarGone, FarError, OSError, ValueError) as error:
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
        lines = requirements.beside(_OF_THE_IMAGE, requirements.lines(settings.requirements))
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
        far = self.far(record, url)
        (seen,) = far.poll([record.slug])
        if seen["state"] == "lost" and not far.there(record.slug):
            # The boot is the one that was to get it, but its start was not heard: again, which is safe.
            self._give(record, url, look)
            (seen,) = far.poll([record.slug])
        look.seen = seen
        names = record.job.get("mirrored")
        if seen["state"] == "running" and names:
            now = time.monotonic()
            look.mirrored = look.mirrored or now  # the first copy is due one period after its start
            if now - look.mirrored > self._settings.mirror_s:
                self._mirror(far, record, names)
                look.mirrored = time.monotonic()

    def _mirror(self, far: FarSide, record: Record, names: list[str]) -> None:
        target = self._records.mirror(record.token)
        incoming = target.with_suffix(".incoming")
        far.fetch(record.slug, incoming, names)
        if any((incoming / each).exists() for each in names):
            shutil.rmtree(target, ignore_errors=True)
            incoming.rename(target)
        shutil.rmtree(incoming, ignore_errors=True)

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
                self._bundle = code.bundle(self._workspace)
            return self._bundle
