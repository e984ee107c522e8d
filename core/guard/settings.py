"""The guard's settings: when a running trial counts as doomed."""

from typing import Literal

from pydantic import Field

from core.contracts import PluginConfig


class GuardSettings(PluginConfig):
    """What is checked before the first trial, and when to stop a running one before its deadline.

    preflight: "refuse" ends the study when the task's preflight finds training pointless or
        impossible, "warn" goes on with a notice, "off" measures nothing.
    not_finite_steps: consecutive steps with a NaN or infinite metric before it is stopped; 2
        survives one skipped mixed-precision step (ms-swift #3136 shows runs that never recover).
        0 = never.
    watch: the metrics that this rule looks at; others may be NaN where they do not apply.
    stall_s: seconds without any reported step, counted from the first one, before a training
        job counts as hung; null = only the deadline ends it.
    """

    preflight: Literal["refuse", "warn", "off"] = "refuse"
    not_finite_steps: int = Field(default=2, ge=0)
    watch: tuple[str, ...] = ("loss", "grad_norm", "reward", "kl")
    stall_s: float | None = Field(default=600.0, gt=0)
