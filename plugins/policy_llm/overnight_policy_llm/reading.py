"""Reading a model's answer: proposals that fit the space and are new, or why not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core import CategoricalParam, InvalidParams, Proposal, Scalar, Space, StudyView, Trial
from overnight_llm import Rejected, json_object, plain
from overnight_llm.lessons import is_dead_end

_SAME = 1e-6  # of a parameter's range (in the logarithm with `log`): nearer is a repeat
_NEAR = 0.02  # nearer to a failed trial in every parameter is a dead end
_RATIONALE = 240
_REASONS = 6

Point = dict[str, Scalar]


@dataclass
class Reader:
    """Checks one question's answers; what was good in an answer that goes back is kept.

    wanted: how many proposals are needed. chosen: what this round will run already.
    """

    view: StudyView
    wanted: int
    chosen: Sequence[Proposal] = ()
    accepted: list[Proposal] = field(default_factory=list)
    lessons: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> list[Proposal]:
        """The proposals, once there are as many as wanted. Raises Rejected."""
        answer = json_object(text)
        listed = answer.get("proposals", [answer] if "params" in answer else None)
        if not isinstance(listed, list) or not listed:
            raise Rejected('the object needs "proposals", a list of {"params": {…}, "rationale": "…"}')
        said = answer.get("lessons")
        if isinstance(said, list):
            self.lessons = [plain(lesson, _RATIONALE) for lesson in said[:3] if isinstance(lesson, str)]
        reasons = []
        for place, item in enumerate(listed[: 4 * self.wanted], 1):
            if len(self.accepted) == self.wanted:
                break
            try:
                self.accepted.append(self._proposal(item))
            except Rejected as refusal:
                reasons.append(f"proposal {place}: {refusal}")
        missing = self.wanted - len(self.accepted)
        if missing:
            shown = "; ".join(reasons[:_REASONS]) or f"there are only {len(listed)} proposals"
            kept = f" {len(self.accepted)} were accepted; {missing} more are needed." if self.accepted else ""
            raise Rejected(f"{shown}.{kept}")
        return self.accepted

    def _proposal(self, item: Any) -> Proposal:
        if not isinstance(item, dict):
            raise Rejected("it is no object")
        params = item.get("params", {name: value for name, value in item.items() if name != "rationale"})
        if not isinstance(params, dict):
            raise Rejected('"params" is no object')
        try:
            point = self.view.space.check(params)
        except InvalidParams as error:
            raise Rejected(plain(str(error), 300)) from None
        self._new(point)
        rationale = item.get("rationale")
        why = plain(rationale, _RATIONALE) if isinstance(rationale, str) else ""
        return Proposal(point, rationale=f"llm: {why or 'no reason given'}")

    def _new(self, point: Point) -> None:
        space = self.view.space
        for trial in (*self.view.trials, *self.view.running):
            other = _fitting(space, trial)
            if other is None:
                continue
            gap = distance(space, point, other)
            if gap <= _SAME:
                raise Rejected(f"trial {trial.number} tried this already ({_came_of(trial)}); propose something else")
            if gap <= _NEAR and is_dead_end(trial):
                failed = f"trial {trial.number}, which failed ({trial.error_kind})"
                raise Rejected(f"this is next to {failed}; move further away from it")
        for proposal in (*self.chosen, *self.accepted):
            if distance(space, point, proposal.params) <= _SAME:
                raise Rejected("this is proposed already in this round; propose something else")


def distance(space: Space, one: Point, other: Point) -> float:
    """The largest difference in any parameter, in shares of its range; infinite for another choice."""
    return max((_gap(param, one[name], other[name]) for name, param in space.items()), default=0.0)


def _gap(param: Any, one: Any, other: Any) -> float:
    if isinstance(param, CategoricalParam):
        return 0.0 if one == other and isinstance(one, bool) == isinstance(other, bool) else math.inf
    if param.log:
        low, high, one, other = (math.log(value) for value in (param.low, param.high, one, other))
    else:
        low, high = param.low, param.high
    return abs(one - other) / (high - low) if high > low else 0.0


def _fitting(space: Space, trial: Trial) -> Point | None:
    try:
        return space.check(trial.proposal.params)
    except InvalidParams:
        return None


def _came_of(trial: Trial) -> str:
    return f"score {trial.score:.4g}" if trial.score is not None else trial.status
