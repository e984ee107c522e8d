"""Settings of the local executor."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from core import PluginConfig

Auto = Literal["auto"]


class LocalConfig(PluginConfig):
    """slots: jobs at once. gpus: ids to hand out. threads_per_slot: of BLAS and torch.
    max_log_mb: MiB a job's log may take. keep_env: further variables that jobs may see.

    Limits of one job, null = none. memory_gb: GiB of its whole process tree; auto: what `resources`
    asks for, else nine tenths of the machine divided by the slots. max_processes: with their
    threads; auto: 64 a core, at least 1024. disk_gb: GiB by which its folder may grow; auto: nine
    tenths of what is free divided by the slots, at least 1. open_files: of each process.

    detach: jobs outlive this controller and are taken up by the next one. confine: "auto" lets a
    job write only in its own folder, caches and temporary folders, where the kernel has Landlock.
    writable: further paths that confined jobs may write in.
    """

    slots: Auto | PositiveInt = "auto"
    gpus: Auto | tuple[NonNegativeInt, ...] = "auto"
    threads_per_slot: Auto | PositiveInt = "auto"
    max_log_mb: float = Field(default=16.0, gt=0)
    keep_env: tuple[str, ...] = ()
    memory_gb: Auto | PositiveFloat | None = "auto"
    max_processes: Auto | PositiveInt | None = "auto"
    disk_gb: Auto | PositiveFloat | None = "auto"
    open_files: PositiveInt | None = None
    detach: bool = False
    confine: Literal["auto", "off"] = "auto"
    writable: tuple[str, ...] = ()
