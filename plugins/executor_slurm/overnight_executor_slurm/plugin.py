"""Declares executor `slurm` to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def executors() -> dict[str, str]:
    """See core.hookspecs."""
    return {"slurm": "overnight_executor_slurm.executor:SlurmExecutor"}


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_executor_slurm.conf"]
