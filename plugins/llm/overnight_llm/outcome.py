"""What came of a question to a language model."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Kind = Literal["answered", "unreachable", "refused", "bad answer", "budget", "resting", "stopping"]


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a question brought and what it took; never an exception.

    value: what the `check` made of the answer, None unless kind is "answered".
    kind: "unreachable" (timeouts, 429, 5xx, broken connections, until time or tries were used up),
        "refused" (the provider will not take the request: key, model name, …), "bad answer" (still
        unusable after the corrections), "budget" (the purse does not cover the worst case),
        "resting" (not asked: it did not answer a moment ago), "stopping" (the study ends).
    problem: why there is no value, one line. model: who answered last. calls: requests that were
    sent. corrections: answers sent back. usd: US dollars settled. seconds: wall-clock.
    notices: what people should be told besides (a fallback model answered, a price is unknown).
    """

    value: T | None
    kind: Kind = "answered"
    problem: str = ""
    model: str = ""
    calls: int = 0
    corrections: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    notices: tuple[str, ...] = ()

    @property
    def cost(self) -> str:
        """For a rationale: "2 calls, 1,840 tokens, $0.0042"."""
        calls = f"{self.calls} call{'' if self.calls == 1 else 's'}"
        return f"{calls}, {self.tokens_in + self.tokens_out:,} tokens, ${self.usd:.4g}"
