"""Policy `tpe`: Optuna's tree-structured Parzen estimator (Bergstra et al. 2011; Optuna 5 defaults)."""

from typing import TYPE_CHECKING

from pydantic import Field

from overnight_policy_optuna.bridge import OptunaConfig, OptunaPolicy

if TYPE_CHECKING:
    import optuna


class Tpe(OptunaPolicy):
    """Optuna's tree-structured Parzen estimator: models good and bad regions."""

    label = "TPE"

    class Config(OptunaConfig):
        """candidates: how many candidates are scored per proposal."""

        candidates: int = Field(default=24, ge=1)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._candidates = config.candidates

    def sampler(self, seed: int) -> "optuna.samplers.BaseSampler":
        """Multivariate with constant liar, which are Optuna 5's defaults."""
        from optuna.samplers import TPESampler

        return TPESampler(seed=seed, n_startup_trials=1, n_ei_candidates=self._candidates, constant_liar=True)
