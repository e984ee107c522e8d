"""Declares executor `cloud` to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def executors() -> dict[str, str]:
    """See core.hookspecs."""
    return {"cloud": "overnight_executor_cloud.executor:CloudExecutor"}


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_executor_cloud.conf"]
