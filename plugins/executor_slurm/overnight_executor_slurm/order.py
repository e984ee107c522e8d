"""What is sent with a job: its order to the supervisor, its batch script, sbatch's options, the far side's programs."""

import hashlib
import math
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from core import Job, Resources
from overnight_executor_slurm.config import SlurmConfig
from overnight_jobs.far import files, supervisor_path
from overnight_jobs.far.environment import JOB, OWNER, job_environment

_GIB = 2**30
# Seconds beyond deadline and grace after which Slurm itself ends a job: the supervisor's start and
# the folder's last writes are in it. A second guard, for a supervisor that cannot.
_MARGIN_S = 120.0
# The node decides these, or Slurm on it.
_THEIRS = (JOB, OWNER, "CUDA_VISIBLE_DEVICES", "TMPDIR")


def job_name(owner: str, token: str) -> str:
    """The job's name in Slurm: of its study, of itself, the same for ever."""
    return f"{study_prefix(owner)}{files.slug(token)}"


def study_prefix(owner: str) -> str:
    """What the names of all jobs of a study begin with."""
    return f"overnight-{hashlib.sha256(owner.encode()).hexdigest()[:12]}-"


def minutes(job: Job) -> int:
    """Slurm's own limit for the job, in its smallest unit."""
    return math.ceil((job.deadline_s + job.grace_s + _MARGIN_S) / 60)


def cores(request: Resources) -> int:
    """Whole cores for a request."""
    return max(1, math.ceil(request.cpus))


def memory_gb(config: SlurmConfig, request: Resources) -> float | None:
    """GiB that the job may hold, None = the partition's own limit."""
    return request.memory_gb if config.memory_gb == "auto" else config.memory_gb


def python(config: SlurmConfig) -> str:
    """The interpreter on the nodes, which see this file system."""
    return sys.executable if config.python == "auto" else config.python


def gres(config: SlurmConfig, request: Resources, gpu_type: str | None) -> str:
    """E.g. "gpu:a100:2"; empty for a job without GPUs."""
    return ":".join(filter(None, (config.gres_name, gpu_type, str(request.gpus)))) if request.gpus else ""


def build(config: SlurmConfig, place: Path, job: Job, wanted: str) -> dict[str, Any]:
    """The order of a job with this gres; the node completes it."""
    most = max(1024, 64 * cores(job.resources)) if config.max_processes == "auto" else config.max_processes
    return {
        "folder": str(place),
        "command": [python(config), *job.command[1:]] if job.command[0] == "python" else list(job.command),
        "env": {**job.env, JOB: job.token, OWNER: job.owner},
        "deadline_s": job.deadline_s,
        "grace_s": job.grace_s,
        "max_log_bytes": int(config.max_log_mb * 2**20),
        "gpus": job.resources.gpus,
        "gres": wanted,
        "cores": cores(job.resources),
        "detach": True,
        "confine": {"writable": list(config.writable)} if config.confine == "auto" and not job.sandboxed else None,
        "tmp": None,
        "limits": {
            "memory_bytes": _bytes(memory_gb(config, job.resources)),
            "processes": most,
            "disk_bytes": _bytes(config.disk_gb),
            "open_files": config.open_files,
        },
    }


def environment(config: SlurmConfig, job: Job) -> dict[str, str]:
    """What sbatch is given to pass on: an allowlist, which the prologue and the site may add to."""
    threads = cores(job.resources) if config.threads_per_slot == "auto" else config.threads_per_slot
    whole = job_environment(job.token, job.owner, {}, config.keep_env, [], threads)
    return {name: value for name, value in whole.items() if name not in _THEIRS}


def placement(config: SlurmConfig, request: Resources, wanted: str) -> list[str]:
    """Options of sbatch that say where a request may run."""
    memory = memory_gb(config, request)
    given = {
        "partition": config.partition,
        "account": config.account,
        "qos": config.qos,
        "constraint": config.constraint,
        "nodelist": config.nodelist,
        "exclude": config.exclude,
        "gres": wanted or None,
        "mem": None if memory is None else f"{math.ceil(memory * 1024)}M",
    }
    options = ["--nodes=1", "--ntasks=1", f"--cpus-per-task={cores(request)}"]
    return [*options, *(f"--{name}={value}" for name, value in given.items() if value is not None), *config.extra]


def options(config: SlurmConfig, place: Path, job: Job, wanted: str) -> list[str]:
    """All options of sbatch for a job."""
    output = str(place / "slurm.log").replace("%", "%%")
    return [
        f"--job-name={job_name(job.owner, job.token)}",
        f"--comment=overnight {job.token}",
        f"--chdir={place}",
        f"--output={output}",
        "--open-mode=append",
        "--no-requeue",
        "--export=ALL",  # of an environment that holds nothing but an allowlist
        f"--time={minutes(job)}",
        *placement(config, job.resources, wanted),
    ]


def script(config: SlurmConfig, far: Path, place: Path, job: Job) -> str:
    """The batch script. The job is a step of its own, because Slurm tells only steps that their time
    to be preempted has come; the batch script hears of it when that time is over."""
    here = shlex.quote(str(place))
    program = " ".join(shlex.quote(str(word)) for word in (python(config), "-I", "-S", far / "node.py", place))
    lines = [
        "#!/bin/bash",
        f"# Overnight: {job.token!a}",
        f'cd {here} || {{ echo "overnight: $(hostname) does not see "{here} >&2; exit 66; }}',
        *config.prologue,
        f"exec srun --nodes=1 --ntasks=1 --cpus-per-task={cores(job.resources)} --export=ALL --mpi=none "
        f"--input=none --quiet {program}",
    ]
    return "\n".join(lines) + "\n"


def ship(workspace: Path) -> Path:
    """The far side's programs in the workspace, by digest: a newer Overnight leaves running jobs theirs."""
    sources = sorted([*supervisor_path().parent.glob("*.py"), Path(__file__).with_name("node.py")])
    whole = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources))
    target = workspace / f".far-{whole.hexdigest()[:16]}"
    if target.is_dir():
        return target
    workspace.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=workspace))
    try:
        for path in sources:
            shutil.copy2(path, partial / path.name)
        partial.rename(target)
    except OSError:
        if not target.is_dir():  # else another job's submit was quicker
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else int(gib * _GIB)
