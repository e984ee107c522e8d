"""Jobs for tests of the ssh executor: made of code, polled to their end."""

import os
import time
from collections.abc import Callable
from typing import Any

from core import Job, NotYet
from core.contracts import TERMINAL, Executor, Handle, Observation

# Jobs are known by their marks on a whole machine: those of another test run at the same time are not ours.
OWNER = f"ssh-{os.getpid()}"


def token(number: int, attempt: int = 1) -> str:
    """The token of a job."""
    return f"{OWNER}/{number}/train/a{attempt}"


def job(code: str, its_token: str = "", **more: Any) -> Job:
    """A job that runs Python code, by default number 1."""
    return Job(
        **{
            "token": its_token or token(1),
            "owner": OWNER,
            "command": ("python", "-c", code),
            "deadline_s": 120.0,
            **more,
        }
    )


def until(executor: Executor, handle: Handle, *states: str, within_s: float = 60.0) -> Observation:
    """Poll until one of the states (by default any terminal one)."""
    end = time.monotonic() + within_s
    while (seen := executor.poll([handle])[0]).state not in (states or TERMINAL):
        assert time.monotonic() < end, seen
        time.sleep(0.05)
    return seen


def eventually(condition: Callable[[], bool], within_s: float = 30.0) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def gone(executor: Executor, handle: Handle, grace_s: float = 0.0) -> bool:
    """Cancel a job; whether it is gone already."""
    try:
        executor.cancel(handle, grace_s)
    except NotYet:
        return False
    return True
