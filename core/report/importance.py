"""Parameter importance: which settings the scores depended on."""

from dataclasses import dataclass

from core.contracts import Space, optuna_distributions, optuna_params
from core.journal.facts import StudyFacts

_FEWEST = 6


@dataclass(frozen=True)
class Importance:
    """shares: parameter → share of importance, largest first, summing to 1; empty when `why_not`
    says why there is none. note: how far to trust it."""

    shares: dict[str, float]
    note: str = ""
    why_not: str = ""


def importance(facts: StudyFacts) -> Importance:
    """PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255) through Optuna."""
    scored = [trial for trial in facts.study.trials if trial.number and trial.score is not None]
    varied = {name for name in facts.space if len({str(trial.proposal.params.get(name)) for trial in scored}) > 1}
    if len(scored) < _FEWEST:
        return Importance({}, why_not=f"needs at least {_FEWEST} completed trials, there are {len(scored)}")
    if len(varied) < 2:
        return Importance({}, why_not="needs at least two parameters that were varied")
    if len({trial.score for trial in scored}) == 1:
        return Importance({}, why_not="all trials scored the same")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = Space({name: param for name, param in facts.space.items() if name in varied})
    known = optuna_distributions(space)
    study = optuna.create_study(direction=facts.study.objective.direction)
    study.add_trials(
        [
            optuna.create_trial(
                params=optuna_params(space, {name: trial.proposal.params[name] for name in space}),
                distributions=known,
                value=trial.score,
            )
            for trial in scored
        ]
    )
    shares = optuna.importance.get_param_importances(study, evaluator=optuna.importance.PedAnovaImportanceEvaluator())
    note = f"PED-ANOVA over {len(scored)} completed trials"
    if len(scored) < 30:
        note += "; with so few, an impression and not a finding"
    return Importance(dict(sorted(shares.items(), key=lambda item: -item[1])), note)
