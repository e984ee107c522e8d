"""The adviser: a language model that is asked for points, through the library overnight-llm."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core import CategoricalParam, InvalidParams, SetupError, Space, StudyView, Trial
from overnight_policy_hybrid.frame import Point

_SHOWN = 40
_POINTS = 3


@dataclass(frozen=True)
class Advice:
    """points: with the model's reason for each, fit for the space. notes: what people should be told."""

    points: list[tuple[Point, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Adviser:
    """Asks one language model. It keeps the last answer, so that the same question is asked once."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raises SetupError for settings that do not work."""
        from pydantic import ValidationError

        from overnight_llm import Client, LlmSettings

        try:
            self._client = Client(LlmSettings(**settings))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(["policy.llm", *map(str, first["loc"])])
            raise SetupError(f"{where}: {first['msg']}") from None
        self._last: tuple[str, Advice] | None = None

    def ask(self, view: StudyView, seed: int) -> Advice:
        """A few points, or none with a note that says why. It never raises for what a model does.
        seed: sent along, for providers that heed it."""
        messages = [{"role": "system", "content": _RULES}, {"role": "user", "content": _facts(view)}]
        question = json.dumps(messages)
        if self._last is None or self._last[0] != question:
            self._last = question, self._asked(view, messages, seed)
        return self._last[1]

    def _asked(self, view: StudyView, messages: list[dict[str, str]], seed: int) -> Advice:
        outcome = self._client.ask(
            messages,
            lambda text: _checked(view.space, text),
            schema=_schema(view.space),
            seed=seed,
            purse=view.purse,
            purpose="points for the policy hybrid",
        )
        notes = list(outcome.notices)
        if outcome.value is None:
            notes.append(f"the language model gave no point ({outcome.kind}: {outcome.problem})")
        return Advice(outcome.value or [], notes)


_RULES = (
    "You propose hyperparameters for the next training run of a study. Look at what was tried and how it went, "
    "and name points that you expect to beat the best so far, different from each other and from all that were "
    "tried, away from what failed. Answer with one JSON object and nothing else: "
    '{"proposals": [{"params": {…a value for every parameter…}, "rationale": "one short sentence"}]}, '
    f"with {_POINTS} proposals."
)


def _facts(view: StudyView) -> str:
    """The objective, the space, what was tried (the best and the latest), what failed and what runs."""
    objective = view.objective
    lines = [f"Objective: {objective.direction} {objective.metric}.", "Parameters:"]
    lines += [f"- {name}: {_domain(param)}, default {param.default!r}" for name, param in view.space.items()]
    scored = [trial for trial in view.trials if trial.score is not None]
    ranked = sorted(scored, key=lambda trial: -objective.gain(trial.score or 0.0, 0.0))
    kept = {trial.number for trial in (*ranked[: _SHOWN // 2], *view.trials[-_SHOWN // 2 :])}
    lines.append(f"Trials ({len(view.trials)} so far):")
    lines += [_line(trial) for trial in view.trials if trial.number in kept]
    lines += [f"running: {json.dumps(trial.proposal.params)}" for trial in view.running]
    if view.budget.trials is not None:
        lines.append(f"Trials left: {view.budget.trials}.")
    return "\n".join(lines)


def _line(trial: Trial) -> str:
    params = json.dumps(trial.proposal.params)
    if trial.score is None or trial.evaluation is None:
        return f"{params} -> {trial.status} ({trial.error_kind or 'no reason given'})"
    return f"{params} -> {trial.score:.5g} [{trial.evaluation.low:.5g}, {trial.evaluation.high:.5g}]"


def _domain(param: Any) -> str:
    if isinstance(param, CategoricalParam):
        return f"one of {json.dumps(list(param.choices))}"
    return f"{param.type} from {param.low:g} to {param.high:g}{', logarithmic' if param.log else ''}"


def _checked(space: Space, text: str) -> list[tuple[Point, str]]:
    """The points of an answer. Raises Rejected, with the reason, if one of them cannot be used."""
    from overnight_llm import Rejected, json_object, plain

    proposals = json_object(text).get("proposals")
    if not isinstance(proposals, list) or not proposals:
        raise Rejected('the object has no list "proposals"')
    found = []
    for proposal in proposals[: 2 * _POINTS]:
        if not isinstance(proposal, dict) or not isinstance(proposal.get("params"), dict):
            raise Rejected('every proposal needs an object "params"')
        try:
            point = space.check(proposal["params"])
        except InvalidParams as error:
            raise Rejected(str(error)) from None
        found.append((point, plain(str(proposal.get("rationale") or "no reason given"), 200)))
    return found


def _schema(space: Space) -> dict[str, Any]:
    kinds = {"float": "number", "int": "integer"}
    params = {
        name: {"enum": list(param.choices)} if isinstance(param, CategoricalParam) else {"type": kinds[param.type]}
        for name, param in space.items()
    }
    point = {"type": "object", "properties": params, "required": list(params), "additionalProperties": False}
    proposal = {"params": point, "rationale": {"type": "string"}}
    item = {"type": "object", "properties": proposal, "required": list(proposal), "additionalProperties": False}
    proposals = {"type": "array", "items": item}
    return {
        "type": "object",
        "properties": {"proposals": proposals},
        "required": ["proposals"],
        "additionalProperties": False,
    }
