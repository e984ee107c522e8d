"""A job and what an executor says of it: command, files, handle, observation, offer."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

JobState = Literal[
    "queued", "provisioning", "running", "succeeded", "failed", "preempted", "cancelled", "lost", "unknown"
]
TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "preempted", "cancelled", "lost"})


@dataclass(frozen=True)
class Resources:
    """What one job needs. cpus: cores. gpus: whole GPUs. gpu_type: e.g. "A100", None = any.
    memory_gb: GiB of memory, None = not stated."""

    cpus: float = 1.0
    gpus: int = 0
    gpu_type: str | None = None
    memory_gb: float | None = None


@dataclass(frozen=True)
class Job:
    """What an executor runs, knowing nothing of tasks.

    token: idempotency key "<study>/<trial>/<phase>/a<attempt>"; unique for ever.
    owner: the study's id; everything created carries it as a tag.
    command: argv, run in a fresh, empty job folder that holds `files`; a first word "python"
        means an interpreter that can import `core` and the study's plugins.
    files: path inside the job folder → local file or folder to place there (read-only input).
    env: additional environment; the rest is the executor's allowlist, never secrets.
    resources: what it needs. deadline_s: seconds after which the far side kills it, whether or
        not the controller is alive: SIGTERM, and SIGKILL grace_s seconds later.
    outputs: names in the job folder that `fetch` brings back.
    mirrored: outputs that are brought here now and then while the job runs, where it would be lost
        with its machine otherwise; `fetch` brings them when the machine is gone.
    hardware: run it on this kind of an offer only, None = any that meets `resources`.
    max_usd_per_hour: do not start it on what costs more, None = whatever it costs.
    sandboxed: the command shuts what it cannot trust into a sandbox by itself (bubblewrap). An
        executor must not confine it so that it cannot mount anything, as Landlock does.
    The command writes metrics to metrics.jsonl and, last and by rename, result.json.
    """

    token: str
    owner: str
    command: tuple[str, ...]
    files: dict[str, Path] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    deadline_s: float = 3600.0
    grace_s: float = 10.0
    outputs: tuple[str, ...] = ("result.json",)
    mirrored: tuple[str, ...] = ()
    hardware: str | None = None
    max_usd_per_hour: float | None = None
    sandboxed: bool = False


@dataclass(frozen=True)
class Handle:
    """An executor's name for a submitted job: JSON, journaled, valid after a restart. data: the
    executor's own; `notice` in it is a sentence that the person must hear, and is journaled."""

    token: str
    id: str
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """What an executor knows of a job now.

    state: "unknown" is never final; "preempted" and "lost" are retried under a new attempt.
    exit_code: of the command once it ended (negative = killed by that signal).
    reason: a stable word where there is more to say: "deadline", "cancelled",
        "controller-died", "oom", "too-many-processes", "disk-limit", "preempted", "stock-out" (there was no machine
        after all: it is tried again and uses up no retry), or a sentence.
    seconds: run time so far, billable. usd: accrued cost in US dollars. hardware: for the report.
    """

    token: str
    state: JobState
    exit_code: int | None = None
    reason: str = ""
    seconds: float = 0.0
    usd: float = 0.0
    hardware: str = ""


@dataclass(frozen=True)
class Offer:
    """Hardware an executor could give a request. usd_per_hour: price, 0 for owned machines.
    available: how many at once, None = unknown."""

    hardware: str
    usd_per_hour: float = 0.0
    available: int | None = None


@dataclass(frozen=True)
class Caps:
    """What an executor can do.

    slots: how many jobs may run at once. elastic: whether that changes; core then asks again now and
    then. spot: whether jobs can be preempted. detached: whether jobs outlive the controller.
    priced: whether jobs cost money. shares_files: whether jobs see this machine's files under the
    same paths; where they do not, a task's local inputs travel with each job.
    overhead_s: seconds that a machine may be paid for before a job starts on it and after its end.
    """

    slots: int = 1
    spot: bool = False
    detached: bool = False
    priced: bool = False
    elastic: bool = False
    shares_files: bool = True
    overhead_s: float = 0.0


@dataclass(frozen=True)
class Diagnosis:
    """One thing that `doctor` found. level: "ok" works, "warn" works with a doubt, "fail" does not.
    said: what was found. todo: what the person does next, "" where nothing is to be done."""

    level: Literal["ok", "warn", "fail"]
    said: str
    todo: str = ""


@dataclass(frozen=True)
class Manifest:
    """What `fetch` brought: path relative to the destination → sha256 hex digest."""

    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reaped:
    """What `reap` found and deleted: the tokens (or ids) of jobs that nobody waits for. bills: of what
    was deleted, where the provider says: id of a handle → US dollars charged."""

    tokens: tuple[str, ...] = ()
    bills: dict[str, float] = field(default_factory=dict)
