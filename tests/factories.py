"""Facts of made-up studies, for report and console."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from core.contracts import (
    Certificate,
    Decision,
    Evaluation,
    FloatParam,
    IntParam,
    ItemScore,
    Objective,
    Proposal,
    Space,
    Study,
    Trial,
)
from core.journal.facts import Limits, Notice, StudyFacts

SPACE = Space(
    {
        "learning_rate": FloatParam(low=1e-5, high=1e-2, log=True, default=1e-4),
        "steps": IntParam(low=20, high=60, default=40),
    }
)


def evaluation(split: Any, right: int, n: int) -> Evaluation:
    """Right answers out of n."""
    items = [ItemScore(f"{split}-{i}", float(i < right)) for i in range(n)]
    return Evaluation.from_items(split, "accuracy", items)


def trial(number: int, right: int, verdict: Any = "discard", **more: Any) -> Trial:
    """A completed trial that got `right` of 500 validation items."""
    proposal = Proposal({"learning_rate": 1e-5 * 10 ** (number % 3), "steps": 20 + number % 40}, rationale="TPE on 3")
    decision = None if number == 0 else Decision(verdict, f"gain of trial {number}", {"gain": 0.1})
    values = {"started_s": number * 10.0, "ended_s": number * 10.0 + 9, "seconds": 9.0, "hardware": "1 of 2 CPU cores"}
    return Trial(
        number, proposal, "completed", evaluation("validation", right, 500), decision=decision, **values | more
    )


def failed(number: int, error: str = "RuntimeError: out of luck") -> Trial:
    """A trial whose training raised."""
    proposal = Proposal({"learning_rate": 1e-2, "steps": 60})
    return Trial(number, proposal, "failed", error=error, error_kind="exception", ended_s=number * 10.0)


def facts(directory: Path, *trials: Trial, incumbent: int = 0, state: Any = "finished", **more: Any) -> StudyFacts:
    """The facts of a study with these trials."""
    study = Study(
        id="quick-1", name=more.pop("name", "quick"), directory=directory, task="some_task", policy="some_policy",
        executor="here", objective=more.pop("objective", Objective("accuracy")), seed=1, config={"seed": 1},
        trials=trials, incumbent=incumbent, seconds=321.0, finished="all trials used" if state == "finished" else None,
    )  # fmt: skip
    tested = tuple(t.number for t in trials if t.test)
    return StudyFacts(
        study, SPACE, Limits(trials=12), state, created_at=1e9, updated_at=1e9, test_opened=tested,
        **{"test_openings": 1 if tested else 0} | more,
    )  # fmt: skip


def finished(directory: Path, **more: Any) -> StudyFacts:
    """A finished study of twelve trials with a clear gain."""
    base = trial(0, 80, test=evaluation("test", 160, 1000))
    others = [trial(n, 70 + 9 * n, "keep" if n in (1, 4) else "discard") for n in range(1, 11)]
    best = trial(11, 220, "keep", test=evaluation("test", 430, 1000))
    notice = Notice("trial 3 was lost; starting attempt 2", 33.0, 3)
    return facts(directory, base, *others, best, failed(12), incumbent=11, notices=(notice,), **more)


def confirmed(directory: Path, certificate: Certificate) -> StudyFacts:
    """The finished study with a certificate of its incumbent."""
    found = finished(directory, certificate=certificate, fresh=())
    trials = tuple(
        replace(one, confirmed=certificate.confirmed) if one.number == 11 else one for one in found.study.trials
    )
    return replace(found, study=replace(found.study, trials=trials))
