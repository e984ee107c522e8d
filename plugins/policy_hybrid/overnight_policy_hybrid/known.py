"""What is known: a study view sorted into scores, failures and running trials, with who proposed them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from core import Evaluation, InvalidParams, Objective, Proposal, Space, StudyView, Trial
from overnight_policy_hybrid.frame import Frame, Point
from overnight_policy_hybrid.programs import Run, offsets

if TYPE_CHECKING:
    import numpy as np

ARMS = ("default", "prior", "draw", "model", "llm", "diff")
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
class Tally:
    """One ended trial as the bandit counts it: who proposed it, its own gain, None for a failure."""

    arm: str
    gain: float | None
    retest: bool


@dataclass(frozen=True)
class Known:
    """outcomes: in the order in which they ended, all as if they had run the incumbent's program.
    pending: points that are being tried. tried: every point that fits the space and was tried with that
    program, whatever became of it. foreign: trials outside the search space, left out. patch: the
    incumbent's program. tallies: of all trials."""

    space: Space
    outcomes: list[Outcome]
    pending: list[Point]
    tried: list[Point]
    arms: list[str]
    foreign: int = 0
    patch: str | None = None
    tallies: list[Tally] = field(default_factory=list)

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
    patch = next((t.proposal.patch for t in view.trials if t.number == view.incumbent), None)
    outcomes: list[tuple[str | None, Outcome]] = []
    tallies: list[Tally] = []
    tried: list[Point] = []
    arms: list[str] = []
    foreign = 0
    for trial in view.trials:
        arms.append(arm_of(trial.proposal))
        point = fitting(view.space, trial.proposal.params)
        if point is None:
            foreign += 1
            continue
        if trial.proposal.patch == patch:
            tried.append(point)
        if trial.status != "cancelled" and trial.error_kind not in _SETTINGS_ARE_BLAMELESS:
            outcome = _outcome(trial, point, view.objective)
            outcomes.append((trial.proposal.patch, outcome))
            tallies.append(Tally(outcome.arm, outcome.gain, outcome.retest))
    running: list[Point] = []
    for proposal in pending:
        arms.append(arm_of(proposal))
        point = fitting(view.space, proposal.params)
        if point is None:
            foreign += 1
        elif proposal.patch == patch:
            running.append(point)
    comparable = _comparable(outcomes, patch)
    return Known(view.space, comparable, running, tried + running, arms, foreign, patch, tallies)


def _comparable(outcomes: list[tuple[str | None, Outcome]], patch: str | None) -> list[Outcome]:
    """Outcomes as if all had run the program with this patch. What failed under another one says
    nothing: the change itself may have been at fault."""
    runs = [Run(other, outcome.point, outcome.gain) for other, outcome in outcomes if outcome.gain is not None]
    shift = offsets(runs, patch)
    return [
        outcome if other == patch else replace(outcome, gain=(outcome.gain or 0.0) + shift[other])
        for other, outcome in outcomes
        if other == patch or (outcome.gain is not None and other in shift)
    ]


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
