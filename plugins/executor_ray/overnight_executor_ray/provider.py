"""A Ray cluster as a provider of machines: each is one Ray job that serves an agent on its node."""

import base64
import re
import secrets
import shlex
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core import Diagnosis
from overnight_executor_ray import cluster, doctor, entry
from overnight_executor_ray.api import Api, Duplicate, NotThere
from overnight_executor_ray.config import RayConfig, address, headers
from overnight_jobs.provider import Lost, Machine, Program, ProviderError, Quote, StockOut

_TAG, _RUN = "overnight_study", "overnight_run"
_OVER = ("STOPPED", "SUCCEEDED", "FAILED")
_PORT = re.compile(r"^overnight: serving on port (\d+)$", re.MULTILINE)
# Ray's own monitor of a job looks at it every second. It brings back, as failed and without its tag, the
# record of a job that was deleted between its end and that look.
_SETTLED_S = 3.0
# Ray starts a job within seconds if there is room. What waits longer waits for resources, and nobody
# knows how long; its stop waits with it.
_STARTING_S = 10.0


class RayProvider:
    """See overnight_jobs.provider.Provider. A machine's id is its name: the submission id is ours to
    choose, so that a submission whose answer was lost is found by asking for it. clock: seconds."""

    name = "ray"
    least_ttl_s = 0.0

    def __init__(self, config: RayConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self.lag_s = config.lag_s
        self.api = Api(address(config), headers(config), config.timeout_s)
        self._lock = threading.Lock()
        self._ports: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._stops: dict[str, float] = {}
        self._ends: dict[str, float] = {}
        self._slots: int | None = None
        self._expected: set[str] = set()

    def diagnose(self) -> Sequence[Diagnosis]:
        """See Provider."""
        return doctor.diagnose(self.api, self._config)

    def slots(self) -> int | None:
        """How many jobs of one GPU (in a cluster without, of one core) the cluster holds; while it does not
        answer, what it said last."""
        try:
            known = cluster.nodes(self.api)
        except ProviderError:
            return self._slots
        gpus = sum(int(node.total.get("GPU", 0)) for node in known)
        self._slots = gpus or sum(int(node.total.get("CPU", 0)) for node in known)
        return self._slots

    def quotes(self, gpu_type: str | None, gpus: int, cpus: float, memory_gb: float | None) -> Sequence[Quote]:
        """See Provider. What is in use by others is out of stock, for Ray gives up on what it queues after
        15 minutes; where the cluster grows on demand, it has to see the demand."""
        config = self._config
        request = cluster.Request(cpus, gpus, memory_gb, config.resources)
        with self._lock:
            expected = set(self._expected)
        known = cluster.nodes(self.api)
        return cluster.quotes(known, request, gpu_type, config.usd_per_hour, config.autoscaling, expected)

    def expect(self, hardware: str) -> None:
        """From now on, an autoscaling cluster is asked for GPUs of this kind whether a node has them now or not."""
        with self._lock:
            self._expected.add(cluster.kind_of(hardware))

    def create(self, name: str, tag: str, quote: Quote, program: Program, ttl_s: float) -> str:
        """See Provider. Ray has no time-to-live for jobs: the server that it runs has."""
        assert isinstance(quote, cluster.RayQuote)
        if quote.available == 0:
            raise StockOut("all that the cluster has is in use")
        env = {**program.env, **({"OVERNIGHT_FOLDER": self._config.folder} if self._config.folder else {})}
        run = secrets.token_hex(8)
        job = {
            "submission_id": name,
            "entrypoint": entrypoint(self._config.python, program, run),
            "metadata": {_TAG: tag, _RUN: run},
            "runtime_env": {"env_vars": env},
            **cluster.demand(quote),
        }
        try:
            return self.api.submit(job)
        except Duplicate:
            return self._again(job)

    def machines(self, tag: str) -> Sequence[Machine]:
        """See Provider."""
        ours = [job for job in self.api.jobs() if (job.get("metadata") or {}).get(_TAG) == tag]
        return [self._machine(job) for job in ours if job.get("submission_id")]

    def machine(self, machine_id: str) -> Machine | None:
        """See Provider."""
        job = self.api.job(machine_id)
        return None if job is None else self._machine({**job, "submission_id": machine_id})

    def bill(self, machine_id: str) -> float | None:
        """Ray charges nothing; what is configured as a price is an estimate."""
        return None

    def ended(self, since: float, until: float, usd_per_hour: float) -> dict[str, float]:
        """See overnight_jobs.provider.Provider: a submission's id is chosen here, none is ever unknown."""
        return {}

    def delete(self, machine_id: str) -> bool:
        """See Provider. A job that waits for resources counts as gone once its stop was taken: Ray
        keeps the stop until it would start the job."""
        job = self.api.job(machine_id)
        now = self._clock()
        try:
            if job is not None and job.get("status") not in _OVER:
                self.api.stop(machine_id)
                with self._lock:
                    asked = self._stops.setdefault(machine_id, now)
                return job.get("status") == "PENDING" and now > asked + _STARTING_S
            if job is not None:
                with self._lock:
                    if now < self._ends.setdefault(machine_id, now) + _SETTLED_S:
                        return False
                self.api.forget(machine_id)
        except NotThere:
            pass
        with self._lock:
            for known in (self._ports, self._since, self._stops, self._ends):
                known.pop(machine_id, None)
        return True

    # Inside.

    def _again(self, job: dict[str, Any]) -> str:
        """What to do about an earlier submission of the same machine: it is this one, unless it is over."""
        name = str(job["submission_id"])
        earlier = self.api.job(name)
        if earlier is not None and earlier.get("status") not in _OVER:
            if name in self._stops:
                raise StockOut("an earlier job of this name was stopped and still waits in Ray's queue")
            return name
        if earlier is not None:
            self.api.forget(name)
        with self._lock:
            for known in (self._ports, self._since, self._stops, self._ends):
                known.pop(name, None)
        try:
            return self.api.submit(job)
        except Duplicate as error:
            raise Lost(str(error)) from None

    def _machine(self, job: dict[str, Any]) -> Machine:
        name, status = str(job["submission_id"]), job.get("status")
        seconds = self._seconds(name, job)
        more: dict[str, Any] = {"seconds": seconds}
        if status in _OVER:
            with self._lock:
                self._ends.setdefault(name, self._clock())
            return Machine(name, name, "stopped", reason=reason(job), **more)
        if status == "RUNNING":
            return Machine(name, name, "running", self._url(name, job), **more)
        if status != "PENDING":
            return Machine(name, name, "unknown", reason=f"Ray says that it is {status!r}", **more)
        asked = self._stops.get(name)
        if asked is not None and self._clock() > asked + _STARTING_S:
            return Machine(name, name, "gone", reason="it was stopped before it started", **more)
        return Machine(name, name, "provisioning", reason="Ray has not started it yet", **more)

    def _url(self, name: str, job: dict[str, Any]) -> str | None:
        port = self._ports.get(name) or self._config.port
        run = str((job.get("metadata") or {}).get(_RUN) or "")
        if not port:
            # An earlier job of this name has written into the same file; ours begins with its entrypoint.
            found = _PORT.search(log, log.rfind(run)) if (log := self._log(name)) and run and run in log else None
            if found is None:
                return None
            port = self._ports[name] = int(found[1])
        agent = urlsplit(str(job.get("driver_agent_http_address") or ""))
        if not agent.hostname:
            return None
        ip = f"[{agent.hostname}]" if ":" in agent.hostname else agent.hostname
        return self._config.node_url.format(ip=ip, port=port, node=job.get("driver_node_id") or "")

    def _log(self, name: str) -> str:
        try:
            return self.api.logs(name)
        except ProviderError:
            return ""  # its node's agent does not answer; the job itself says when that is final

    def _seconds(self, name: str, job: dict[str, Any]) -> float:
        """Since it was seen to run. Ray knows only when it was submitted, which stands in after a restart."""
        start, end = job.get("start_time"), job.get("end_time")
        if not job.get("driver_node_id") or not isinstance(start, int | float):
            with self._lock:
                self._since[name] = time.time()
            return 0.0
        with self._lock:
            since = self._since.setdefault(name, start / 1000)
        until = end / 1000 if isinstance(end, int | float) else time.time()
        return max(0.0, until - since)


def entrypoint(python: str, program: Program, run: str) -> str:
    """The shell command of a Ray job that runs a program, in a folder of its own. run: names it in the log."""
    packed = base64.b85encode(zlib.compress(Path(entry.__file__).read_bytes(), 9)).decode()
    code = f"import base64,zlib;exec(zlib.decompress(base64.b85decode({packed!r})))"
    command = list(program.command)
    if command[0] == "python3":
        command[0] = python
    return f"OVERNIGHT_RUN={run} exec {shlex.join([python, '-I', '-S', '-c', code, *command])}"


def reason(job: dict[str, Any]) -> str:
    """Why a Ray job is over, in one line."""
    said = [line.strip() for line in str(job.get("message") or "").splitlines()]
    # Ray ends its message with the log, which begins with the whole entrypoint.
    told = [line for line in said if line and "Running entrypoint for job" not in line]
    kind = job.get("error_type")
    if kind == "JOB_SUPERVISOR_ACTOR_DIED":
        told = told[-1:]  # what killed it; the lines before are about Ray's own actor
    text = f"{told[0]} … {told[-1]}" if len(told) > 1 else "".join(told)
    return f"Ray: {text[:400] or job.get('status')}" + (f" ({kind})" if kind else "")
