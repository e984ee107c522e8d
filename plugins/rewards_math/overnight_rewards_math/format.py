"""The `format` reward: whether a completion has the form that was asked for."""

import re
from typing import Any

from pydantic import field_validator

from core import PluginConfig
from overnight_rewards_math.text import text_of


class Format:
    """Rewards completions that match a pattern as a whole, whatever they say."""

    class Config(PluginConfig):
        """pattern: regular expression that the whole completion must match; the default is
        `=digits`, optionally after thinking of the form `;digits`."""

        pattern: str = r"(;\d+)?=\d+"

        @field_validator("pattern")
        @classmethod
        def _compiles(cls, value: str) -> str:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"is no regular expression: {error}") from None
            return value

    def __init__(self, config: Config) -> None:
        self._pattern = re.compile(config.pattern)

    def __call__(self, prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
        """1.0 for a completion of the right form, else 0.0."""
        return [1.0 if self._pattern.fullmatch(text_of(completion)) else 0.0 for completion in completions]
