"""The verdict: what a study has shown, in one plain sentence with its caveats."""

import math
from dataclasses import dataclass

from core.contracts import (
    BASELINE,
    Certificate,
    Estimate,
    Evaluation,
    Objective,
    RunNoise,
    Trial,
    same_configuration,
)
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
    good: whether an improvement was confirmed with fresh seeds."""

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
    assert best.evaluation is not None
    caveats = [*_standing(facts, best, len(completed)), *_believed(facts), *_reopened(facts)]
    if best.confirmed:
        found = certificate_of(facts)
        assert found is not None and found.gain is not None
        sentence = (
            f"Trial {best.number} improves {metric} by {found.gain:.3f} over the starting model, confirmed with "
            f"{found.seeds} fresh training seeds on {found.items} validation items that selection never saw."
        )
        return Verdict(sentence, (*caveats, *_test(facts, baseline, best)), good=True)
    if best.evaluation.self_reported or baseline.evaluation.self_reported:
        return _self_reported(best.number, best.evaluation, baseline.evaluation, len(completed))
    unconfirmed = ", unconfirmed" if certificate_of(facts) else ""
    sentence = (
        f"Trial {best.number} leads{unconfirmed}, with {metric} {interval(best.evaluation)} on validation; the "
        f"starting model has {interval(baseline.evaluation)}."
    )
    return Verdict(sentence, (*caveats, *_test(facts, baseline, best)))


def certificate_of(facts: StudyFacts) -> Certificate | None:
    """The certificate of the incumbent, if it has one."""
    found = facts.certificate
    return found if found is not None and found.trial == facts.study.incumbent else None


def estimate_of(facts: StudyFacts) -> Estimate | None:
    """What the rule believes of the incumbent now: the estimate in the last decision about it."""
    ended = sorted(facts.study.trials, key=lambda trial: trial.ended_s or 0.0, reverse=True)
    found = (trial.decision.estimate for trial in ended if trial.decision)
    return next((one for one in found if one is not None and one.trial == facts.study.incumbent), None)


def noise_of(facts: StudyFacts) -> RunNoise | None:
    """How far identical runs of this study lie apart; None before the baseline has its score."""
    baseline = baseline_of(facts)
    if baseline is None or baseline.evaluation is None or baseline.evaluation.self_reported:
        return None
    return RunNoise.of(facts.study.trials, baseline.evaluation)


def noise_words(noise: RunNoise) -> str:
    """The seed's standard deviation and where it comes from."""
    source = f"from {noise.repeats} repeats and a prior" if noise.repeats else "assumed: no configuration was repeated"
    return f"standard deviation between seeds {figure(noise.sd)} ({source})"


def _standing(facts: StudyFacts, best: Trial, completed: int) -> list[str]:
    found = certificate_of(facts)
    if found is not None and found.gain is not None:
        word = "Confirmed" if found.confirmed else "Not confirmed: no improvement is shown"
        return [f"{word}: {found.reason}; chosen on validation among {counted(completed)}."]
    if found is not None:
        why = found.reason
    elif facts.state == "finished":
        why = facts.certification or "the study knew no certification"
    else:
        why = "certification comes at the end of the search"
    seeds = 1 + sum(one.number != best.number and _same(one, best) for one in facts.study.trials)
    runs = "one training run" if seeds == 1 else f"{seeds} training runs"
    return [
        f"Leading, not confirmed ({why}): {runs}, chosen on validation among {counted(completed)}; the best of many "
        f"scores is the luckiest, so expect less."
    ]


def _same(one: Trial, other: Trial) -> bool:
    return one.score is not None and same_configuration(one) == same_configuration(other)


def _believed(facts: StudyFacts) -> list[str]:
    noise, found = noise_of(facts), estimate_of(facts)
    said = []
    if found is not None:
        said.append(
            f"Believed score {figure(found.score)} (90 % {figure(found.low)} to {figure(found.high)}), shrunken for "
            f"the luck of the best; chance that it truly beats the starting model: {percent(found.chance)}."
        )
    if noise is not None:
        said.append(f"Noise: {noise_words(noise)}.")
    return said


def percent(chance: float) -> str:
    """A chance in words that never claim certainty."""
    return "over 99 %" if chance > 0.99 else "under 1 %" if chance < 0.01 else f"{chance:.0%}".replace("%", " %")


def _reopened(facts: StudyFacts) -> list[str]:
    if facts.test_openings < 2:
        return []
    return [f"The test split was opened {facts.test_openings} times: its scores are no longer those of a first look."]


def _test(facts: StudyFacts, baseline: Trial, best: Trial) -> list[str]:
    """What the test split says, as a fact and not as a claim: it knows one training run."""
    if best.test is None or baseline.test is None:
        return [] if facts.state == "finished" else ["The test split is opened when the study finishes."]
    found = difference(best.test, baseline.test, facts.study.objective)
    within = "" if found.shown else "; within its interval"
    return [
        f"On the test split trial {best.number} has {figure(best.test.value)}, the starting model "
        f"{figure(baseline.test.value)}: {found.gain:+.3f} (95 % interval over items {found.low:+.3f} to "
        f"{found.high:+.3f}, n={best.test.n}, one training run{within})."
    ]


def _self_reported(number: int, best: Evaluation, baseline: Evaluation, completed: int) -> Verdict:
    return Verdict(
        f"Trial {number} leads with {best.metric} {interval(best)} on validation; the starting point has "
        f"{interval(baseline)}. No interval, so no gain is shown.",
        (
            f"The training script scored itself, and this is the best of {counted(completed)}: expect less. No test "
            f"split is opened for self-reported scores, and they cannot be certified: one figure a run has no items "
            f"that could be set aside.",
        ),
    )
