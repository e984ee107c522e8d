"""Settings of the Slurm executor."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from core import PluginConfig

Auto = Literal["auto"]


class SlurmConfig(PluginConfig):
    """partition, account, qos, constraint, nodelist, exclude: as sbatch takes them. gres_name: the
    cluster's word for GPUs. gpu_types: wanted type → the cluster's word, where it is not part of it.
    extra: further options of sbatch.

    slots: jobs at once; auto: what the cluster could run, at most max_slots. python: interpreter on
    the nodes. prologue: lines of the batch script before the job. threads_per_slot: of BLAS and torch.
    keep_env: further variables that jobs may see. max_log_mb: MiB a job's log may take.

    Limits of one job, null = none: memory_gb (GiB, also asked of Slurm), max_processes, disk_gb (GiB
    by which its folder may grow), open_files (of each process). confine, writable: as in `local`.

    usd_per_hour: of one job. squeue_every_s: seconds between two looks at the queue, at least.
    timeout_s: seconds a Slurm command may take. settle_s: seconds after a lost answer of sbatch in
    which the job may still appear. lost_after_s: seconds that files of a node may come late.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    gres_name: str = "gpu"
    gpu_types: dict[str, str] = Field(default_factory=dict)
    extra: tuple[str, ...] = ()
    slots: Auto | PositiveInt = "auto"
    max_slots: PositiveInt = 8
    python: str = "auto"
    prologue: tuple[str, ...] = ()
    threads_per_slot: Auto | PositiveInt = "auto"
    keep_env: tuple[str, ...] = ()
    max_log_mb: float = Field(default=16.0, gt=0)
    memory_gb: Auto | PositiveFloat | None = "auto"
    max_processes: Auto | PositiveInt | None = "auto"
    disk_gb: PositiveFloat | None = None
    open_files: PositiveInt | None = None
    confine: Literal["auto", "off"] = "auto"
    writable: tuple[str, ...] = ()
    usd_per_hour: NonNegativeFloat = 0.0
    squeue_every_s: NonNegativeFloat = 2.0
    timeout_s: PositiveFloat = 60.0
    settle_s: NonNegativeFloat = 30.0
    lost_after_s: NonNegativeFloat = 60.0
