"""Failures: what a job's end means, in words for people and a stable kind for programs."""

import signal
from dataclasses import dataclass

from core.contracts import Observation
from core.study.effects import Collected

# The job did not fail: its machine or its controller went away under it.
_RETRY_STATES = ("lost", "preempted")
_RETRY_REASONS = ("controller-died", "interrupted", "stock-out")
# An executor's word for the limit that a job passed: what it did, and the failure's kind.
_LIMITS = {
    "oom": ("ran out of memory", "oom"),
    "too-many-processes": ("started too many processes", "processes"),
    "disk-limit": ("wrote more than its share of the disk", "disk"),
}


@dataclass(frozen=True)
class Failure:
    """Why a job failed. kind: see `Trial.error_kind`."""

    error: str
    kind: str


def retriable(observation: Observation) -> bool:
    """Whether the job should be started again under a new attempt."""
    return observation.state in _RETRY_STATES or observation.reason in _RETRY_REASONS


def counts_as_retry(observation: Observation) -> bool:
    """Whether it uses up one of the `retries`: not when the controller itself went away, or there was no machine."""
    return observation.reason not in _RETRY_REASONS


def explain(observation: Observation, collected: Collected, deadline_s: float) -> Failure | None:
    """Why the job failed, or None if it succeeded."""
    if observation.reason == "deadline":
        return Failure(f"killed at its deadline of {deadline_s:g} s", "deadline")
    trail = f"; its last words: {collected.last_line}" if collected.last_line else ""
    if observation.reason in _LIMITS:
        said, kind = _LIMITS[observation.reason]
        return Failure(f"killed because it {said}{trail}", kind)
    result = collected.result
    if result is not None and result.status == "failed":
        return Failure(result.error or "failed without a message", result.error_kind or "exception")
    code = observation.exit_code
    if code is not None and code < 0:
        return Failure(f"killed by {_signal_name(-code)}{trail}", "signal")
    if code:
        return Failure(f"ended with exit code {code}{trail}", "exit")
    if observation.state == "cancelled":
        return Failure(observation.reason or "cancelled", "executor")
    if result is None:
        return Failure(f"ended without a result{trail}", "exit")
    if observation.state != "succeeded":
        return Failure(observation.reason or f"the executor says {observation.state}", "executor")
    if collected.problem:
        return Failure(collected.problem, "evaluation")
    return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
