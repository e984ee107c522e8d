"""The story of a study: what was kept and why, what failed, what was spent; for both report formats."""

import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

from core.contracts import Trial
from core.journal.facts import StudyFacts
from core.report.verdict import (
    Verdict,
    baseline_of,
    certificate_of,
    difference,
    estimate_of,
    incumbent_of,
    judge,
    noise_of,
    noise_words,
    percent,
)
from core.report.wording import (
    change,
    duration,
    figure,
    interval,
    led,
    outcome,
    outcomes,
    param,
    program_change,
)
from core.worker.timing import STARTUP


@dataclass(frozen=True)
class Row:
    """One line of the trials table, ready to print; `score_value` and `seconds_value` sort it."""

    number: int
    outcome: str
    score: str
    score_value: float | None
    params: dict[str, str]
    reason: str
    seed: str
    seconds: str
    seconds_value: float
    attempt: int
    hardware: str


@dataclass(frozen=True)
class Kept:
    """One incumbent: how it came to be and what it changed against the one before."""

    number: int
    score: str
    gain: str
    changes: str
    why: str
    rationale: str


@dataclass(frozen=True)
class Patch:
    """A trial's change to the task's program. diff: unified, against the task's own."""

    number: int
    outcome: str
    summary: str
    why: str
    diff: str
    kept: bool


@dataclass(frozen=True)
class Story:
    """Everything that a report says, as text."""

    title: str
    verdict: Verdict
    cards: list[tuple[str, str, str]]
    kept: list[Kept]
    rows: list[Row]
    param_names: list[str]
    patches: list[Patch]
    failures: list[tuple[str, int, str]]
    notices: list[tuple[str, str]]
    preflight: list[tuple[str, str]]
    startup: list[tuple[str, str]]
    budget: list[tuple[str, str, str]]
    facts: list[tuple[str, str]]
    commands: list[str]


def tell(facts: StudyFacts) -> Story:
    """Turn facts into text."""
    study = facts.study
    return Story(
        title=study.name,
        verdict=judge(facts),
        cards=_cards(facts),
        kept=_kept(facts),
        rows=[_row(trial, facts) for trial in study.trials],
        param_names=list(facts.space),
        patches=_patches(facts),
        failures=_failures(facts),
        notices=[(duration(notice.elapsed_s), notice.text) for notice in facts.notices],
        preflight=[(name, param(value)) for name, value in facts.preflight.figures.items()] if facts.preflight else [],
        startup=_startup(facts),
        budget=_budget(facts),
        facts=_about(facts),
        commands=[
            f"python -m core status {study.directory}",
            f"python -m core report {study.directory}",
            *([] if facts.state == "finished" else [f"python -m core resume {study.directory}"]),
        ],
    )


def _cards(facts: StudyFacts) -> list[tuple[str, str, str]]:
    study = facts.study
    baseline, best = baseline_of(facts), incumbent_of(facts)
    cards = []
    for label, trial in (("baseline", baseline), (f"trial {best.number}, {_standing(best)}" if best else "", best)):
        if trial is None:
            continue
        for split, evaluation in (("test", trial.test), ("validation", trial.evaluation)):
            if evaluation is not None:
                low, high = figure(evaluation.low), figure(evaluation.high)
                known = f"95 % {low} to {high}, n={evaluation.n}"
                known = "self-reported, no interval" if evaluation.self_reported else known
                cards.append((f"{label}: {split}", figure(evaluation.value), known))
                break
    if best and baseline and best.test and baseline.test:
        found = difference(best.test, baseline.test, study.objective)
        cards.append(("gain on test", f"{found.gain:+.3f}", f"95 % {found.low:+.3f} to {found.high:+.3f}"))
    if (believed := estimate_of(facts)) is not None:
        chance = f"beats the baseline with a chance of {percent(believed.chance)}"
        cards.append((f"trial {believed.trial}: believed", figure(believed.score), chance))
    if (made := certificate_of(facts)) is not None and made.gain is not None:
        word = "confirmed gain" if made.confirmed else "gain, not confirmed"
        range_ = f"90 % {made.low:+.3f} to {made.high:+.3f}, {made.seeds} fresh seeds, n={made.items}"
        cards.append((word, f"{made.gain:+.3f}", range_))
    if (noise := noise_of(facts)) is not None:
        cards.append(("noise", figure(noise.sd), noise_words(noise)))
    cards.append(("trials", str(sum(1 for trial in study.trials if trial.number)), outcomes(facts)))
    cards.append(("time", duration(study.seconds), f"state: {facts.state}"))
    return cards


def _standing(best: Trial) -> str:
    return "confirmed" if best.confirmed else "leading"


def _row(trial: Trial, facts: StudyFacts) -> Row:
    reason = trial.error or (trial.decision.reason if trial.decision else trial.proposal.rationale)
    return Row(
        number=trial.number,
        outcome=outcome(trial, facts),
        score=interval(trial.evaluation) if trial.evaluation else "",
        score_value=trial.score,
        params={name: param(value) for name, value in trial.proposal.params.items()},
        reason=reason,
        seed="" if trial.proposal.seed is None else str(trial.proposal.seed),
        seconds=duration(trial.seconds),
        seconds_value=trial.seconds,
        attempt=trial.attempt,
        hardware=trial.hardware,
    )


def _kept(facts: StudyFacts) -> list[Kept]:
    order = sorted(facts.study.trials, key=lambda trial: trial.ended_s or 0.0)
    before = baseline_of(facts)
    found = []
    for trial in order:
        if trial.decision is None or not led(trial) or trial.evaluation is None:
            continue
        gain = ""
        if before and before.evaluation:
            gain = f"{facts.study.objective.gain(trial.evaluation.value, before.evaluation.value):+.3f}"
        found.append(
            Kept(
                trial.number,
                interval(trial.evaluation),
                gain,
                change(trial, before),
                trial.decision.reason,
                trial.proposal.rationale,
            )
        )
        before = trial
    return found


def _patches(facts: StudyFacts) -> list[Patch]:
    return [
        Patch(
            trial.number,
            outcome(trial, facts),
            program_change(trial.proposal.patch),
            trial.proposal.rationale,
            trial.proposal.patch,
            led(trial),
        )
        for trial in facts.study.trials
        if trial.proposal.patch
    ]


def _failures(facts: StudyFacts) -> list[tuple[str, int, str]]:
    failed = [trial for trial in facts.study.trials if trial.status == "failed"]
    groups: dict[str, list[Trial]] = {}
    for trial in failed:
        groups.setdefault(trial.error_kind or "unknown", []).append(trial)
    return [
        (kind, len(trials), f"trials {', '.join(str(t.number) for t in trials)}; the last: {trials[-1].error}")
        for kind, trials in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


_PARTS = {
    "startup/process_s": "start of the process",
    "startup/prepare_s": "plugins, the task, what is cached",
    "startup/setup_s": "libraries, model, trainer",
    "startup/first_step_s": "first step",
}


def _startup(facts: StudyFacts) -> list[tuple[str, str]]:
    """The median over trials of each part of a training job's start, as core.worker.timing took it."""
    rows = []
    for name in STARTUP:
        seen = [trial.metrics[name] for trial in facts.study.trials if name in trial.metrics]
        if seen:
            rows.append((_PARTS[name], f"{statistics.median(seen):.1f} s"))
    return rows


def _budget(facts: StudyFacts) -> list[tuple[str, str, str]]:
    limits, study = facts.limits, facts.study
    used = len([trial for trial in study.trials if trial.number])
    clock = "no limit" if limits.wall_clock_s is None else duration(limits.wall_clock_s)
    return [
        ("trials", str(used), "no limit" if limits.trials is None else str(limits.trials)),
        ("wall-clock", duration(study.seconds), clock),
        ("US dollars", f"{study.usd:.2f}", "no limit" if limits.usd is None else f"{limits.usd:.2f}"),
        *([("of it by the policy", f"{facts.policy_usd:.2f}", "")] if facts.policy_usd else []),
        ("GPU-hours", f"{study.gpu_hours:.2f}", "no limit" if limits.gpu_hours is None else f"{limits.gpu_hours:.2f}"),
    ]


def _about(facts: StudyFacts) -> list[tuple[str, str]]:
    study = facts.study
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(facts.created_at))
    lines = [
        ("study", study.id),
        ("task", study.task),
        ("policy", study.policy),
        ("executor", study.executor),
        ("objective", f"{study.objective.direction} {study.objective.metric}"),
        ("seed", str(study.seed)),
        ("begun", began),
        ("plan", facts.plan or "none was recorded"),
        ("ended because", study.finished or "it has not ended"),
        ("controllers", f"{facts.controllers}" + (" (resumed)" if facts.controllers > 1 else "")),
        ("certification", facts.certification or "not planned: the study began before Overnight certified"),
        ("items set aside", f"{facts.set_aside} validation items that only certification looks at"),
        (
            "test split",
            opened(facts),
        ),
    ]
    return [*lines, *((f"version of {name}", version) for name, version in facts.versions.items())]


def opened(facts: StudyFacts) -> str:
    """How often the test split was looked at, and for whom last."""
    if not facts.test_openings:
        return "not opened"
    times = "once" if facts.test_openings == 1 else f"{facts.test_openings} times (--open-test-again)"
    last = f", for trials {', '.join(map(str, facts.test_opened))}" if facts.test_opened else ""
    return f"opened {times}{last}"


def config_text(config: dict[str, Any]) -> str:
    """The resolved configuration, for reproduction."""
    return json.dumps(config, indent=2, default=str)
