"""TPE (Bergstra et al. 2011) through Optuna, for spaces and studies that a Gaussian process does not suit."""

from typing import TYPE_CHECKING, Any

from core import CategoricalParam, FloatParam, IntParam, Space
from overnight_policy_hybrid.arms import OUTSIDE
from overnight_policy_hybrid.frame import Point, position
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
    space = _distributions(known.space)
    middle = sorted(outcome.gain or 0.0 for outcome in known.scored)[len(known.scored) // 2] if known.scored else 0.0
    told: list[optuna.trial.FrozenTrial] = []
    for outcome in known.outcomes:
        if outcome.arm in OUTSIDE and (outcome.gain is None or outcome.gain < middle):
            continue
        told.append(_trial(known.space, space, outcome.point, outcome.gain))
    told += [_trial(known.space, space, point, None) for point in known.pending]
    study.add_trials(told)
    asked = study.ask(space).params
    found = {
        name: param.choices[asked[name]] if isinstance(param, CategoricalParam) else asked[name]
        for name, param in known.space.items()
    }
    return known.space.check(found)


def _trial(space: Space, distributions: dict[str, Any], point: Point, gain: float | None) -> "optuna.trial.FrozenTrial":
    import optuna

    params: dict[str, Any] = {
        name: position(param.choices, point[name]) if isinstance(param, CategoricalParam) else point[name]
        for name, param in space.items()
    }
    state = {"state": optuna.trial.TrialState.RUNNING} if gain is None else {"value": gain}
    return optuna.create_trial(params=params, distributions=distributions, **state)


def _distributions(space: Space) -> dict[str, Any]:
    """A categorical's choices by position, since Optuna takes True and 1 for the same choice."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    made: dict[str, Any] = {}
    for name, param in space.items():
        match param:
            case FloatParam():
                made[name] = FloatDistribution(param.low, param.high, log=param.log)
            case IntParam():
                made[name] = IntDistribution(param.low, param.high, log=param.log)
            case CategoricalParam():
                made[name] = CategoricalDistribution(range(len(param.choices)))
    return made
