"""The `correctness` reward: whether a completion's answer is right, graded as evaluation grades it."""

from typing import Any

from core import PluginConfig
from overnight_task_grpo.gsm8k.grading import is_correct


class Correctness:
    """Rewards completions whose final answer is right: `####`, boxed, "answer is" or the last number."""

    Config = PluginConfig

    def __init__(self, config: PluginConfig) -> None:
        pass

    def __call__(
        self, prompts: list[Any], completions: list[Any], answer: list[Any] | None = None, **columns: Any
    ) -> list[float | None]:
        """1.0 for the right answer, 0.0 for a wrong or missing one; None where the data has no answer."""
        answers = answer if answer is not None else [None] * len(completions)
        return [
            None if right is None else float(is_correct(_text(completion), str(right)))
            for completion, right in zip(completions, answers, strict=True)
        ]


def _text(completion: Any) -> str:
    """TRL hands over a string, or chat messages of which the last is the model's."""
    if isinstance(completion, list):
        completion = completion[-1].get("content") if completion else ""
    return completion if isinstance(completion, str) else ""
