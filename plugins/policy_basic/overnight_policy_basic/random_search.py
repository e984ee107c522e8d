"""Policy `random`: independent draws (Bergstra & Bengio 2012, JMLR 13:281)."""

from core import PluginConfig, Proposal, StudyView, Trial
from overnight_policy_basic.draw import Key, generator, key, taken

_DRAWS = 1000


class RandomSearch:
    """Draws every trial uniformly from the search space."""

    class Config(PluginConfig):
        """default_first: whether trial 1 is the task author's own configuration. dedupe: whether
        a point that was already tried is drawn anew; the study ends when 1,000 draws in a row
        find nothing new. Without it a repeated point gets another training seed."""

        default_first: bool = True
        dedupe: bool = False

    def __init__(self, config: Config) -> None:
        self._config = config

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """See core.contracts.Policy. Proposal i depends on the seed and i only (with `dedupe`
        also on which points were tried)."""
        seen = taken(view) if self._config.dedupe else set()
        proposals: list[Proposal] = []
        for index in range(view.proposed, view.proposed + n):
            proposal = self._propose(view, index, seen)
            if proposal is None:
                break
            proposals.append(proposal)
            if self._config.dedupe:
                seen.add(key(proposal.params))
        return proposals

    def tell(self, trial: Trial) -> None:
        """Random search learns nothing."""

    def _propose(self, view: StudyView, index: int, seen: set[Key]) -> Proposal | None:
        if index == 0 and self._config.default_first:
            return Proposal(view.space.defaults(), rationale="default configuration")
        rng = generator(view.seed, index, "random")
        number = index if self._config.default_first else index + 1
        for _ in range(_DRAWS):
            params = view.space.sample(rng)
            if key(params) not in seen:
                return Proposal(params, rationale=f"random draw {number}")
        return None
