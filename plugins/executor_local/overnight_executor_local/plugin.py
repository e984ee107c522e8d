"""Declares executor `local` to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def executors() -> dict[str, str]:
    """See core.hookspecs."""
    return {"local": "overnight_executor_local.executor:LocalExecutor"}


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_executor_local.conf"]
