"""Declares executor `ssh` to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def executors() -> dict[str, str]:
    """See core.hookspecs."""
    return {"ssh": "overnight_executor_ssh.executor:SshExecutor"}


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_executor_ssh.conf"]
