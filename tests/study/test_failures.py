"""Trials that go wrong: recorded with their reason, never the best, and the study goes on."""

from collections.abc import Callable
from typing import Any

import pytest

from core.contracts import Observation
from core.study.effects import Collected
from core.study.failures import explain
from core.study.launch import Outcome

Run = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("raise", "exception", "ValueError: the gradient went"),
        ("segfault", "signal", "SIGSEGV"),
        ("exit", "exit", "exit code 3; its last words: score=0.99"),
        ("nan", "not-finite", "loss is nan at step"),
        ("nan_score", "not-finite", "hit_rate on validation is nan"),
        ("no_checkpoint", "exception", "without leaving a checkpoint"),
        ("hang", "deadline", "killed at its deadline of 3 s"),
        ("silence", "stalled", "no step was reported for"),
    ],
)
def test_a_faulty_trial_is_recorded_with_its_reason_and_the_study_goes_on(
    run: Run, fault: str, kind: str, words: str
) -> None:
    task: dict[str, Any] = {"name": "quadratic", "fault": fault, "fault_above": 0.0}
    outcome = run(
        task=task,
        policy={"name": "halving"},  # x is above 0 for every second trial
        deadline={"train_s": 3.0 if fault == "hang" else 60.0},
        guard={"stall_s": 1.0 if fault == "silence" else None},
        budget={"trials": 2},
    )
    trials = outcome.facts.study.trials[1:]
    failed = [trial for trial in trials if float(trial.proposal.params["x"]) > 0]
    sound = [trial for trial in trials if trial not in failed]
    assert len(failed) == len(sound) == 1
    assert all(trial.status == "completed" for trial in sound)
    for trial in failed:
        assert (trial.status, trial.error_kind) == ("failed", kind), trial
        assert trial.error is not None
        assert words in trial.error
        assert trial.score is None
    assert outcome.exit_code == 0
    assert outcome.facts.study.incumbent not in [trial.number for trial in failed]


def test_a_trial_that_prints_two_hundred_mebibytes_is_an_ordinary_trial(run: Run) -> None:
    outcome = run(
        task={"name": "quadratic", "fault": "gigabyte"},
        executor={"name": "local", "slots": 2, "max_log_mb": 1.0},
        budget={"trials": 1},
    )
    assert outcome.facts.study.trial(1).status == "completed"
    assert (outcome.facts.study.directory / "trials/0001/log.txt").stat().st_size < 1.2 * 2**20


def test_when_no_trial_completes_the_exit_code_says_so_and_the_test_split_stays_closed(run: Run) -> None:
    outcome = run(task={"name": "quadratic", "fault": "raise"}, budget={"trials": 3})
    assert outcome.exit_code == 5
    assert outcome.facts.state == "finished"
    assert outcome.facts.test_opened == ()


def test_too_many_failures_in_a_row_stop_the_study_before_the_budget_is_wasted(run: Run) -> None:
    outcome = run(task={"name": "quadratic", "fault": "raise"}, budget={"trials": 50}, max_failures=3)
    assert outcome.exit_code == 3
    assert "3 trials failed in a row (max_failures), the last one: ValueError" in outcome.error
    assert outcome.facts.state == "interrupted"
    assert len(outcome.facts.study.trials) <= 6


def test_a_task_that_cannot_be_prepared_stops_the_study_with_its_reason(run: Run) -> None:
    outcome = run(task={"name": "quadratic", "fault": "prepare"})
    assert outcome.exit_code == 3
    assert "the task could not be prepared: RuntimeError: there is nothing to prepare with" in outcome.error


def test_a_failing_tracker_is_reported_once_and_harms_nothing(run: Run) -> None:
    outcome = run(trackers={"jsonlines": {"fail_in": "trial_finished"}})
    assert outcome.exit_code == 0
    said = [notice.text for notice in outcome.facts.notices if "jsonlines" in notice.text]
    assert len(said) == 1
    assert "the tracker is out of order in trial_finished" in said[0]


@pytest.mark.parametrize(
    ("reason", "kind"), [("oom", "oom"), ("too-many-processes", "processes"), ("disk-limit", "disk")]
)
def test_a_passed_limit_is_named_with_the_last_words(reason: str, kind: str) -> None:
    seen = Observation("s/1/train/a1", "failed", -9, reason)
    failure = explain(seen, Collected(last_line="overnight: killed: it held 1.05 GiB"), 60.0)
    assert failure is not None
    assert failure.kind == kind
    assert failure.error.startswith("killed because it ")
    assert failure.error.endswith("its last words: overnight: killed: it held 1.05 GiB")
