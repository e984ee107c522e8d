"""What a call can cost at most, and what it did cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Above every chat model in the table of litellm 1.106 but o1-pro (150 in, 600 out).
UNKNOWN_USD_PER_MTOK = 100.0
# Tokens that a provider's chat template adds to a message; OpenAI's adds 3 or 4.
_TEMPLATE_TOKENS = 16


@dataclass(frozen=True)
class Price:
    """US dollars per token. known: whether they come from a table or the configuration."""

    usd_in: float
    usd_out: float
    known: bool = True

    def worst(self, characters: int, messages: int, max_tokens: int) -> float:
        """The most that a call can cost: no token is shorter than a byte.

        characters: of all messages and the schema, in UTF-8 bytes.
        """
        return (characters + _TEMPLATE_TOKENS * (messages + 1)) * self.usd_in + max_tokens * self.usd_out

    def of(self, usage: Mapping[str, Any]) -> float:
        """What the tokens of an answer cost."""
        return int(usage["tokens_in"]) * self.usd_in + int(usage["tokens_out"]) * self.usd_out
