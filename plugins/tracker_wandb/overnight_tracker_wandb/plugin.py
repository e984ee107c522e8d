"""Declares the tracker `wandb` to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def trackers() -> dict[str, str]:
    """The trackers of this distribution."""
    return {"wandb": "overnight_tracker_wandb.tracker:WandbTracker"}


@hookimpl
def config_dirs() -> list[str]:
    """Where Hydra finds their configuration."""
    return ["pkg://overnight_tracker_wandb.conf"]
