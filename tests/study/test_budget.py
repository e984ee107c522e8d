"""Budgets: no limit is passed, and a study says why it ended."""

from collections.abc import Callable

from core.study.launch import Outcome

Run = Callable[..., Outcome]
PRICED = {"name": "example_subprocess", "slots": 2, "usd_per_hour": 3600.0}


def test_money_is_reserved_at_the_worst_case_so_the_cap_is_never_passed(run: Run) -> None:
    # A job costs a dollar a second; worst case of a trial and the test: 3 + 3 * 2 = 9 dollars,
    # and a second of grace for each of the four jobs.
    outcome = run(executor=PRICED, deadline={"train_s": 3.0, "evaluate_s": 2.0}, budget={"usd": 18.0, "trials": None})
    study = outcome.facts.study
    assert study.finished is not None
    assert "could cost $13.00" in study.finished
    assert 0 < study.usd <= 18.0
    assert len(study.trials) > 1


def test_a_budget_for_less_than_one_trial_starts_none(run: Run) -> None:
    outcome = run(executor=PRICED, deadline={"train_s": 3.0, "evaluate_s": 2.0}, budget={"usd": 12.0, "trials": None})
    assert [trial.number for trial in outcome.facts.study.trials] == [0]
    assert outcome.exit_code == 5


def test_wall_clock_ends_the_study_in_time(run: Run) -> None:
    # Long enough for a few trials on a machine under load, and no trial count would end it sooner.
    outcome = run(
        budget={"trials": None, "wall_clock_hours": 12 / 3600},
        task={"name": "quadratic", "step_s": 0.1},
        executor={"name": "local", "slots": 1},
    )
    assert outcome.exit_code == 0
    assert "wall-clock" in (outcome.facts.study.finished or "")
    assert outcome.facts.study.seconds < 16
    assert len(outcome.facts.study.trials) > 1
