"""Orders: a job as the keeper on the far side is told it, and as it is kept here until then."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core import Job, Resources
from overnight_jobs.far.files import slug
from overnight_jobs.manifest import Entry


def order(
    job: Job,
    entries: Mapping[str, Entry],
    *,
    code: str | None,
    python: str | None,
    max_log_mb: float = 16.0,
    env: Mapping[str, str] | None = None,
    gpu_ids: list[int] | None = None,
    limits: Mapping[str, Any] | None = None,
    confine: bool = True,
    threads: int | None = None,
) -> dict[str, Any]:
    """What Keeper.start wants. code: digest of the code bundle. env: what the machine's jobs get
    besides their own."""
    return {
        "slug": slug(job.token),
        "token": job.token,
        "owner": job.owner,
        "command": list(job.command),
        "env": {**(env or {}), **job.env},
        "files": {path: [entry.digest, entry.mode] for path, entry in entries.items()},
        "code": code,
        "python": python,
        "gpus": job.resources.gpus,
        "gpu_ids": gpu_ids,
        "deadline_s": job.deadline_s,
        "grace_s": job.grace_s,
        "outputs": list(job.outputs),
        "max_log_bytes": int(max_log_mb * 2**20),
        "limits": dict(limits or {}),
        "confine": confine and not job.sandboxed,
        "threads": threads or max(1, round(job.resources.cpus)),
    }


def plain(job: Job) -> dict[str, Any]:
    """A job as JSON: what `restored` makes a job of again."""
    return {**asdict(job), "files": {name: str(path) for name, path in job.files.items()}}


def restored(content: Mapping[str, Any]) -> Job:
    """The job that `plain` described. Raises KeyError or TypeError for anything else."""
    told = dict(content)
    told["files"] = {name: Path(path) for name, path in told["files"].items()}
    told["resources"] = Resources(**told["resources"])
    for name in ("command", "outputs", "mirrored"):
        told[name] = tuple(told[name])
    return Job(**told)
