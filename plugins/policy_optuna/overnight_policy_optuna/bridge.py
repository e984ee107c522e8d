"""The bridge to Optuna: a study view becomes an in-memory Optuna study, rebuilt at every ask.

Nothing is stored on disk: the journal is the truth, and rebuilding 1,000 trials takes a tenth of
a second where Optuna's own storages take 0.6 to 1.3 s to open.

Completed trials are told with their score, running ones as running. Optuna's samplers ignore its
FAIL state, and without knowing of failures they walk back into them: where scores rise towards
a cliff, 93 % of TPE's proposals were measured to fail, and 82 % of the Gaussian process's. So
failed trials are told, but never with a score that competes:
- by default as running for good; TPE's constant liar counts those among the bad (27 % fail);
- to a sampler that models constraints as violating one (22 % fail, against 68 % as running).
"""

import statistics
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core import Objective, Proposal, StudyView, from_optuna, optuna_distributions, optuna_params
from overnight_policy_optuna.sequential import Known, Point, SequentialConfig, SequentialPolicy, draw

if TYPE_CHECKING:
    import optuna


class OptunaConfig(SequentialConfig):
    """startup_trials: scored trials (random draws, and the default) before the model is used."""

    startup_trials: int = Field(default=5, ge=1)


class OptunaPolicy(SequentialPolicy):
    """A policy on one of Optuna's samplers; a subclass says which."""

    label = ""
    constrained = False  # whether failed trials are told as a violated constraint

    def __init__(self, config: OptunaConfig) -> None:
        super().__init__(config)
        self._startup_trials = config.startup_trials

    def sampler(self, seed: int) -> "optuna.samplers.BaseSampler":
        """The sampler, made anew for every proposal, that models from its first trial on."""
        raise NotImplementedError

    def propose(self, view: StudyView, known: Known, seed: int) -> Proposal:
        """A random draw during start-up, then what the sampler asks for."""
        count = len(known.scored)
        if count < self._startup_trials:
            why = f"random draw: {self.label} starts at {self._startup_trials} scored trials, there are {count}"
            return Proposal(draw(view.space, seed), rationale=why)
        study = build_study(known, view.objective, self.sampler(seed), self.constrained)
        found = from_optuna(view.space, study.ask(optuna_distributions(view.space)).params)
        why = f"{self.label}: expected improvement over {count} scored trials{known.avoided()}{known.left_out()}"
        return Proposal(view.space.check(found), rationale=why)


def build_study(
    known: Known, objective: Objective, sampler: "optuna.samplers.BaseSampler", constrained: bool = False
) -> "optuna.Study":
    """An in-memory Optuna study that knows all that the policy may know."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=sampler, direction=objective.direction)
    space = optuna_distributions(known.space)
    waiting: dict[str, Any] = {"state": optuna.trial.TrialState.RUNNING}
    met: dict[str, Any] = {}
    violated = waiting
    if constrained and known.failed and known.scored:
        # Optuna wants a value beside the violated constraint. The median says the least there
        # is to say, and is no candidate for the best: only trials that met the constraint are.
        middle = statistics.median(score for _, score in known.scored)
        met = {"constraints": {"failed": -1.0}}
        violated = {"constraints": {"failed": 1.0}, "value": middle}

    def made(point: Point, told: dict[str, Any]) -> "optuna.trial.FrozenTrial":
        return optuna.create_trial(params=optuna_params(known.space, point), distributions=space, **told)

    study.add_trials(
        [made(point, violated if score is None else {**met, "value": score}) for point, score in known.ended]
    )
    study.add_trials([made(point, waiting) for point in known.pending])
    return study
