"""The order: all that a job's supervisor is told, in one JSON object."""

import shutil
import sys
from pathlib import Path
from typing import Any

from core import Job, Resources
from overnight_executor_local.config import LocalConfig
from overnight_jobs.far import devices, places
from overnight_jobs.far.environment import job_environment

_GIB = 2**30


def build(
    config: LocalConfig, workspace: Path, place: Path, job: Job, gpus: list[int], slots: int, threads: int
) -> dict[str, Any]:
    """The order of a job that gets these GPUs (ids) and threads. Raises OSError."""
    env = job_environment(job.token, job.owner, job.env, config.keep_env, gpus, threads)
    confine, tmp = None, None
    if config.confine == "auto" and not job.sandboxed:
        confine = places.confinement(workspace, place, env, config.writable)
    if config.confine == "auto":
        tmp = places.private_tmp(workspace, place)
    return {
        "folder": str(place),
        "command": [sys.executable, *job.command[1:]] if job.command[0] == "python" else list(job.command),
        "env": env,
        "deadline_s": job.deadline_s,
        "grace_s": job.grace_s,
        "max_log_bytes": int(config.max_log_mb * 2**20),
        "gpus": gpus,
        "detach": config.detach,
        "confine": confine,
        "tmp": None if tmp is None else str(tmp),
        "limits": {
            "memory_bytes": _bytes(_memory_gb(config, job.resources, slots)),
            "processes": max(1024, 64 * devices.cores()) if config.max_processes == "auto" else config.max_processes,
            "disk_bytes": _bytes(_disk_gb(config, workspace, slots)),
            "open_files": config.open_files,
        },
    }


def _memory_gb(config: LocalConfig, wanted: Resources, slots: int) -> float | None:
    if config.memory_gb != "auto":
        return config.memory_gb
    return wanted.memory_gb or 0.9 * devices.memory_gb() / slots


def _disk_gb(config: LocalConfig, workspace: Path, slots: int) -> float | None:
    if config.disk_gb != "auto":
        return config.disk_gb
    # The floor leaves a disk that is nearly full to the study, which stops and can be resumed.
    return max(1.0, 0.9 * shutil.disk_usage(workspace).free / _GIB / slots)


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else int(gib * _GIB)
