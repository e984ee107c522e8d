"""Synthetic trials and views, for testing policies and decision rules without training anything."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.contracts import (
    CategoricalParam,
    Evaluation,
    FloatParam,
    IntParam,
    ItemScore,
    Objective,
    Proposal,
    Scalar,
    Space,
    StudyView,
    Trial,
)

MAXIMIZE = Objective("accuracy", "maximize")
MINIMIZE = Objective("loss", "minimize")

MIXED = Space(
    {
        "learning_rate": FloatParam(low=1e-6, high=1e-2, log=True, default=1e-4),
        "temperature": FloatParam(low=0.5, high=1.5, default=1.0),
        "layers": IntParam(low=1, high=8, default=2),
        "batch": IntParam(low=1, high=256, log=True, default=16),
        "loss": CategoricalParam(choices=("grpo", "dapo", "dr_grpo"), default="dapo"),
        "bf16": CategoricalParam(choices=(True, False), default=False),
    }
)
SPACES: dict[str, Space] = {
    "mixed": MIXED,
    "one": Space({"x": FloatParam(low=0.0, high=1.0, default=0.5)}),
    "numbers": Space(
        {
            "x": FloatParam(low=-1.0, high=1.0, default=0.0),
            "y": FloatParam(low=1e-5, high=1.0, log=True, default=1e-3),
            "k": IntParam(low=0, high=9, default=3),
        }
    ),
    "choices": Space({"mode": CategoricalParam(choices=("a", "b", "c", "d"), default="c")}),
    "fixed": Space(
        {
            "x": FloatParam(low=0.3, high=0.3, default=0.3),
            "k": IntParam(low=4, high=4, default=4),
            "y": FloatParam(low=0.0, high=2.0, default=1.0),
        }
    ),
}


def scored(
    number: int,
    value: float,
    params: Mapping[str, Scalar] | None = None,
    *,
    items: Sequence[float] = (),
    split: Any = "validation",
) -> Trial:
    """A completed trial. With `items`, those are its per-item scores and `value` is ignored."""
    proposal = Proposal(dict(params or {}))
    if items:
        evaluation = Evaluation.from_items(split, "metric", [ItemScore(str(i), score) for i, score in enumerate(items)])
    else:
        evaluation = Evaluation(split, "metric", value, 100, value - 0.05, value + 0.05)
    return Trial(number, proposal, "completed", evaluation, ended_s=float(number))


def failed(number: int, params: Mapping[str, Scalar] | None = None) -> Trial:
    """A trial whose training raised."""
    return Trial(
        number, Proposal(dict(params or {})), "failed", error="boom", error_kind="exception", ended_s=float(number)
    )


def cancelled(number: int, params: Mapping[str, Scalar] | None = None) -> Trial:
    """A trial that the study gave up."""
    return Trial(number, Proposal(dict(params or {})), "cancelled", error="the study ended", ended_s=float(number))


def running(number: int, params: Mapping[str, Scalar]) -> Trial:
    """A trial that has not ended."""
    return Trial(number, Proposal(dict(params)))


def view(
    space: Space = MIXED,
    trials: Sequence[Trial] = (),
    pending: Sequence[Trial] = (),
    objective: Objective = MAXIMIZE,
    seed: int = 7,
) -> StudyView:
    """A view with a baseline of score 0.1."""
    return StudyView(space, objective, seed, scored(0, 0.1), tuple(trials), tuple(pending), 0)


def campaign(
    policy: Any,
    space: Space,
    score: Callable[[Mapping[str, Any]], float | None],
    trials: int,
    objective: Objective = MAXIMIZE,
    seed: int = 7,
) -> list[Trial]:
    """Ask and tell one at a time, as a study with one slot does; returns the trials in order.
    A trial whose `score` is None fails."""
    done: list[Trial] = []
    for number in range(1, trials + 1):
        proposals = policy.ask(view(space, done, objective=objective, seed=seed), 1)
        if not proposals:
            break
        value, params = score(proposals[0].params), proposals[0].params
        trial = failed(number, params) if value is None else scored(number, value, params)
        policy.tell(trial)
        done.append(trial)
    return done


def one_at_a_time(policy: Any, where: StudyView, n: int) -> list[Proposal]:
    """What a study that asks for one trial at a time gets, with the earlier ones running."""
    proposals: list[Proposal] = []
    for _ in range(n):
        proposals += policy.ask(where, 1)
        pending = (*where.running, running(where.proposed + 1, proposals[-1].params))
        where = replace(where, running=pending)
    return proposals
