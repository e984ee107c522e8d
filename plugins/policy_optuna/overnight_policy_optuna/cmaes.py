"""Policy `cmaes`: Optuna's CMA-ES (Hansen 2016, arXiv 1604.00772), for numeric spaces."""

from typing import TYPE_CHECKING

from pydantic import Field

from core import CategoricalParam, Proposal, StudyView
from overnight_policy_optuna.bridge import OptunaConfig, OptunaPolicy, require

if TYPE_CHECKING:
    import optuna


class CmaEs(OptunaPolicy):
    """Optuna's CMA-ES: evolves a normal distribution over the numeric parameters."""

    label = "CMA-ES"

    class Config(OptunaConfig):
        """sigma: initial standard deviation in the sampler's scaled space; None = a sixth of it."""

        startup_trials: int = 1
        sigma: float | None = Field(default=None, gt=0)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._sigma = config.sigma
        require("cmaes", "cmaes", "pip install cmaes")

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """As every policy; categorical parameters, which CMA-ES cannot model, are drawn at
        random, and each rationale says so."""
        proposals = super().ask(view, n)
        categorical = [name for name, param in view.space.items() if isinstance(param, CategoricalParam)]
        if not categorical:
            return proposals
        note = f"; {', '.join(categorical)} at random"
        return [
            proposal
            if proposal.rationale == "default configuration"
            else Proposal(proposal.params, rationale=proposal.rationale + note)
            for proposal in proposals
        ]

    def sampler(self, seed: int) -> "optuna.samplers.BaseSampler":
        """Optuna's defaults, with its warning about independent sampling off: `ask` says it."""
        from optuna.samplers import CmaEsSampler

        return CmaEsSampler(
            seed=seed,
            sigma0=self._sigma,
            n_startup_trials=self._config.startup_trials,
            warn_independent_sampling=False,
        )
