"""The `slurm` executor: each job a supervised process tree in a job of a Slurm cluster."""

import math
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal

from core import (
    Ambiguous,
    Caps,
    Diagnosis,
    Handle,
    Job,
    Manifest,
    NotYet,
    Observation,
    Offer,
    OutOfStock,
    Reaped,
    Resources,
    SetupError,
)
from overnight_executor_slurm import diagnosis, offers, order
from overnight_executor_slurm.commands import Slurm, SlurmError
from overnight_executor_slurm.config import SlurmConfig
from overnight_executor_slurm.ending import Ending
from overnight_executor_slurm.jobfolder import JobFolder
from overnight_executor_slurm.listing import Node, Record
from overnight_executor_slurm.watching import Watching
from overnight_jobs import folder
from overnight_jobs.far import files
from overnight_jobs.writable import refuse_wide

# Seconds in which `reap` must see all jobs end.
_REAP_S = 90.0
# Seconds that a cluster bills before a job's supervisor begins and after it ends.
_OVERHEAD_S = 60.0


class SlurmExecutor:
    """Runs each trial as a job of a Slurm cluster, in a folder on a file system that its nodes share.

    The job's supervisor on the node (the same as for local jobs) is the truth of how it ended:
    exit.json. Slurm's controller is asked for what a supervisor cannot say: that the job waits, that
    it was preempted, that its node is gone.
    """

    Config = SlurmConfig

    def __init__(self, config: SlurmConfig, workspace: Path) -> None:
        self._config = config
        self._workspace = Path(workspace).absolute()
        if config.confine == "auto":
            refuse_wide(self._workspace, config.writable)
        self._slurm = Slurm(config.timeout_s, config.squeue_every_s, config.gres_name)
        self._watching = Watching(config, self._slurm)
        self._ending = Ending(self._slurm)
        self._request = Resources()
        self._possible: set[Resources] = set()
        self._lock = threading.Lock()  # over the next one, instant
        self._busy: dict[str, threading.Lock] = {}  # one call at a time that makes or ends a job
        self._gone_names: set[str] = set()  # folders whose jobs Slurm may be clearing up after for long

    def caps(self) -> Caps:
        """What the cluster could run at once of what `offers` was last asked for."""
        nodes, config = self._nodes(), self._config
        fitting = sum(kind.count for kind in offers.kinds(config, nodes, self._request))
        priced = config.usd_per_hour > 0
        return Caps(
            slots=max(1, min(fitting, config.max_slots)) if config.slots == "auto" else config.slots,
            elastic=config.slots == "auto",
            spot=any(node.preempted for node in nodes),
            detached=True,
            priced=priced,
            overhead_s=_OVERHEAD_S if priced else 0.0,
        )

    def offers(self, request: Resources) -> Sequence[Offer]:
        """The kinds of nodes that fit, if Slurm itself agrees that such a job could ever run."""
        self._request = request
        found = offers.kinds(self._config, self._nodes(), request)
        if found and request not in self._possible:
            wanted = order.gres(self._config, request, self._gpu_type(request, None))
            if not self._slurm.would_take(order.placement(self._config, request, wanted)):
                return []
            self._possible.add(request)
        return [Offer(kind.hardware, self._config.usd_per_hour, kind.count) for kind in found]

    def submit(self, job: Job, token: str) -> Handle:
        """See core.contracts.Executor."""
        with self._alone(token):
            place = self._place(token)
            if known := self._known(place):
                return known
            since = place.intended_s_ago()
            if since is not None and since < self._config.settle_s:
                raise Ambiguous(f"{token} may still appear in the queue: sbatch was called for it {since:.0f} s ago")
            self._refuse_endless(job)
            wanted = order.gres(self._config, job.resources, self._gpu_type(job.resources, job.hardware))
            if since is None:  # else the folder stays: whatever an earlier sbatch made may run in it, once
                self._make(place, job, wanted)
            place.intend()
            try:
                options = order.options(self._config, place.path, job, wanted)
                slurm_id = self._slurm.submit(options, place.script, order.environment(self._config, job))
            except (OutOfStock, SetupError):
                if since is None:
                    place.delete()
                raise
            finally:
                self._slurm.forget()
            place.submitted(slurm_id)
            return Handle(token, place.path.name, {"job": slurm_id})

    def find(self, token: str) -> Handle | None:
        """See core.contracts.Executor."""
        with self._alone(token):
            return self._known(self._place(token))

    def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """See core.contracts.Executor."""
        return self._watching.observe([(handle.token, self._place(handle.token)) for handle in handles])

    def logs(self, handle: Handle, offset: int, stream: Literal["log", "metrics"] = "log") -> tuple[bytes, int]:
        """See core.contracts.Executor."""
        return folder.read_stream(self._place(handle.token).path, stream, offset)

    def fetch(self, handle: Handle, dest: Path) -> Manifest:
        """See core.contracts.Executor."""
        place = self._place(handle.token)
        return folder.bring(place.path, place.described.get("outputs", []), dest)

    def cancel(self, handle: Handle, grace_s: float) -> None:
        """See core.contracts.Executor."""
        place = self._place(handle.token)
        with self._alone(handle.token):
            listed = self._slurm.queue(fresh=not self._ending.begun(place))
            if alive := self._alive(place, place.among(listed)):
                self._ending.ask(place, alive, grace_s)
                raise NotYet(handle.token)
            self._gone(place)

    def reap(self, owner: str, live: Collection[str]) -> Reaped:
        """See core.contracts.Executor. Finds jobs by their names too, where their folders are gone."""
        prefix, keep = order.study_prefix(owner), {order.job_name(owner, token) for token in live}
        found: dict[str, None] = {}  # tokens in order

        def named(name: str) -> JobFolder:
            return JobFolder(self._workspace / name.removeprefix(prefix))

        end = time.monotonic() + _REAP_S
        while True:
            left: dict[str, list[Record]] = {}
            for record in self._slurm.queue(fresh=True):
                ours = record.name.startswith(prefix) and record.name not in keep
                if ours and self._alive(named(record.name), [record]):
                    left.setdefault(record.name, []).append(record)
            for place in self._folders():
                holder, token = place.identity
                if holder == owner and token not in live:
                    found.setdefault(token)
                    if order.job_name(owner, token) not in left:
                        self._gone(place)
            for name, records in left.items():
                found.setdefault(records[0].comment.partition(" ")[2] or name)
                self._ending.ask(named(name), records, 0.0)
            if time.monotonic() > end:
                # What a controller before this one has cancelled has no folder, and Slurm may take ever so long.
                left = {
                    name: records
                    for name, records in left.items()
                    if named(name).path.exists() or not all(record.completing for record in records)
                }
            if not left:
                return Reaped(tuple(found))
            if time.monotonic() > end:
                raise SlurmError(
                    f"{len(left)} jobs of {owner} are still there after {_REAP_S:.0f} s: {', '.join(left)}"
                )
            time.sleep(max(0.2, min(1.0, self._config.squeue_every_s)))

    def diagnose(self) -> Sequence[Diagnosis]:
        """See core.contracts.Diagnoses."""
        return diagnosis.diagnose(self._config, self._slurm, self._workspace)

    # Inside.

    def _alone(self, token: str) -> threading.Lock:
        with self._lock:
            return self._busy.setdefault(token, threading.Lock())

    def _place(self, token: str) -> JobFolder:
        return JobFolder(self._workspace / files.slug(token))

    def _folders(self) -> list[JobFolder]:
        return [JobFolder(path) for path in sorted(self._workspace.glob("*/"))] if self._workspace.is_dir() else []

    def _make(self, place: JobFolder, job: Job, wanted: str) -> None:
        place.delete()  # a folder that a killed submit half made
        far = order.ship(self._workspace)
        folder.make(place.path, job, order.build(self._config, place.path, job, wanted))
        place.script.write_text(order.script(self._config, far, place.path, job), encoding="utf-8")

    def _alive(self, place: JobFolder, records: Iterable[Record]) -> list[Record]:
        """Those of a job's records in which something may still run."""
        left = [record for record in records if not record.over]
        if all(record.completing for record in left) and (place.path.name in self._gone_names or place.empty):
            return []
        return left

    def _gone(self, place: JobFolder) -> None:
        place.delete()
        self._gone_names.add(place.path.name)
        self._ending.forget(place)
        self._watching.forget(place)

    def _nodes(self) -> list[Node]:
        found = offers.eligible(self._config, self._slurm.nodes())
        if not found:
            which = f"executor.partition={self._config.partition}" if self._config.partition else "a default partition"
            raise SetupError(f"executor slurm: sinfo shows no node in {which} with the wanted features; try: sinfo")
        return found

    def _gpu_type(self, request: Resources, kind: str | None) -> str | None:
        """The cluster's word for the GPUs that a job must get, None = any. Raises OutOfStock."""
        if not request.gpus:
            return None
        nodes = self._nodes()
        if kind is None and request.gpu_type is None:
            return offers.told_apart(self._config, nodes, request)
        for found in offers.kinds(self._config, nodes, request):
            if kind in (None, found.hardware):
                return found.gpu_type or None
        raise OutOfStock(f"no node of the cluster has {kind or f'{request.gpu_type} ×{request.gpus}'} now")

    def _refuse_endless(self, job: Job) -> None:
        """Slurm takes a job that is longer than its partition allows, and never starts it. Raises SetupError."""
        longest_s, needed = offers.longest_s(self._nodes()), order.minutes(job)
        if longest_s is not None and needed * 60 > longest_s:
            raise SetupError(
                f"executor slurm: a job with a deadline of {job.deadline_s:g} s needs a limit of {needed} minutes, the "
                f"partition allows {math.floor(longest_s / 60)}: lower `deadline`, or choose another executor.partition"
            )

    def _known(self, place: JobFolder) -> Handle | None:
        """The handle of a job that was made, whoever heard the answer. Raises SlurmError."""
        slurm_id = place.slurm_id
        if slurm_id is None and (place.started or place.intended_s_ago() is not None):
            slurm_id = next((record.id for record in place.among(self._slurm.queue(fresh=True))), None)
            if slurm_id is None and place.started:
                slurm_id = "forgotten"
            if slurm_id is not None:
                place.submitted(slurm_id)
        return None if slurm_id is None else Handle(place.identity[1], place.path.name, {"job": slurm_id})
