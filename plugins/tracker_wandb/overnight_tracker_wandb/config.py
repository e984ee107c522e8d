"""The settings of tracker `wandb`."""

from typing import Literal

from pydantic import Field

from core import PluginConfig


class WandbConfig(PluginConfig):
    """What may be set under `trackers.wandb`."""

    project: str = Field("overnight", min_length=1, max_length=128, description="W&B project")
    entity: str | None = Field(None, description="W&B team or user; null = the account's default")
    mode: Literal["auto", "online", "offline"] = Field(
        "auto", description="auto = online if credentials are found and WANDB_MODE does not say otherwise"
    )
    dir: str | None = Field(None, description="folder that holds wandb/; null = the study directory")
    tags: tuple[str, ...] = Field((), description="added to every run")
    log_checkpoint: bool = Field(True, description='upload the incumbent\'s checkpoint with alias "best"')
    max_artifact_mb: float = Field(2000.0, gt=0, description="a larger checkpoint is left out (MiB)")
    init_timeout_s: float = Field(15.0, gt=0, description="seconds W&B may take to answer before going offline")
    finish_timeout_s: float = Field(25.0, gt=0, description="seconds the end of a run waits for its upload")
