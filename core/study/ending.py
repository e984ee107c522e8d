"""Ending: what a study does between its last trial and its end: certification, then the test split."""

from core.budget.ledger import Ledger
from core.contracts import BASELINE
from core.journal import events as ev
from core.journal.events import Event
from core.journal.fold import Fold
from core.journal.store import Journal
from core.study import afford, certifying, stages
from core.study.parts import Parts


def begun(fold: Fold, parts: Parts, now: Ledger) -> str | None:
    """Why no trial is proposed any more: the end has begun, perhaps before a resume."""
    if fold.certifying is not None:
        return fold.certifying.reason
    if not fold.test_opened:
        return None
    return afford.admission(fold, parts, now, 1)[1] or "the test split is open"


def step(fold: Fold, parts: Parts, now: Ledger, journal: Journal, closing: str) -> tuple[list[Event], bool]:
    """The next events, while nothing runs and nothing is proposed any more; and whether they are the last."""
    if parts.settings.identical and parts.settings.certification.runs == 0:
        return [], True  # an A/A test of the noise claims nothing, so it opens nothing
    if events := certifying.step(fold, parts, now, journal, closing):
        return certifying.said(events), False
    completed = any(record.trial.status == "completed" for number, record in fold.records.items() if number != BASELINE)
    if not completed or fold.test_opened:
        return [], True
    if stages.self_reported(fold):
        return [ev.Noticed(stages.NO_TEST)], True
    return [ev.TestOpened(tuple(sorted({BASELINE, fold.incumbent})))], False
