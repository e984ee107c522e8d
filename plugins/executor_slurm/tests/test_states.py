"""The verdict on a job from what its folder and Slurm say."""

from typing import Any

import pytest

from overnight_executor_slurm.listing import Record
from overnight_executor_slurm.states import Traces, judge

_LOG = "slurmstepd-ov1: error: *** JOB 1 ON ov1 CANCELLED AT 2026-11-27T13:18:37{} ***"


def record(state: str, **more: Any) -> Record:
    return Record("1", state, node="ov1", **more)


def ended(code: int, reason: str = "") -> dict[str, Any]:
    return {"exit_code": code, "reason": reason, "seconds": 3.0}


def verdict(found: Traces, *states: str, odd_s: float = 0.0) -> tuple[str, str, bool]:
    seen = judge(found, [record(state) for state in states], odd_s, 60.0)
    return seen.state, seen.reason, seen.final


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING", "COMPLETED", "FAILED", "NODE_FAIL", "PREEMPTED", "PENDING"])
def test_how_a_job_ended_by_itself_is_what_its_supervisor_says(state: str) -> None:
    whole = Traces(began=True, ended=ended(0), whole=True)
    assert verdict(whole, state) == ("succeeded", "", True)
    assert verdict(Traces(began=True, ended=ended(0)), state) == ("failed", "", True)
    assert verdict(Traces(began=True, ended=ended(7), whole=True), state) == ("failed", "", True)
    assert verdict(Traces(began=True, ended=ended(-9, "oom")), state) == ("failed", "oom", True)
    assert verdict(Traces(began=True, ended=ended(-15, "deadline")), state) == ("failed", "deadline", True)


@pytest.mark.parametrize(
    ("state", "began", "expected"),
    [
        ("PENDING", False, ("queued", "queued: PENDING")),
        ("REQUEUE_HOLD", False, ("queued", "queued: REQUEUE_HOLD")),
        ("CONFIGURING", False, ("provisioning", "")),
        ("RUNNING", False, ("provisioning", "")),
        ("RUNNING", True, ("running", "")),
        ("SUSPENDED", True, ("running", "suspended by Slurm")),
        ("COMPLETING", True, ("running", "completing")),
        ("QUANTUM", True, ("unknown", "Slurm says QUANTUM")),
    ],
)
def test_a_job_that_goes_on_is_never_at_its_end(state: str, began: bool, expected: tuple[str, str]) -> None:
    for odd_s in (0.0, 1e6):
        assert verdict(Traces(began=began), state, odd_s=odd_s) == (*expected, False)


def test_a_waiting_job_says_what_for() -> None:
    assert judge(Traces(), [record("PENDING", reason="Resources")], 0.0, 60.0).reason == "queued: Resources"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("PREEMPTED", ("preempted", "preempted")),
        ("NODE_FAIL", ("lost", "its node went away (NODE_FAIL on ov1)")),
        ("BOOT_FAIL", ("lost", "its node went away (BOOT_FAIL on ov1)")),
        ("TIMEOUT", ("failed", "deadline")),
        ("OUT_OF_MEMORY", ("failed", "oom")),
        ("CANCELLED", ("cancelled", "cancelled by somebody else, with scancel")),
    ],
)
def test_what_slurm_ended_is_what_slurm_says(state: str, expected: tuple[str, str]) -> None:
    assert verdict(Traces(began=True), state) == (*expected, True)
    assert verdict(Traces(began=True, ended=ended(-15, "cancelled")), state) == (*expected, True)
    # The signal may reach the job before its supervisor.
    assert verdict(Traces(began=True, ended=ended(-15)), state) == (*expected, True)


def test_a_job_that_went_within_its_notice_was_preempted_though_slurm_calls_it_completed() -> None:
    for state in ("COMPLETED", "FAILED"):
        assert verdict(Traces(began=True, ended=ended(0, "cancelled"), whole=True), state)[0] == "preempted"


def test_a_job_that_was_killed_by_nobody_knows_whom_has_failed() -> None:
    assert verdict(Traces(began=True, ended=ended(-9)), "FAILED") == ("failed", "", True)


def test_what_we_ended_is_cancelled_whatever_slurm_says() -> None:
    found = Traces(began=True, ended=ended(-15, "cancelled"), cancelling=True)
    for state in ("PREEMPTED", "CANCELLED", "RUNNING"):
        assert verdict(found, state) == ("cancelled", "cancelled", True)


def test_why_a_job_was_told_to_end_is_waited_for_then_read_in_its_output() -> None:
    def found(cause: str) -> Traces:
        return Traces(began=True, ended=ended(-15, "cancelled"), said=_LOG.format(cause))

    assert verdict(found(" DUE TO PREEMPTION"), "COMPLETING") == ("running", "ending", False)
    assert verdict(found(" DUE TO PREEMPTION"), "COMPLETING", odd_s=61)[0] == "preempted"
    assert verdict(found(" DUE TO PREEMPTION"), odd_s=61)[0] == "preempted"
    assert verdict(found(" DUE TO TIME LIMIT"), odd_s=61)[:2] == ("failed", "deadline")
    assert verdict(found(" DUE TO NODE FAILURE"), odd_s=61)[0] == "lost"
    assert verdict(found(" DUE TO JOB REQUEUE"), "PENDING", odd_s=61)[0] == "lost"
    assert verdict(found(""), odd_s=61)[0] == "cancelled"
    assert verdict(Traces(began=True, ended=ended(-15, "cancelled")), odd_s=61)[0] == "preempted"


def test_a_job_that_left_no_exit_json_is_unknown_first_and_lost_in_the_end() -> None:
    for states in ((), ("COMPLETED",), ("FAILED",)):
        assert verdict(Traces(began=True), *states)[::2] == ("unknown", False)
        assert verdict(Traces(began=True), *states, odd_s=61)[::2] == ("lost", True)
    said = Traces(said="overnight: n7 does not see /scratch/study\n")
    assert verdict(said, "FAILED", odd_s=61)[1] == "it never began: overnight: n7 does not see /scratch/study"


def test_a_job_that_began_and_waits_again_is_lost_unless_the_listing_is_old() -> None:
    assert verdict(Traces(began=True), "PENDING") == ("running", "", False)
    assert verdict(Traces(began=True), "PENDING", odd_s=61)[0] == "lost"


def test_of_two_jobs_that_a_lost_answer_made_the_living_one_counts() -> None:
    assert verdict(Traces(began=True), "RUNNING", "COMPLETED")[0] == "running"
    assert verdict(Traces(began=True), "COMPLETED", "RUNNING")[0] == "running"


def test_a_folder_that_is_gone_is_a_job_that_is_lost() -> None:
    assert verdict(Traces(exists=False), "RUNNING") == ("lost", "there is no trace of the job", True)
