"""Reward `brevity`: shorter completions are better."""

from core import PluginConfig


class Brevity:
    """Rewards short completions."""

    class Config(PluginConfig):
        """limit: characters at which the reward is zero."""

        limit: int = 100

    def __init__(self, config):
        self._limit = config.limit

    def __call__(self, prompts, completions, **columns):
        return [max(0.0, 1.0 - len(_text(completion)) / self._limit) for completion in completions]


def _text(completion):
    return completion if isinstance(completion, str) else "".join(str(m.get("content", "")) for m in completion)
