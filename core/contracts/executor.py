"""An executor: turns a job into a running, isolated process somewhere, and nothing else."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from core.contracts.job import Caps, Diagnosis, Handle, Job, Manifest, Observation, Offer, Reaped, Resources

Stream = Literal["log", "metrics"]


class Executor(Protocol):
    """Runs jobs; knows no task.

    Constructed as `executor_class(config, workspace)`: its validated `Config` and a folder of
    the study in which it may keep its own state (job folders, known hosts). All methods are
    synchronous and are called from a small pool of worker threads, possibly concurrently for
    different jobs; none may wait for a job to end. A new instance on the same workspace (after
    a crash) finds the jobs of the old one. Raising anything but the errors named below is
    reported and retried by core; it never loses the job. SetupError means that a person has to
    act (credentials that expired): it stops the study at once, resumable.
    """

    def caps(self) -> Caps:
        """What this executor can do; asked at the start of a study and, where it says `elastic`, now
        and then while it runs."""
        ...

    def offers(self, request: Resources) -> Sequence[Offer]:
        """Hardware and prices for a request, best first, before anything is spent. Empty: this
        request can never be met; the study refuses to start."""
        ...

    def submit(self, job: Job, token: str) -> Handle:
        """Start a job and return at once. The same token gives the same handle and starts
        nothing twice. Raises Ambiguous when the answer was lost: core then asks `find`; OutOfStock
        when there is no such machine just now (nothing was started): core waits and asks again."""
        ...

    def find(self, token: str) -> Handle | None:
        """The handle of a job that was submitted with this token, or None if there is none."""
        ...

    def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """The state of each job, in the order of `handles`; batched, never waits. A terminal
        state is repeated for ever, until `cancel`. `succeeded` means exit code 0 and result.json."""
        ...

    def logs(self, handle: Handle, offset: int, stream: Stream = "log") -> tuple[bytes, int]:
        """Bytes of the job's output ("log": stdout and stderr, bounded in size) or of its
        metrics.jsonl ("metrics") from `offset` on, and the next offset. At most 1 MiB a call.
        Nothing new, or nothing left of the job: (b"", offset)."""
        ...

    def fetch(self, handle: Handle, dest: Path) -> Manifest:
        """Copy the job's `outputs` that exist, and its log as log.txt, into `dest` (whole,
        checked, replacing what is there). May be called again; called before `cancel`."""
        ...

    def cancel(self, handle: Handle, grace_s: float) -> None:
        """Stop the job (SIGTERM, `grace_s` seconds, SIGKILL: every process it started) and
        delete all that is left of it. Idempotent: absent is success. Raises NotYet while it
        is still going; core calls again."""
        ...

    def reap(self, owner: str, live: Collection[str]) -> Reaped:
        """Stop and delete every job tagged `owner` whose token is not in `live`."""
        ...


@runtime_checkable
class Diagnoses(Protocol):
    """An executor that can say, before anything is spent, whether it would work: `doctor` asks it."""

    def diagnose(self) -> Sequence[Diagnosis]:
        """What is installed, reachable and allowed, what it costs, what is free; starts nothing and
        raises nothing that a person could mend."""
        ...


@runtime_checkable
class TellsBills(Protocol):
    """An executor whose provider says afterwards what it charged."""

    def bill(self, handle: Handle) -> float | None:
        """US dollars charged for a job's machine, which is gone; None where the provider does not say
        (yet). Quick. Core settles what it had estimated by it."""
        ...
