"""Judging: the rule sees per-item scores, its verdict becomes events, and its failure harms nobody."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.contracts import BASELINE, Decision, Evaluation, ItemScore, Objective, Proposal, Trial
from core.decision.judge import decide
from core.journal import events as ev
from core.journal.events import Event
from core.journal.fold import Fold
from core.journal.store import Journal


class Judged:
    """A journal with a baseline and one candidate, both scored on the same two items."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.record(ev.StudyCreated("s", "n", Objective("accuracy"), {}, 1, {}))
        for number in (BASELINE, 1):
            items = (ItemScore("a", 1.0), ItemScore("b", float(number)))
            evaluation = replace(Evaluation.from_items("validation", "accuracy", items), items=())
            self.record(ev.TrialProposed(number, Proposal({"x": 1.0})))
            self.record(ev.TrialEvaluated(number, "validation", evaluation), items=items)

    def record(self, event: Event, items: tuple[ItemScore, ...] = ()) -> None:
        self.journal.append(event, items=items)

    @property
    def fold(self) -> Fold:
        fold = Fold(Path("/nowhere"))
        for entry in self.journal.entries():
            fold.apply(entry)
        return fold

    def decide(self, rule: Any, number: int = 1) -> list[Event]:
        fold = self.fold
        return decide(rule, fold, self.journal, fold.records[number].trial)


@pytest.fixture
def judged(tmp_path: Path) -> Iterator[Judged]:
    with Journal.create(tmp_path / "journal.db") as journal:
        yield Judged(journal)


class Says:
    """A rule that gives one verdict and remembers what it saw."""

    def __init__(self, verdict: Any) -> None:
        self.decision = Decision(verdict, "because")
        self.saw: tuple[Trial, Trial, list[Trial]] | None = None

    def decide(self, candidate: Trial, incumbent: Trial, history: list[Trial], objective: Objective) -> Decision:
        self.saw = candidate, incumbent, history
        return self.decision


def test_nothing_is_decided_before_the_baseline_has_its_score(judged: Judged) -> None:
    assert judged.decide(Says("keep")) == []
    assert judged.decide(Says("keep"), BASELINE) == [ev.TrialEnded(BASELINE, "completed")]


def test_the_rule_sees_both_trials_with_their_items_and_the_history(judged: Judged) -> None:
    judged.record(ev.TrialEnded(BASELINE, "completed"))
    rule = Says("discard")
    assert judged.decide(rule) == [ev.TrialDecided(1, rule.decision), ev.TrialEnded(1, "completed")]
    assert rule.saw is not None
    candidate, incumbent, history = rule.saw
    assert [(trial.number, trial.status) for trial in (candidate, incumbent)] == [(1, "completed"), (0, "completed")]
    assert [trial.evaluation and trial.evaluation.items[1].score for trial in (candidate, incumbent)] == [1.0, 0.0]
    assert [trial.number for trial in history] == [BASELINE]


def test_a_kept_trial_becomes_the_incumbent(judged: Judged) -> None:
    judged.record(ev.TrialEnded(BASELINE, "completed"))
    events = judged.decide(Says("keep"))
    assert events[-1] == ev.IncumbentChanged(1, BASELINE)


def test_a_rule_that_raises_discards_the_trial_and_says_so(judged: Judged) -> None:
    class Broken:
        def decide(self, *_: Any) -> Decision:
            raise ZeroDivisionError("no items")

    judged.record(ev.TrialEnded(BASELINE, "completed"))
    noticed, decided, ended = judged.decide(Broken())
    assert isinstance(noticed, ev.Noticed)
    assert "ZeroDivisionError: no items" in noticed.text
    assert isinstance(decided, ev.TrialDecided)
    assert decided.decision.verdict == "discard"
    assert ended == ev.TrialEnded(1, "completed")
