"""Decision rule `first_wins`: keeps the first better trial, asks for a retest of the next."""

from core import Decision, PluginConfig


class FirstWins:
    """Keeps the first trial that beats the baseline, and has later ones tried again once."""

    class Config(PluginConfig):
        """retest: whether a better trial after the first is retested instead of discarded."""

        retest: bool = False

    def __init__(self, config):
        self._config = config

    def decide(self, candidate, incumbent, history, objective):
        gain = objective.gain(candidate.score, incumbent.score)
        evidence = {"gain": gain}
        if gain <= 0:
            return Decision("discard", f"no gain ({gain:+.3f})", evidence)
        if incumbent.number == 0:
            return Decision("keep", f"first gain ({gain:+.3f})", evidence)
        if self._config.retest and not candidate.proposal.retest:
            return Decision("retest", f"a gain of {gain:+.3f} wants another seed", evidence)
        kept = candidate.proposal.retest
        return Decision("keep" if kept else "discard", f"gain {gain:+.3f}", evidence)
