"""The verdict: what a study has shown, in one plain sentence with its caveats."""

import math
from dataclasses import dataclass

from core.contracts import BASELINE, Evaluation, Objective, Trial
from core.journal.facts import StudyFacts
from core.report.wording import counted, figure, interval


@dataclass(frozen=True)
class Difference:
    """How much better one evaluation is than another, with a 95 % interval; positive is better."""

    gain: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low > 0


@dataclass(frozen=True)
class Verdict:
    """sentence: for the top of everything. caveats: what a careful reader must know with it.
    good: whether a gain on the test split is beyond its interval."""

    sentence: str
    caveats: tuple[str, ...] = ()
    good: bool = False


def difference(candidate: Evaluation, reference: Evaluation, objective: Objective) -> Difference:
    """The difference of two scores with an interval made from their own intervals.

    Newcombe's hybrid score method (Newcombe 1998, Stat. Med. 17:873, method 10; for any pair of
    intervals: Zou & Donner 2008, Stat. Med. 27:1693). It treats the two as independent, which
    is cautious for two models scored on the same items.
    """
    gain = candidate.value - reference.value
    below = math.hypot(candidate.value - candidate.low, reference.high - reference.value)
    above = math.hypot(candidate.high - candidate.value, reference.value - reference.low)
    if objective.direction == "minimize":
        return Difference(-gain, -gain - above, -gain + below)
    return Difference(gain, gain - below, gain + above)


def incumbent_of(facts: StudyFacts) -> Trial | None:
    """The incumbent trial, or None while it is still the baseline."""
    number = facts.study.incumbent
    return facts.study.trial(number) if number else None


def baseline_of(facts: StudyFacts) -> Trial | None:
    """Trial 0, once it was proposed."""
    return next((trial for trial in facts.study.trials if trial.number == BASELINE), None)


def judge(facts: StudyFacts) -> Verdict:
    """The verdict on a study in whatever state it is."""
    metric = facts.study.objective.metric
    baseline, best = baseline_of(facts), incumbent_of(facts)
    completed = [trial for trial in facts.study.trials if trial.number and trial.status == "completed"]
    if baseline is None or baseline.evaluation is None:
        return Verdict("The starting model has not been evaluated yet.")
    if best is None:
        if not completed:
            words = "No trial has completed" if facts.state != "finished" else "No trial completed"
            return Verdict(
                f"{words}; the starting model scores {interval(baseline.evaluation)} ({metric}, validation)."
            )
        return Verdict(
            f"None of {counted(len(completed))} beat the starting model: "
            f"{interval(baseline.evaluation)} ({metric}, validation)."
        )
    caveats = [_selection_caveat(best, len(completed))]
    if best.test is None or baseline.test is None:
        assert best.evaluation is not None
        if best.evaluation.self_reported or baseline.evaluation.self_reported:
            return _self_reported(best.number, best.evaluation, baseline.evaluation, len(completed))
        found = difference(best.evaluation, baseline.evaluation, facts.study.objective)
        return Verdict(
            f"Trial {best.number} leads with {metric} {interval(best.evaluation)} on validation; "
            f"the starting model has {interval(baseline.evaluation)}.",
            (
                f"A validation score, and the best of {len(completed)} looks at it: expect less. "
                f"The test split is opened when the study finishes.",
                *_difference_caveat(found, on="validation"),
            ),
        )
    found = difference(best.test, baseline.test, facts.study.objective)
    range_ = f"95 % interval {found.low:+.3f} to {found.high:+.3f}"
    if found.shown:
        sentence = (
            f"Trial {best.number} improves {metric} on the test split from {figure(baseline.test.value)} to "
            f"{figure(best.test.value)}: a gain of {found.gain:+.3f} ({range_}, n={best.test.n})."
        )
    else:
        sentence = (
            f"No gain is shown: trial {best.number} has {metric} {figure(best.test.value)} on the test split, the "
            f"starting model {figure(baseline.test.value)} ({found.gain:+.3f}, {range_}, n={best.test.n})."
        )
    return Verdict(sentence, tuple(caveats), found.shown)


def _self_reported(number: int, best: Evaluation, baseline: Evaluation, completed: int) -> Verdict:
    return Verdict(
        f"Trial {number} leads with {best.metric} {interval(best)} on validation; the starting point has "
        f"{interval(baseline)}. No interval, so no gain is shown.",
        (
            f"The training script scored itself, and this is the best of {counted(completed)}: expect less. No test "
            f"split is opened for self-reported scores.",
        ),
    )


def _selection_caveat(best: Trial, completed: int) -> str:
    if best.confirmed:
        return f"Confirmed on fresh training seeds; chosen on validation among {counted(completed)}."
    return (
        f"Leading, not confirmed: one training run, chosen on validation among {counted(completed)}. The "
        f"interval covers the test items, not what another training seed would give."
    )


def _difference_caveat(found: Difference, on: str) -> list[str]:
    return [] if found.shown else [f"The difference on {on} is within its interval: no gain is shown yet."]
