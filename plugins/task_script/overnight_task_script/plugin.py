"""Declares the script task to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def tasks() -> dict[str, str]:
    """See core.hookspecs."""
    return {"script": "overnight_task_script.task:Script"}


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_task_script.conf"]
