"""Policy `halving`: halves the best x so far."""

from core import PluginConfig, Proposal


class Halving:
    """Moves towards the middle of every range by halves."""

    class Config(PluginConfig):
        """factor: what is left of the distance to the middle after each trial."""

        factor: float = 0.5

    def __init__(self, config):
        self._factor = config.factor

    def ask(self, view, n):
        return [self._propose(view, view.proposed + i) for i in range(n)]

    def tell(self, trial):
        pass

    def _propose(self, view, index):
        params = {}
        for name, param in view.space.items():
            if param.type == "categorical":
                params[name] = param.choices[(index + view.seed) % len(param.choices)]
                continue
            middle = (param.low + param.high) / 2
            # The seed decides from which side the middle is approached.
            side = 1 if (index + view.seed) % 2 else -1
            value = middle + side * (param.high - middle) * self._factor**index
            params[name] = round(value) if param.type == "int" else value
        return Proposal(view.space.check(params), rationale=f"halved {index} times")
