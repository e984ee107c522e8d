"""Judging: brings the decision rule the trials with their items and turns its verdict into events.

Of the items it sees only those that are not set aside for certification.
"""

from dataclasses import replace

from core.contracts import BASELINE, Decision, DecisionRule, Trial
from core.decision.power import warning
from core.decision.setaside import is_set_aside
from core.journal import events as ev
from core.journal.events import Event
from core.journal.fold import Fold
from core.journal.store import Journal


def decide(rule: DecisionRule, fold: Fold, journal: Journal, trial: Trial) -> list[Event]:
    """The events that end an evaluated trial; none while the baseline has no score yet."""
    if trial.number == BASELINE:
        said = warning(fold)
        return [*([ev.Noticed(said)] if said else []), ev.TrialEnded(BASELINE, "completed")]
    if fold.records[BASELINE].trial.status != "completed":
        return []
    if fold.certifying is not None and trial.number in fold.fresh:
        decision = Decision("discard", f"a fresh seed to certify trial {fold.certifying.trial}, no candidate itself")
        return [ev.TrialDecided(trial.number, decision), ev.TrialEnded(trial.number, "completed")]
    share = fold.certify.items_share if fold.certify else 0.0
    candidate = _with_items(replace(trial, status="completed"), journal, share)
    incumbent = _with_items(fold.records[fold.incumbent].trial, journal, share)
    history = [fold.records[number].trial for number in fold.ended]
    events: list[Event] = []
    try:
        decision = rule.decide(candidate, incumbent, history, fold.creation.objective)
        leader = _leader(decision, fold, trial)
    except Exception as error:  # noqa: BLE001 - a stranger's rule; recorded, and the study goes on
        decision = Decision("discard", f"the decision rule failed: {type(error).__name__}: {error}")
        leader = fold.incumbent
        events.append(ev.Noticed(f"trial {trial.number}: {decision.reason}", trial.number))
    events += [ev.TrialDecided(trial.number, decision), ev.TrialEnded(trial.number, "completed")]
    if leader != fold.incumbent:
        events.append(ev.IncumbentChanged(leader, fold.incumbent))
    return events


def _leader(decision: Decision, fold: Fold, trial: Trial) -> int:
    """The incumbent after a decision. Raises ValueError for one that the contract does not allow."""
    named = decision.leader
    if decision.verdict == "keep" and named not in (None, trial.number):
        raise ValueError(f"it keeps trial {trial.number} and names trial {named} as the leader")
    if named is None:
        return trial.number if decision.verdict == "keep" else fold.incumbent
    if named not in (BASELINE, trial.number, fold.incumbent, *fold.contenders):
        raise ValueError(f"it names trial {named} as the leader, whose checkpoint it let go")
    return named


def _with_items(trial: Trial, journal: Journal, share: float) -> Trial:
    found = trial.evaluation
    if found is None:
        return trial
    items = journal.items(trial.number, "validation")
    if share and found.n < len(items):
        items = tuple(item for item in items if not is_set_aside(item.id, share))
    return replace(trial, evaluation=replace(found, items=items))
