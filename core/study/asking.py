"""Asking the policy: what it answers, what it has to say besides, and what an empty answer means."""

from dataclasses import dataclass

from core.budget.ledger import Ledger
from core.contracts import HasNotices, Policy, Proposal, StudyView, Trial
from core.errors import StudyStopped
from core.journal.fold import Fold
from core.study import afford, certifying, stages
from core.study.parts import Parts


@dataclass(frozen=True)
class Answer:
    """What a policy answered. notices: what people must hear. idle: nothing ran when it was asked, so
    that an empty answer means that it has nothing left to try."""

    proposals: tuple[Proposal, ...]
    notices: tuple[str, ...]
    idle: bool


def ask(policy: Policy, name: str, view: StudyView, n: int) -> Answer:
    """Ask for at most `n` proposals; in the policy's thread. Raises StudyStopped if the policy fails."""
    try:
        proposals = policy.ask(view, n)[:n]
        notices = policy.notices() if isinstance(policy, HasNotices) else []
    except Exception as error:
        raise StudyStopped(f"policy {name!r} failed to propose: {type(error).__name__}: {error}") from error
    if strange := [proposal for proposal in proposals if not isinstance(proposal, Proposal)]:
        raise StudyStopped(f"policy {name!r} answered with what is no Proposal: {strange[0]!r}")
    return Answer(tuple(proposals), tuple(notices), idle=not view.running)


def tell(policy: Policy, name: str, trial: Trial) -> None:
    """Tell of an ended trial; in the policy's thread. Raises StudyStopped if the policy fails."""
    try:
        policy.tell(trial)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise StudyStopped(f"policy {name!r} failed when it was told of trial {trial.number}: {said}") from error


def retests_beside(fold: Fold, parts: Parts, now: Ledger, asked: int) -> list[Proposal]:
    """The retests that slots and budget allow while the policy still thinks of `asked` proposals: one
    that waits for a person or a slow model does not hold them up."""
    free = parts.caps.slots - len(fold.open_records)
    if free <= 0 or not (due := stages.retests_due(fold)[:free]):
        return []
    n, _ = afford.admission(fold, parts, now, asked + len(due), certifying.held(fold))
    return due[: max(0, n - asked)]
