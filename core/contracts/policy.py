"""A policy: proposes what to try next."""

from typing import Protocol, runtime_checkable

from core.contracts.proposal import Proposal
from core.contracts.study import StudyView
from core.contracts.trial import Trial


class Policy(Protocol):
    """Proposes trials and learns from finished ones.

    Constructed as `policy_class(config)` with its validated `Config`. Called from one worker
    thread, never concurrently. No hidden state: a fresh instance that is told the journal's
    trials in order, then asked with the same view, proposes the same. Randomness comes from
    `view.seed` and `view.proposed` only. It may block (an optimiser, an LLM call), the study
    keeps watching its running trials meanwhile. If it raises, the study stops resumable.
    """

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """Propose up to `n` trials (n ≥ 1). Fewer is fine; an empty list while nothing is
        running means the policy has nothing left to try, and ends the study. It may be called
        again with the same view (after a crash): the answer must be the same."""
        ...

    def tell(self, trial: Trial) -> None:
        """Learn from a trial that ended (completed, failed or cancelled); each is told once,
        in the order in which they ended; after a resume all are told again to a new instance."""
        ...


@runtime_checkable
class HasNotices(Protocol):
    """A policy that has something to say to people: what it fell back on, or left out."""

    def notices(self) -> list[str]:
        """What came up since the last call, one line each. Called after every `ask`, in the
        policy's thread; what it returns is journaled, printed and reported once."""
        ...
