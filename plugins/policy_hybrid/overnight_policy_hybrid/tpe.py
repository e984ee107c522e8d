"""TPE (Bergstra et al. 2011) through Optuna, for spaces and studies that a Gaussian process does not suit."""

from typing import TYPE_CHECKING, Any

from core import Space, from_optuna, optuna_distributions, optuna_params
from overnight_policy_hybrid.arms import POINTS
from overnight_policy_hybrid.frame import Point
from overnight_policy_hybrid.known import Known

if TYPE_CHECKING:
    import optuna


def propose(known: Known, seed: int) -> Point:
    """What Optuna's sampler asks for. Failed trials of its own are told as running for good, which
    its constant liar keeps away from; what the outside proposed is told only where it scored
    above the median, so that neither its failures nor its clusters shape the sampler."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    space = optuna_distributions(known.space)
    middle = sorted(outcome.gain or 0.0 for outcome in known.scored)[len(known.scored) // 2] if known.scored else 0.0
    told: list[optuna.trial.FrozenTrial] = []
    for outcome in known.outcomes:
        if outcome.arm in POINTS and (outcome.gain is None or outcome.gain < middle):
            continue
        told.append(_trial(known.space, space, outcome.point, outcome.gain))
    told += [_trial(known.space, space, point, None) for point in known.pending]
    study.add_trials(told)
    return known.space.check(from_optuna(known.space, study.ask(space).params))


def _trial(space: Space, distributions: dict[str, Any], point: Point, gain: float | None) -> "optuna.trial.FrozenTrial":
    import optuna

    state = {"state": optuna.trial.TrialState.RUNNING} if gain is None else {"value": gain}
    return optuna.create_trial(params=optuna_params(space, point), distributions=distributions, **state)
