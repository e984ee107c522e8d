"""Policy `gp`: Optuna's Gaussian-process sampler, which models noise in the scores."""

from typing import TYPE_CHECKING

from core import Proposal, StudyView
from overnight_policy_optuna.bridge import OptunaConfig, OptunaPolicy
from overnight_policy_optuna.sequential import require

if TYPE_CHECKING:
    import optuna


class GaussianProcess(OptunaPolicy):
    """Optuna's Gaussian process: best on numeric spaces up to a few hundred trials."""

    label = "Gaussian process"
    constrained = True
    Config = OptunaConfig

    def __init__(self, config: OptunaConfig) -> None:
        super().__init__(config)
        require("torch", "gp")
        require("scipy", "gp")

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """As every policy, with torch held to one thread: with more, a fit takes 5 times as long
        when trials keep the cores busy (measured: 0.3 s against 1.4 s at 100 trials)."""
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return super().ask(view, n)
        finally:
            torch.set_num_threads(threads)

    def sampler(self, seed: int) -> "optuna.samplers.BaseSampler":
        """Not deterministic: equal settings may score differently, and training does."""
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed, n_startup_trials=1, deterministic_objective=False)
