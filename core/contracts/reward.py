"""A reward: scores completions during RL training, in TRL's reward-function signature."""

from dataclasses import dataclass
from typing import Any, Protocol


class Reward(Protocol):
    """Scores a batch of completions.

    Constructed as `reward_class(config)` with its validated `Config`, in the training process.
    Signature as TRL's GRPOTrainer calls it (TRL docs, "Using a custom reward function"):
    `prompts` and `completions` are lists of strings (or of chat messages for conversational
    data), `columns` the dataset's other columns, each a list as long as `completions`.
    """

    def __call__(self, prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
        """One score per completion; None where the reward does not apply to an item. It must
        not raise for any completion text and must not see evaluation data."""
        ...


@dataclass(frozen=True)
class WeightedReward:
    """A reward as the config asks for it: TRL sums `weight × score` over the rewards."""

    name: str
    weight: float
    function: Reward
