"""What is known: a study view sorted into scores, failures and running trials, with who proposed them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from core import Evaluation, InvalidParams, Objective, Proposal, Space, StudyView, Trial
from overnight_policy_hybrid.frame import Frame, Point

if TYPE_CHECKING:
    import numpy as np

ARMS = ("default", "prior", "draw", "model", "llm")
"""Who may have proposed a trial: the first word of its rationale says so, up to a colon."""

_SETTINGS_ARE_BLAMELESS = {"executor", "budget"}


@dataclass(frozen=True)
class Outcome:
    """One ended trial that says something about its settings. gain: the score, larger is better;
    None for a failure. variance: of the score over items, 0 where nothing is known of it."""

    point: Point
    gain: float | None
    variance: float
    arm: str
    retest: bool


@dataclass(frozen=True)
class Known:
    """outcomes: in the order in which they ended. pending: points that are being tried. tried: every point that
    fits the space, whatever became of it. foreign: trials outside the search space, left out."""

    space: Space
    outcomes: list[Outcome]
    pending: list[Point]
    tried: list[Point]
    arms: list[str]
    foreign: int = 0

    @cached_property
    def frame(self) -> Frame:
        return Frame(self.space)

    @cached_property
    def scored(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.gain is not None]

    @cached_property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.gain is None]

    @cached_property
    def x(self) -> "np.ndarray":
        return self.frame.place(outcome.point for outcome in self.scored)

    @cached_property
    def broken(self) -> "np.ndarray":
        return self.frame.place(outcome.point for outcome in self.failed)

    @cached_property
    def tried_rows(self) -> "np.ndarray":
        return self.frame.place(self.tried)

    def left_out(self) -> str:
        """For a rationale: what the model was not told of."""
        return f"; {self.foreign} outside the search space left out" if self.foreign else ""


def sort_out(view: StudyView, pending: Iterable[Proposal]) -> Known:
    """What the view says of each point; `pending` are the running trials' proposals and those
    just made. Cancelled trials, and those that the executor lost or the budget did not cover,
    say nothing about their settings."""
    outcomes: list[Outcome] = []
    tried: list[Point] = []
    arms: list[str] = []
    foreign = 0
    for trial in view.trials:
        arms.append(arm_of(trial.proposal))
        point = fitting(view.space, trial.proposal.params)
        if point is None:
            foreign += 1
            continue
        tried.append(point)
        if trial.status != "cancelled" and trial.error_kind not in _SETTINGS_ARE_BLAMELESS:
            outcomes.append(_outcome(trial, point, view.objective))
    running: list[Point] = []
    for proposal in pending:
        arms.append(arm_of(proposal))
        point = fitting(view.space, proposal.params)
        if point is None:
            foreign += 1
        else:
            running.append(point)
    return Known(view.space, outcomes, running, tried + running, arms, foreign)


def arm_of(proposal: Proposal) -> str:
    """Who proposed it; what other policies proposed counts as the model's (a policy may change at a resume)."""
    word = proposal.rationale.partition(":")[0].strip()
    return word if word in ARMS else "model"


def fitting(space: Space, params: Point) -> Point | None:
    """The point with exact types, or None where it does not fit the space."""
    try:
        return space.check(params)
    except InvalidParams:
        return None


def _outcome(trial: Trial, point: Point, objective: Objective) -> Outcome:
    score = trial.score
    if score is None or not math.isfinite(score) or trial.evaluation is None:
        return Outcome(point, None, 0.0, arm_of(trial.proposal), trial.proposal.retest)
    gain = objective.gain(score, 0.0)
    return Outcome(point, gain, _variance(trial.evaluation), arm_of(trial.proposal), trial.proposal.retest)


def _variance(evaluation: Evaluation) -> float:
    """Of the score over items: its 95 % interval is 2 × 1.96 standard deviations wide."""
    width = evaluation.high - evaluation.low
    return (width / 3.92) ** 2 if math.isfinite(width) and evaluation.n > 1 else 0.0
