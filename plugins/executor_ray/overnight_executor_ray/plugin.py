"""Declares executor `ray` to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def executors() -> dict[str, str]:
    """See core.hookspecs."""
    return {"ray": "overnight_executor_ray.executor:RayExecutor"}


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_executor_ray.conf"]
