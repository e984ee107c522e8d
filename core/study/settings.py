"""A study's settings: the resolved configuration, typed and checked."""

from typing import Any, Literal

from pydantic import Field, model_validator

from core.contracts import PluginConfig
from core.guard.settings import GuardSettings


class BudgetSettings(PluginConfig):
    """What a study may spend; null = no limit, but at least one limit is needed.

    trials: proposals (the baseline is free). wall_clock_hours: of controllers' running time,
    summed over resumes. usd: US dollars. gpu_hours: GPU-hours.
    """

    trials: int | None = Field(default=12, ge=1)
    wall_clock_hours: float | None = Field(default=None, gt=0)
    usd: float | None = Field(default=None, gt=0)
    gpu_hours: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _bounded(self) -> "BudgetSettings":
        if self.trials is None and self.wall_clock_hours is None and self.usd is None and self.gpu_hours is None:
            raise ValueError("no limit is set: give trials, wall_clock_hours, usd or gpu_hours")
        return self


class DeadlineSettings(PluginConfig):
    """Seconds after which a job of each phase is killed and counted as failed."""

    prepare_s: float = Field(default=3600.0, gt=0)
    train_s: float = Field(default=3600.0, gt=0)
    evaluate_s: float = Field(default=1800.0, gt=0)


class ResourceSettings(PluginConfig):
    """What one job needs of the executor. cpus: cores, gpus: whole GPUs, memory_gb: GiB."""

    cpus: float = Field(default=1.0, gt=0)
    gpus: int = Field(default=0, ge=0)
    gpu_type: str | None = None
    memory_gb: float | None = Field(default=None, gt=0)


class CertificationSettings(PluginConfig):
    """How the leader's claim is tested at the end of the search.

    runs: fresh training seeds of its configuration, paid from the budget; "auto" = 3, 5 from 60 trials
    on, none below 8; 0 = none. items_share: of the validation items, set aside for it and seen by no
    rule and no policy; none are where there is no certification. hoped_gain: in metric
    units; says at the start whether the study could show it.
    """

    runs: int | Literal["auto"] = Field(default="auto")
    items_share: float = Field(default=0.4, gt=0, lt=1)
    hoped_gain: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _enough(self) -> "CertificationSettings":
        if isinstance(self.runs, int) and (self.runs < 0 or self.runs == 1):
            raise ValueError("runs: one run says nothing of the seeds: give 0, 2 or more, or auto")
        return self


class StudySettings(PluginConfig):
    """The whole configuration of a study; plugin nodes stay dicts, their plugins check them.

    name: for people. seed: everything random derives from it. dir: the study directory.
    retries: how often a job is started again after its machine was lost. poll_s: seconds
    between looks at running jobs. grace_s: seconds between SIGTERM and SIGKILL, which the
    budget reserves too. console: how the terminal shows the study. trackers_timeout_s: how long
    the end waits for trackers. partial_every_s: seconds between partial checkpoints of training,
    from which a trial goes on whose machine or controller was lost.
    max_failures: consecutive failed trials after which the study stops, resumable.
    queue_hours: how long a job may wait in a queue. stock_out_hours: how long the study waits for a
    machine where all are taken. same_hardware: evaluate every trial on the kind of machine that the
    baseline was evaluated on. keep_checkpoints: the incumbent's, those of unfinished trials and those that
    the decision rule may return to, or all. identical: an A/A test: every trial is the task's default
    configuration, whatever the policy.
    sandbox: "on" trains a trial that has a patch under bubblewrap (no network, nothing of the machine but
    what training reads, writing in its own folder) and fails it where that cannot be; "off" trains it like
    any other. sandbox_readable: further paths that such a trial may read.
    """

    name: str = Field(min_length=1)
    seed: int = Field(default=1, ge=0)
    dir: str = Field(min_length=1)
    task: dict[str, Any]
    policy: dict[str, Any]
    executor: dict[str, Any]
    decision: dict[str, Any]
    trackers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    budget: BudgetSettings = Field(default_factory=BudgetSettings)
    deadline: DeadlineSettings = Field(default_factory=DeadlineSettings)
    resources: ResourceSettings = Field(default_factory=ResourceSettings)
    guard: GuardSettings = Field(default_factory=GuardSettings)
    certification: CertificationSettings = Field(default_factory=CertificationSettings)
    identical: bool = False
    retries: int = Field(default=2, ge=0)
    max_failures: int = Field(default=8, ge=1)
    poll_s: float = Field(default=0.5, gt=0)
    grace_s: float = Field(default=10.0, ge=0)
    console: Literal["auto", "live", "plain", "quiet"] = "auto"
    trackers_timeout_s: float = Field(default=60.0, ge=0)
    partial_every_s: float = Field(default=300.0, gt=0)
    queue_hours: float = Field(default=24.0, gt=0)
    stock_out_hours: float = Field(default=6.0, ge=0)
    same_hardware: bool = True
    keep_checkpoints: Literal["incumbent", "all"] = "incumbent"
    sandbox: Literal["on", "off"] = "on"
    sandbox_readable: tuple[str, ...] = ()
