"""Certification in the study: what it takes of the budget, when it begins, what it does next."""

from collections.abc import Iterable
from dataclasses import replace

from core.budget.ledger import Ledger
from core.contracts import BASELINE, BudgetView, Certificate, Proposal, RunNoise
from core.decision.certify import certify
from core.decision.setaside import set_aside
from core.journal import events as ev
from core.journal.events import Event
from core.journal.facts import Limits
from core.journal.fold import Fold
from core.journal.store import Journal
from core.study import afford
from core.study.parts import Parts
from core.study.settings import CertificationSettings

_FEWEST_TRIALS = 8
_MANY_TRIALS = 60
_FEWEST_RUNS = 2


def plan(limits: Limits, settings: CertificationSettings, sure: int | None = None) -> ev.CertificationPlanned:
    """What is planned at the start of a study, in words too. sure: trials that money and GPU-hours pay
    for at worst, None = any number."""
    trials = min((n for n in (limits.trials, sure) if n is not None), default=None)
    runs = _runs(trials, settings)
    if runs:
        aside = f"{settings.items_share:.0%} of the validation items are set aside for it"
        return ev.CertificationPlanned(
            runs,
            settings.items_share,
            f"the leader is certified with {runs} fresh seeds, paid from the budget; {aside}",
        )
    if settings.runs == 0:
        return ev.CertificationPlanned(0, 0.0, "certification is off (certification.runs=0)")
    why = f"the budget pays for {trials} trials, too small for certification, which begins at {_FEWEST_TRIALS}"
    return ev.CertificationPlanned(0, 0.0, why)


def _runs(trials: int | None, settings: CertificationSettings) -> int:
    if settings.runs != "auto":
        return settings.runs
    if trials is None:
        return 3
    return 0 if trials < _FEWEST_TRIALS else 5 if trials >= _MANY_TRIALS else 3


def share(fold: Fold) -> float:
    """Which share of the validation items is set aside in this study."""
    return fold.certify.items_share if fold.certify else 0.0


def why_not(fold: Fold) -> str | None:
    """Why a leader of this study cannot be certified at all, or None."""
    if fold.certify is None:
        return "the study began without certification"
    if fold.certify.items_share == 0:
        return fold.certify.text
    return fold.set_aside.refusal if fold.set_aside else None


def held(fold: Fold) -> int:
    """How many runs of the budget the search leaves to certification.

    None once it has begun, and none while nothing leads and nothing runs: then there is nothing to
    certify yet, and one more trial is the better use.
    """
    if fold.certifying is not None or why_not(fold) is not None:
        return 0
    if fold.incumbent == BASELINE and not any(record.trial.number for record in fold.open_records):
        return 0
    return fold.certify.runs if fold.certify else 0


def for_search(left: BudgetView, fold: Fold) -> BudgetView:
    """What a policy may count on: without the trials that certification takes."""
    kept = held(fold)
    return left if left.trials is None else replace(left, trials=max(0, left.trials - kept))


def step(fold: Fold, parts: Parts, now: Ledger, journal: Journal, closing: str) -> list[Event]:
    """What certification does next, while nothing runs; nothing when it is over."""
    leader = fold.incumbent
    if parts.settings.certification.runs == 0 and fold.certifying is None:
        return []
    if leader == BASELINE or (fold.certificate is not None and fold.certificate.trial == leader):
        return []
    begun = fold.certifying
    if begun is None:
        runs, refusal = _affordable(fold, parts, now)
        if refusal is not None:
            return [_uncertified(leader, refusal)]
        first = max(fold.records) + 1
        started = ev.CertificationStarted(leader, tuple(range(first, first + runs)), closing)
        if fold.certificate is None or not fold.certificate.items:
            return [started]
        text = f"the items set aside were looked at before, for trial {fold.certificate.trial}: they are not fresh"
        return [started, ev.Noticed(text, leader)]
    if missing := [number for number in begun.trials if number not in fold.records]:
        proposal = fold.records[leader].trial.proposal
        return [
            ev.TrialProposed(
                number,
                Proposal(
                    proposal.params, proposal.patch, leader, None, True,
                    f"fresh seed {number - begun.trials[0] + 1} of {len(begun.trials)} to certify trial {leader}",
                ),
            )
            for number in missing[: parts.caps.slots]
        ]  # fmt: skip
    return [ev.TrialCertified(leader, _certificate(fold, journal, begun))]


def _affordable(fold: Fold, parts: Parts, now: Ledger) -> tuple[int, str | None]:
    if (refusal := why_not(fold)) is not None:
        return 0, refusal
    planned = fold.certify.runs if fold.certify else 0
    for runs in range(planned, _FEWEST_RUNS - 1, -1):
        if afford.pays_for(fold, parts, now, runs):
            return runs, None
    return 0, f"what was left of the budget did not pay for {_FEWEST_RUNS} runs with fresh seeds"


def _certificate(fold: Fold, journal: Journal, begun: ev.CertificationStarted) -> Certificate:
    fresh = [fold.records[number].trial for number in begun.trials]
    done = [trial.number for trial in fresh if trial.status == "completed"]
    if len(done) < _FEWEST_RUNS:
        return Certificate(begun.trial, False, f"{len(fresh) - len(done)} of {len(fresh)} runs with fresh seeds failed")
    evaluation = fold.records[BASELINE].trial.evaluation
    assert evaluation is not None
    before = [record.trial for number, record in fold.records.items() if number not in begun.trials]
    noise = RunNoise.of(before, evaluation)
    runs = [_items(fold, journal, number) for number in done]
    try:
        return certify(begun.trial, runs, _items(fold, journal, BASELINE), fold.creation.objective, noise)
    except ValueError as error:
        return Certificate(begun.trial, False, str(error))


def _items(fold: Fold, journal: Journal, number: int) -> dict[str, float]:
    return set_aside(journal.items(number, "validation"), share(fold))


def _uncertified(trial: int, why: str) -> ev.TrialCertified:
    return ev.TrialCertified(trial, Certificate(trial, False, why))


def said(events: Iterable[Event]) -> list[Event]:
    """The events, with a notice where certification was skipped."""
    found: list[Event] = []
    for event in events:
        found.append(event)
        if isinstance(event, ev.TrialCertified) and event.certificate.gain is None:
            text = f"trial {event.trial} stays unconfirmed: {event.certificate.reason}"
            found.append(ev.Noticed(text, event.trial))
    return found
