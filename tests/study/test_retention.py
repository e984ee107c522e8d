"""Only the checkpoints that somebody may need stay: the incumbent's and those of unfinished trials."""

from collections.abc import Callable

from core.study.launch import Outcome
from core.study.layout import Layout

Run = Callable[..., Outcome]


def kept(outcome: Outcome) -> set[int]:
    """Trials whose checkpoint is still there."""
    layout = Layout(outcome.facts.study.directory)
    return {trial.number for trial in outcome.facts.study.trials if layout.checkpoint(trial.number).is_dir()}


def test_the_incumbents_checkpoint_stays_and_the_others_go(run: Run) -> None:
    outcome = run(budget={"trials": 6})
    assert len([trial for trial in outcome.facts.study.trials if trial.status == "completed"]) == 7
    assert kept(outcome) == {outcome.facts.study.incumbent}
    assert Layout(outcome.facts.study.directory).best.resolve().is_dir()


def test_all_stay_where_that_is_asked_for(run: Run) -> None:
    assert kept(run(budget={"trials": 3}, keep_checkpoints="all")) == {1, 2, 3}
