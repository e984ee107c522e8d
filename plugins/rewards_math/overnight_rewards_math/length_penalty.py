"""The `length_penalty` reward: a soft punishment of completions that are too long."""

from typing import Any

from pydantic import Field, model_validator

from core import PluginConfig


class LengthPenalty:
    """Punishes completions longer than a soft limit, in tokens, down to -1 at the hard one."""

    class Config(PluginConfig):
        """soft: tokens up to which nothing is lost. hard: tokens from which on the score is -1;
        linear in between (DAPO's soft overlong punishment, Yu et al. 2025, arXiv 2503.14476, eq. 13)."""

        soft: int = Field(default=192, ge=0)
        hard: int = Field(default=256, ge=1)

        @model_validator(mode="after")
        def _ordered(self) -> "LengthPenalty.Config":
            if self.soft >= self.hard:
                raise ValueError(f"soft ({self.soft}) must be below hard ({self.hard})")
            return self

    def __init__(self, config: Config) -> None:
        self._soft, self._hard = config.soft, config.hard

    def __call__(
        self, prompts: list[Any], completions: list[Any], completion_ids: list[list[int]] | None = None, **columns: Any
    ) -> list[float | None]:
        """From 0.0 down to -1.0; None where the trainer does not hand over the token ids, as TRL does."""
        if completion_ids is None:
            return [None] * len(completions)
        return [self._score(len(ids)) for ids in completion_ids]

    def _score(self, length: int) -> float:
        return -min(1.0, max(0.0, (length - self._soft) / (self._hard - self._soft)))
