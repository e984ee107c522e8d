"""Policy `halving`: halves the best x so far."""

import os
import signal

from core import BudgetSpent, PluginConfig, Proposal


class Halving:
    """Moves towards the middle of every range by halves."""

    class Config(PluginConfig):
        """factor: what is left of the distance to the middle after each trial. call_usd: what
        thinking about a proposal costs at most; half of it is what it costs. die_in_call: whether
        to be killed in the middle of the second call."""

        factor: float = 0.5
        call_usd: float = 0.0
        die_in_call: bool = False

    def __init__(self, config):
        self._config = config
        self._factor = config.factor
        self.calls = self.refused = 0

    def ask(self, view, n):
        if self._config.call_usd and view.purse:
            self._think(view.purse)
        return [self._propose(view, view.proposed + i) for i in range(n)]

    def tell(self, trial):
        pass

    def _think(self, purse):
        try:
            receipt = purse.reserve(self._config.call_usd, "a thought")
        except BudgetSpent:
            self.refused += 1
            return
        self.calls += 1
        if self._config.die_in_call and self.calls == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        purse.settle(receipt, self._config.call_usd / 2)

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
