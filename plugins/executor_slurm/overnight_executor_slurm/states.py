"""The state of a job, from what its folder and Slurm's controller say of it. Pure: facts in, verdict out."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core import JobState
from overnight_executor_slurm.listing import Record

_STARTING = frozenset(("CONFIGURING", "POWER_UP_NODE", "RESV_DEL_HOLD"))
_WAITING = frozenset(("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"))
_STOPPED = frozenset(("SUSPENDED", "STOPPED"))
_NODE_GONE = frozenset(("NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL", "REVOKED"))
_KNOWN = _STARTING | _WAITING | _STOPPED | frozenset(
    ["RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "EXPEDITING"]
)  # fmt: skip
# What slurmstepd writes into the job's output when Slurm ends it.
_LAST_WORDS = re.compile(r"\*\*\* JOB \d+ ON \S+ CANCELLED AT \S+( DUE TO ([A-Z ]+))? \*\*\*")
_REQUEUED = "Slurm put it back into the queue, and it is not run twice"
_OUTSIDE = "cancelled by somebody else, with scancel"


@dataclass(frozen=True)
class Traces:
    """What a job's folder says. ended: its exit.json. began: whether its supervisor did. whole: whether
    there is a result.json. cancelling: whether we asked it to end. said: the batch script's output."""

    exists: bool = True
    began: bool = False
    ended: dict[str, Any] | None = None
    whole: bool = False
    cancelling: bool = False
    said: str = ""


@dataclass(frozen=True)
class Verdict:
    """A state, see core.contracts.Observation. final: whether it will never be another. odd: whether
    folder and controller contradict each other, which they may for a while."""

    state: JobState
    exit_code: int | None = None
    reason: str = ""
    final: bool = False
    odd: bool = False


def settled(found: Traces) -> Verdict | None:
    """The verdict where the folder alone has it: the job ended by itself or beyond its own limits."""
    if not found.exists:
        return Verdict("lost", reason="there is no trace of the job", final=True)
    if found.ended is None or _from_outside(found.ended):
        return None
    return _own(found, found.ended)


def _own(found: Traces, ended: dict[str, Any]) -> Verdict:
    code, reason = ended["exit_code"], ended["reason"]
    good = reason == "" and code == 0 and found.whole
    return Verdict("succeeded" if good else "failed", code, reason, final=True)


def _from_outside(ended: dict[str, Any]) -> bool:
    """Whether Slurm may be behind it. It signals every process of a job, so that the job may be dead
    before its supervisor has heard that it is to end."""
    return ended["reason"] == "cancelled" or (
        ended["reason"] == "" and ended["exit_code"] in (-signal.SIGTERM, -signal.SIGKILL)
    )


def judge(found: Traces, known: Sequence[Record], odd_s: float, patience_s: float) -> Verdict:
    """The verdict with what Slurm knows under the job's name.

    odd_s: seconds for which the two have contradicted each other; patience_s: how long they may.
    """
    if verdict := settled(found):
        return verdict
    alive = next((record for record in known if not record.over), None)
    over = next((record for record in reversed(known) if record.over), None) if alive is None else None
    if found.ended is not None:
        return _told_to_end(found, alive, over, odd_s, patience_s)
    if alive is not None:
        return _going_on(found, alive, odd_s, patience_s)
    if over is not None and (verdict := _ended_by_slurm(found, over)):
        return verdict
    if odd_s < patience_s:
        what = f"Slurm says {over.state}" if over else "Slurm does not know it"
        return Verdict("unknown", reason=f"{what}, and it has left no exit.json (yet)", odd=True)
    if not found.began:
        words = found.said.strip().splitlines()
        return Verdict("lost", reason=f"it never began: {words[-1][-300:] if words else 'no word of why'}", final=True)
    what = f"is {over.state}" if over else "is no longer known to Slurm"
    return Verdict("lost", reason=f"it {what} and left no exit.json", final=True)


def _going_on(found: Traces, alive: Record, odd_s: float, patience_s: float) -> Verdict:
    """A job that Slurm knows as not over and that has not ended by its own account."""
    if alive.state in _WAITING and found.began:
        # It may be a listing from before it began; else somebody requeued it, and it never runs twice.
        if odd_s < patience_s:
            return Verdict("running", odd=True)
        return Verdict("lost", reason=_REQUEUED, final=True)
    if alive.state in _WAITING:
        return Verdict("queued", reason=f"queued: {alive.reason or alive.state}")
    if alive.state in _STARTING or (not found.began and alive.state == "RUNNING"):
        return Verdict("provisioning")
    if alive.state in _STOPPED:
        return Verdict("running", reason="suspended by Slurm")
    if alive.state in _KNOWN:
        return Verdict("running", reason="" if alive.state == "RUNNING" else alive.state.lower())
    return Verdict("unknown", reason=f"Slurm says {alive.state}")


def _told_to_end(found: Traces, alive: Record | None, over: Record | None, odd_s: float, patience_s: float) -> Verdict:
    """A job that got SIGTERM: from us, or from Slurm for one of several reasons, or from who knows whom."""
    ended = found.ended or {}
    if found.cancelling:
        return Verdict("cancelled", ended["exit_code"], "cancelled", final=True)
    if over is not None and (verdict := _ended_by_slurm(found, over)):
        return verdict
    if over is None and odd_s < patience_s:
        # Slurm has not yet said why; nor, perhaps, has its last word come through the file system.
        return Verdict("running" if alive else "unknown", reason="ending", odd=True)
    if words := _LAST_WORDS.search(found.said):
        if "REQUEUE" in (words[2] or ""):
            return Verdict("lost", ended["exit_code"], _REQUEUED, final=True)
        return _ended_by_slurm(found, Record("", _word(words[2] or ""))) or _preempted(ended)
    return _preempted(ended) if ended["reason"] == "cancelled" else _own(found, ended)


def _word(cause: str) -> str:
    for part, word in (("PREEMPTION", "PREEMPTED"), ("TIME LIMIT", "TIMEOUT"), ("NODE FAILURE", "NODE_FAIL")):
        if part in cause:
            return word
    return "CANCELLED"


def _preempted(ended: dict[str, Any]) -> Verdict:
    """It ended on SIGTERM within the grace time that Slurm gives the preempted, so that Slurm counts it
    as completed (22.05 does)."""
    return Verdict("preempted", ended.get("exit_code"), "preempted", final=True)


def _ended_by_slurm(found: Traces, over: Record) -> Verdict | None:
    """What Slurm ended, or saw end with its node; None where the job's own account decides."""
    code = (found.ended or {}).get("exit_code")
    if over.state == "PREEMPTED":
        return Verdict("preempted", code, "preempted", final=True)
    if over.state in _NODE_GONE:
        where = f" on {over.node}" if over.node else ""
        return Verdict("lost", code, f"its node went away ({over.state}{where})", final=True)
    if over.state in ("TIMEOUT", "DEADLINE"):
        return Verdict("failed", code, "deadline", final=True)
    if over.state == "OUT_OF_MEMORY":
        return Verdict("failed", code, "oom", final=True)
    if over.state == "CANCELLED":
        # Without the exit code: that it got SIGTERM is not what went wrong.
        return Verdict("cancelled", reason="cancelled" if found.cancelling else _OUTSIDE, final=True)
    return None
