"""The purse: how a policy spends money of the study, e.g. on calls of an LLM."""

from typing import Protocol


class Purse(Protocol):
    """The study's budget, as far as a policy may spend of it.

    Money is set aside before it is spent, durably, so that no limit is passed even if the
    controller dies in the middle of a call; what is never settled counts as spent in full.
    """

    @property
    def closed(self) -> bool:
        """Whether the study is stopping: whoever spends ends what is under way."""
        ...

    def reserve(self, usd: float, purpose: str) -> str:
        """Set aside the most that something can cost, in US dollars; returns a receipt.

        purpose: a few words for people. Raises BudgetSpent when what is left, less what the
        running trials and the final test may still need, does not cover it.
        """
        ...

    def settle(self, receipt: str, usd: float) -> None:
        """Say what it really cost, at most once for every receipt."""
        ...
