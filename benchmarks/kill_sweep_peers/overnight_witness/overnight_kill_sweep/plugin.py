"""Declares the witnessed task to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def tasks():
    return {"witnessed": "overnight_kill_sweep.task:Witnessed"}


@hookimpl
def config_dirs():
    return ["pkg://overnight_kill_sweep.conf"]
