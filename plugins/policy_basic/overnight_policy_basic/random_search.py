"""Policy `random`: independent draws (Bergstra & Bengio 2012, JMLR 13:281)."""

from core import PluginConfig, Proposal, StudyView, Trial
from overnight_policy_basic.draw import generator


class RandomSearch:
    """Draws every trial uniformly from the search space."""

    class Config(PluginConfig):
        """default_first: whether trial 1 is the task author's own configuration."""

        default_first: bool = True

    def __init__(self, config: Config) -> None:
        self._config = config

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """See core.contracts.Policy. Proposal i depends on the seed and i only."""
        return [self._propose(view, view.proposed + i) for i in range(n)]

    def tell(self, trial: Trial) -> None:
        """Random search learns nothing."""

    def _propose(self, view: StudyView, index: int) -> Proposal:
        if index == 0 and self._config.default_first:
            return Proposal(view.space.defaults(), rationale="default configuration")
        params = view.space.sample(generator(view.seed, index, "random"))
        return Proposal(params, rationale=f"random draw {index + (not self._config.default_first)}")
