"""Declares the supervised tasks to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def tasks() -> dict[str, str]:
    """See core.hookspecs."""
    return {"sft_f1": "overnight_task_sft.f1.task:SftF1"}


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_task_sft.conf"]
