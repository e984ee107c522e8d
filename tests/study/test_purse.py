"""The purse: what a policy spends itself is in the same budget, reserved before it is spent."""

from collections.abc import Callable
from pathlib import Path

from core.journal import events as ev
from core.study.launch import Outcome, read_facts
from support import QUICK, overnight
from witness import assert_whole, events

Run = Callable[..., Outcome]


def test_a_policys_calls_are_reserved_then_settled_and_counted_with_the_rest(run: Run) -> None:
    outcome = run(policy={"name": "halving", "call_usd": 1.0}, budget={"trials": 3, "usd": 10.0})
    assert outcome.exit_code == 0, outcome.error
    recorded = events(outcome.facts.study.directory)
    own = [
        event for event in recorded if isinstance(event, ev.BudgetReserved | ev.BudgetSettled) and event.trial is None
    ]
    calls = [event.usd for event in own if isinstance(event, ev.BudgetReserved)]
    assert calls
    assert set(calls) == {1.0}
    assert sum(event.usd for event in own if isinstance(event, ev.BudgetSettled)) == 0.5 * len(calls)
    assert outcome.facts.study.usd == outcome.facts.policy_usd == 0.5 * len(calls)
    order = {event.token: [] for event in own}
    for event in own:
        order[event.token].append(type(event).__name__)
    assert all(kinds == ["BudgetReserved", "BudgetSettled"] for kinds in order.values())


def test_a_policy_cannot_spend_what_the_trials_need_and_the_study_goes_on_without(run: Run) -> None:
    outcome = run(
        policy={"name": "halving", "call_usd": 4.0},
        executor={"name": "example_subprocess", "slots": 1, "usd_per_hour": 3600.0},
        deadline={"prepare_s": 2.0, "train_s": 3.0, "evaluate_s": 2.0},
        budget={"trials": 2, "usd": 24.0},
    )
    study = outcome.facts.study
    assert outcome.exit_code == 0, outcome.error
    assert study.usd <= 24.0
    assert outcome.facts.policy_usd == 0.0 or outcome.facts.policy_usd % 2.0 == 0
    assert len(study.trials) == 3, "no trial was given up for a call"


def test_a_call_in_which_the_controller_died_counts_in_full(tmp_path: Path) -> None:
    directory = tmp_path / "study"
    settings = [word for word in QUICK if not word.startswith("policy=")]
    ran = overnight(
        *settings, "policy=halving", "policy.call_usd=1", "policy.die_in_call=true", "budget.usd=10",
        f"dir={directory}", cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == -9
    before = read_facts(directory)
    assert before.policy_usd == 0.5
    # The new controller's policy dies in its second call too: what it cost until then is known.
    overnight("resume", directory, cwd=tmp_path)
    recorded = events(directory)
    reserved = {e.token for e in recorded if isinstance(e, ev.BudgetReserved) and e.trial is None}
    settled = [(e.token, e.usd) for e in recorded if isinstance(e, ev.BudgetSettled) and e.trial is None]
    assert len(settled) == len({token for token, _ in settled})
    assert sorted({usd for _, usd in settled}) == [0.5, 1.0]
    assert len(reserved) - len(settled) <= 1
    while read_facts(directory).state != "finished":
        overnight("resume", directory, cwd=tmp_path)
    assert_whole(directory, 3)
    assert read_facts(directory).study.usd <= 10.0
