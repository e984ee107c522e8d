"""The study loop: every trial goes its one way, and what is not better is not kept."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.contracts import Observation
from core.errors import UsageError
from core.guard.live import LiveGuard
from core.guard.settings import GuardSettings
from core.journal import events as ev
from core.journal.fold import JobRecord
from core.journal.store import Journal
from core.plugins import discover
from core.recorded import recorded_study
from core.study import asking
from core.study.launch import Outcome, create, read_facts
from core.study.watch import SLACK_S, JobWatch, verdict
from support import study_config

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One finished study that several tests look at."""
    directory = tmp_path_factory.mktemp("finished") / "study"
    directory.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERNIGHT_CACHE", str(directory.parent / "cache"))
        return create(study_config(directory, budget={"trials": 5}), directory, discover())


def journal_events(directory: Path) -> list[ev.Event]:
    with Journal.open(directory / "journal.db", readonly=True) as journal:
        return [entry.event for entry in journal.entries()]


def test_a_study_measures_its_baseline_tries_and_keeps_the_better(finished: Outcome) -> None:
    study = finished.facts.study
    assert finished.exit_code == 0
    assert finished.facts.state == "finished"
    assert [trial.number for trial in study.trials] == list(range(6))
    assert all(trial.status == "completed" for trial in study.trials)
    best = study.trial(study.incumbent)
    assert study.incumbent != 0
    assert best.score == max(trial.score for trial in study.trials if trial.score is not None)
    checkpoint = study.directory / "trials" / f"{best.number:04d}" / "checkpoint"
    assert (study.directory / "best").resolve() == checkpoint.resolve()
    assert (study.directory / "best" / "weights.json").exists()


def test_the_test_split_is_opened_once_for_baseline_and_incumbent_only(finished: Outcome) -> None:
    study = finished.facts.study
    opened = [event for event in journal_events(study.directory) if isinstance(event, ev.TestOpened)]
    assert [event.trials for event in opened] == [(0, study.incumbent)]
    assert {trial.number for trial in study.trials if trial.test} == {0, study.incumbent}
    assert all(t.test.n == 60 and t.test.low <= t.test.value <= t.test.high for t in study.trials if t.test)


def test_intent_is_journaled_before_submission_and_money_before_intent(finished: Outcome) -> None:
    order: dict[str, list[str]] = {}
    for event in journal_events(finished.facts.study.directory):
        if isinstance(event, ev.BudgetReserved | ev.JobIntended | ev.JobSubmitted | ev.JobEnded | ev.BudgetSettled):
            order.setdefault(event.token, []).append(type(event).__name__)
    assert len(order) == 2 + 2 * 5 + 2
    expected = ["BudgetReserved", "JobIntended", "JobSubmitted", "JobEnded", "BudgetSettled"]
    assert all(steps == expected for steps in order.values())


def most_at_once(outcome: Outcome, begin: type, end: type, key: str) -> int:
    """The most that had begun and not ended, by the journal; `key` names one."""
    begun: set[object] = set()
    most = 0
    for event in journal_events(outcome.facts.study.directory):
        if isinstance(event, begin):
            begun.add(getattr(event, key))
        if isinstance(event, end):
            begun.discard(getattr(event, key))
        most = max(most, len(begun))
    return most


def test_trials_run_side_by_side_up_to_the_slots(run: Run) -> None:
    outcome = run(
        executor={"name": "local", "slots": 3}, budget={"trials": 4}, task={"name": "quadratic", "step_s": 0.1}
    )
    most = most_at_once(outcome, ev.TrialProposed, ev.TrialEnded, "trial")
    assert most == 3


@pytest.mark.parametrize("slots", [1, 2])
def test_never_more_jobs_than_slots_the_test_evaluations_included(run: Run, slots: int) -> None:
    outcome = run(executor={"name": "local", "slots": slots}, budget={"trials": 2})
    most = most_at_once(outcome, ev.JobIntended, ev.JobEnded, "token")
    assert most == slots
    assert len(outcome.facts.test_opened) == 2
    assert all(t.test for t in outcome.facts.study.trials if t.number in outcome.facts.test_opened)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_proposals_scores_and_decisions(run: Run) -> None:
    serial = {"name": "local", "slots": 1}
    one, two = (run(name, executor=serial, policy={"name": "tpe"}, budget={"trials": 2}) for name in ("one", "two"))

    def essence(outcome: Outcome) -> list[object]:
        return [(t.proposal, t.evaluation, t.decision, t.test) for t in outcome.facts.study.trials]

    assert essence(one) == essence(two)
    other = run("three", executor=serial, policy={"name": "random"}, seed=2, budget={"trials": 2})
    assert essence(other) != essence(one)


def test_a_retest_is_a_trial_of_its_own_with_the_same_params_and_another_seed(run: Run) -> None:
    outcome = run(
        decision={"name": "first_wins", "retest": True},
        policy={"name": "halving"},
        executor={"name": "local", "slots": 1},
        budget={"trials": 6},
    )
    trials = outcome.facts.study.trials
    retests = [trial for trial in trials if trial.proposal.retest]
    assert retests
    for retest in retests:
        assert retest.proposal.parent is not None
        parent = trials[retest.proposal.parent]
        assert parent.decision is not None
        assert parent.decision.verdict == "retest"
        assert parent.proposal.params == retest.proposal.params
        seeds = [
            json.loads((outcome.facts.study.directory / "trials" / f"{t.number:04d}" / "job.json").read_text())["seed"]
            for t in (parent, retest)
        ]
        assert seeds[0] != seeds[1]


def test_a_retest_does_not_wait_for_a_policy_that_thinks_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, seen = asking.ask, []

    def slow(policy: Any, name: str, view: Any, n: int) -> asking.Answer:
        def retested() -> bool:
            trials = recorded_study(view.directory).trials
            return any(trial.proposal.retest for trial in trials)

        end = time.monotonic() + 20
        while view.proposed >= 3 and not retested() and time.monotonic() < end:
            time.sleep(0.05)
        seen.append((view.proposed, retested()))
        return ask(policy, name, view, n)

    monkeypatch.setattr(asking, "ask", slow)
    outcome = run(
        decision={"name": "first_wins", "retest": True},
        policy={"name": "halving"},
        executor={"name": "local", "slots": 2},
        budget={"trials": 6},
    )
    later = [known for proposed, known in seen if proposed >= 3]
    assert later
    assert all(later), "the policy was asked, and the retest came while it thought"
    trials = outcome.facts.study.trials
    assert len(trials) == 7, "the budget is kept: what the policy was asked for, and the retest"
    assert any(trial.proposal.retest for trial in trials)


def test_a_policy_with_nothing_left_ends_the_study(run: Run) -> None:
    outcome = run(policy={"name": "grid", "points": 1}, budget={"trials": 50}, certification={"runs": 0})
    assert outcome.facts.study.finished == "the policy has nothing left to try"
    assert len(outcome.facts.study.trials) == 2


def test_nothing_is_left_in_the_executors_folder(finished: Outcome) -> None:
    assert list((finished.facts.study.directory / ".executor").iterdir()) == []


def test_the_training_job_is_not_told_of_evaluation_and_the_other_way_round(finished: Outcome) -> None:
    folder = finished.facts.study.directory / "trials" / "0001"
    train = json.loads((folder / "job.json").read_text())
    validation = json.loads((folder / "validation.job.json").read_text())
    assert (train["phase"], validation["phase"]) == ("train", "validation")
    assert validation["params"] == {}
    assert train["params"] != {}


def test_an_empty_search_space_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with pytest.raises(UsageError, match=r"task.space: the search space is empty"):
        create(study_config(tmp_path / "s", task={"name": "quadratic", "space": {}}), tmp_path / "s", discover())
    assert list((tmp_path / "s").iterdir()) == []


def test_a_study_is_readable_from_its_directory_alone(finished: Outcome, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(finished.facts.study.directory, moved, symlinks=True)
    facts = read_facts(moved)
    assert facts.study.trials == finished.facts.study.trials
    assert (moved / "best" / "weights.json").exists()


def test_a_job_that_nobody_ends_is_given_up_and_its_time_is_billed() -> None:
    job = JobRecord("s/0001/train/a1", 1, "train", 1, deadline_s=100.0)
    for state, seconds in (("provisioning", 40.0), ("unknown", 40.0), ("running", 40.0)):
        watch = JobWatch(job, LiveGuard(GuardSettings()), since=0.0)
        seen = Observation(job.token, state, seconds=seconds, usd=4.0)  # type: ignore[arg-type]
        assert verdict(watch, seen, 50.0, 10.0, 1e9) is None
        assert verdict(watch, seen, 50.0 + 110.0, 10.0, 1e9) is None
        late = verdict(watch, seen, 50.0 + 110.0 + SLACK_S + 1, 10.0, 1e9)
        assert late is not None
        assert (late.state, late.usd) == ("lost", 4.0)


def test_a_vanished_machine_is_billed_until_it_was_missed() -> None:
    watch = JobWatch(JobRecord("s/0001/train/a1", 1, "train", 1, 100.0), LiveGuard(GuardSettings()), since=0.0)
    verdict(watch, Observation("s/0001/train/a1", "running", seconds=40.0, usd=4.0), 50.0, 10.0, 1e9)
    gone = verdict(watch, Observation("s/0001/train/a1", "lost"), 60.0, 10.0, 1e9)
    assert gone is not None
    assert (gone.seconds, gone.usd) == (50.0, pytest.approx(5.0))
