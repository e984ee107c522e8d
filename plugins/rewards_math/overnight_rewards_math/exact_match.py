"""The `exact_match` reward: whether a completion's answer is the right one."""

import re
from typing import Any

from pydantic import field_validator

from core import PluginConfig
from overnight_rewards_math.text import text_of


class ExactMatch:
    """Rewards completions whose final answer equals the dataset's `answer` column."""

    class Config(PluginConfig):
        """pattern: regular expression with one group, the answer. whole: the pattern must match
        the whole completion, so that nothing may follow or precede what it describes; without
        it the last match counts. Answers are compared as text, without surrounding space."""

        pattern: str = r"(?:;\d+)?=(\d+)"
        whole: bool = True

        @field_validator("pattern")
        @classmethod
        def _has_one_group(cls, value: str) -> str:
            try:
                groups = re.compile(value).groups
            except re.error as error:
                raise ValueError(f"is no regular expression: {error}") from None
            if groups != 1:
                raise ValueError(f"needs exactly one group, the answer; it has {groups}")
            return value

    def __init__(self, config: Config) -> None:
        self._pattern = re.compile(config.pattern)
        self._whole = config.whole

    def __call__(
        self, prompts: list[Any], completions: list[Any], answer: list[Any] | None = None, **columns: Any
    ) -> list[float | None]:
        """1.0 for the right answer, 0.0 for a wrong or missing one; None where the data has no answer."""
        answers = answer if answer is not None else [None] * len(completions)
        return [
            None if right is None else float(self.answer(text_of(completion)) == str(right).strip())
            for completion, right in zip(completions, answers, strict=True)
        ]

    def answer(self, text: str) -> str | None:
        """The answer that a completion gives, or None if it gives none."""
        if self._whole:
            found = self._pattern.fullmatch(text)
            return found.group(1).strip() if found and found.group(1) is not None else None
        matches = [match.group(1) for match in self._pattern.finditer(text) if match.group(1) is not None]
        return matches[-1].strip() if matches else None
