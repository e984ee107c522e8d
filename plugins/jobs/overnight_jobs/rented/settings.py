"""Settings that every executor of rented machines shares."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from core import PluginConfig


class RentedSettings(PluginConfig):
    """slots: machines at once; auto: as many as the provider has, at most max_slots. gpu_types: kinds of
    GPU in order of preference; when one is out of stock the next is taken, and evaluations stay on
    one kind. image: container image, null = the provider's default. python: the interpreter on the
    machine that has torch and the rest. requirements: what is
    installed on a machine before its job, beside what its image brings (torch and its libraries): a list, the
    path of a file, auto = what Overnight's packages need as it is installed here, none = nothing, `python` has
    it all. pip_args: for pip there, an index say. port: on which the machine serves. provision_s: seconds a
    machine may take to be ready. wind_down_s: seconds for its outputs to come back after a job's end.
    silence_s: seconds without any answer after which a running machine counts as lost. mirror_s:
    seconds between copies of partial checkpoints, so that a lost machine loses no more than that.
    env: for jobs, by name; write no secrets here. max_log_mb: MiB that a job's log may take.
    confine: see the local executor."""

    slots: Literal["auto"] | PositiveInt = "auto"
    max_slots: PositiveInt = 8
    gpu_types: tuple[str, ...] = ()
    image: str | None = None
    python: str = "python3"
    requirements: Literal["auto", "none"] | str | tuple[str, ...] = "auto"
    pip_args: tuple[str, ...] = ()
    port: int = Field(default=8700, gt=0, lt=65536)
    provision_s: PositiveFloat = 900.0
    wind_down_s: PositiveFloat = 300.0
    silence_s: PositiveFloat = 300.0
    mirror_s: PositiveFloat = 120.0
    timeout_s: PositiveFloat = 30.0
    env: dict[str, str] = Field(default_factory=dict)
    max_log_mb: PositiveFloat = 16.0
    confine: Literal["auto", "off"] = "auto"
