"""Declares one plugin of each kind, and a notifier, to Overnight."""

import os
from pathlib import Path

from core import hookimpl

overnight_contract = 1


@hookimpl
def tasks():
    return {"quadratic": "overnight_example.task:Quadratic"}


@hookimpl
def policies():
    return {"halving": "overnight_example.policy:Halving"}


@hookimpl
def executors():
    return {
        "example_subprocess": "overnight_example.executor:SubprocessExecutor",
        "example_cloud": "overnight_example.cloud:CloudExecutor",
    }


@hookimpl
def rewards():
    return {"brevity": "overnight_example.reward:Brevity"}


@hookimpl
def trackers():
    return {"jsonlines": "overnight_example.tracker:JsonLines"}


@hookimpl
def decisions():
    return {"first_wins": "overnight_example.decision:FirstWins"}


@hookimpl
def config_dirs():
    return ["pkg://overnight_example.conf"]


@hookimpl
def study_finished(study):
    """A notifier needs no class: a lifecycle hook in the plugin module is enough."""
    if place := os.environ.get("OVERNIGHT_EXAMPLE_NOTIFY"):
        Path(place).write_text(f"{study.name}: {study.finished}\n", encoding="utf-8")
