"""Judging: brings the decision rule the trials with their items and turns its verdict into events."""

from dataclasses import replace

from core.contracts import BASELINE, Decision, DecisionRule, Trial
from core.journal import events as ev
from core.journal.events import Event
from core.journal.fold import Fold
from core.journal.store import Journal


def decide(rule: DecisionRule, fold: Fold, journal: Journal, trial: Trial) -> list[Event]:
    """The events that end an evaluated trial; none while the baseline has no score yet."""
    if trial.number == BASELINE:
        return [ev.TrialEnded(BASELINE, "completed")]
    if fold.records[BASELINE].trial.status != "completed":
        return []
    candidate = _with_items(replace(trial, status="completed"), journal)
    incumbent = _with_items(fold.records[fold.incumbent].trial, journal)
    history = [fold.records[number].trial for number in fold.ended]
    events: list[Event] = []
    try:
        decision = rule.decide(candidate, incumbent, history, fold.creation.objective)
    except Exception as error:  # noqa: BLE001 - a stranger's rule; recorded, and the study goes on
        decision = Decision("discard", f"the decision rule failed: {type(error).__name__}: {error}")
        events.append(ev.Noticed(f"trial {trial.number}: {decision.reason}", trial.number))
    events += [ev.TrialDecided(trial.number, decision), ev.TrialEnded(trial.number, "completed")]
    if decision.verdict == "keep":
        events.append(ev.IncumbentChanged(trial.number, fold.incumbent))
    return events


def _with_items(trial: Trial, journal: Journal) -> Trial:
    if trial.evaluation is None:
        return trial
    return replace(trial, evaluation=replace(trial.evaluation, items=journal.items(trial.number, "validation")))
