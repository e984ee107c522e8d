"""Conformance of rewards: the sentences of core.contracts.Reward as tests."""

import math
from typing import Any, ClassVar

import pytest

from core.contracts import Reward
from core.plugins import discover
from core.testing.light import heavy_imports

_ODD = [
    "",
    " ",
    "\n",
    "42",
    "=42",
    "é\u0000\U0001f4a5",
    "=" * 10_000,
    "a" * 100_000,
    "{}",
    "%s %d",
    "\\boxed{",
    "-0",
    "1e999",
]


class RewardConformance:
    """Subclass it and give `name`; `columns` are dataset columns it needs, one value repeated."""

    name: str
    options: ClassVar[dict[str, Any]] = {}
    columns: ClassVar[dict[str, Any]] = {"answer": "42"}

    def make(self) -> Reward:
        """A fresh instance."""
        reward: Reward = discover().build("reward", {"name": self.name, **self.options})
        return reward

    def score(self, completions: list[Any]) -> list[float | None]:
        """What a fresh instance says of these completions, called as TRL calls it."""
        count = len(completions)
        columns = {name: [value] * count for name, value in self.columns.items()}
        extra = {"completion_ids": [[1, 2]] * count, "trainer_state": None}
        return self.make()(prompts=["40+2"] * count, completions=completions, **columns, **extra)

    def test_one_score_per_completion_each_a_finite_number_or_none(self) -> None:
        scores = self.score(list(_ODD))
        assert len(scores) == len(_ODD)
        assert all(score is None or (isinstance(score, int | float) and math.isfinite(score)) for score in scores)

    @pytest.mark.parametrize("text", _ODD, ids=range(len(_ODD)))
    def test_a_score_does_not_depend_on_the_rest_of_the_batch(self, text: str) -> None:
        assert self.score([text])[0] == self.score(["=1", text, "x"])[1]

    def test_chat_messages_are_taken_too(self) -> None:
        scores = self.score([[{"role": "assistant", "content": text}] for text in _ODD])
        assert scores == self.score(list(_ODD))

    def test_an_empty_batch_is_an_empty_list(self) -> None:
        assert self.score([]) == []

    def test_the_same_completion_gets_the_same_score(self) -> None:
        assert self.score(["=42"] * 3) == self.score(["=42"]) * 3

    def test_naming_it_imports_nothing_heavy(self) -> None:
        assert heavy_imports("reward", self.name) == []
