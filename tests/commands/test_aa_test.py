"""The A/A test: identical runs give the noise, and nothing is claimed of them."""

from collections.abc import Callable

import pytest

from core.commands.aa_test import noise
from core.errors import UsageError
from core.study.launch import Outcome

Run = Callable[..., Outcome]


def test_identical_runs_give_the_noise_of_seeds_and_items_and_test_the_rule(run: Run) -> None:
    facts = run(identical=True, budget={"trials": 4}, decision={"name": "climb"}).facts
    assert len({str(trial.proposal.params) for trial in facts.study.trials if trial.number}) == 1
    assert facts.test_opened == ()
    found = noise(facts.study.directory)
    assert (found["runs"], found["items"], found["rule"]) == (4, 60, "climb")
    assert found["seed_sd_low"] <= found["seed_sd"] <= found["seed_sd_high"]
    assert found["confirmed"] <= 0.08
    assert found["kept"]
    assert len(found["gains"]) == 5


def test_a_study_whose_trials_differ_is_no_aa_test(run: Run) -> None:
    with pytest.raises(UsageError, match="is no A/A test"):
        noise(run(budget={"trials": 3}).facts.study.directory)
