"""The prompt: what a model is told of a study before it proposes parameters."""

from collections.abc import Sequence
from typing import Any

from core import CategoricalParam, FloatParam, IntParam, Proposal, Scalar, Space, StudyView, Trial
from overnight_llm import UNTRUSTED_RULE, Message, untrusted
from overnight_llm.memory import Earlier, Remembered
from overnight_policy_llm.curves import curve

_BEST, _LATEST, _FAILED = 12, 16, 8  # rows of the history that are shown
_CURVES = 3  # of the best and of the latest trials
_ERROR = 240  # characters of a failure's message

_SYSTEM = f"""You choose hyperparameters for training runs of a language model, to find the best settings with few runs.
Scores are noisy: each comes with a 95 % interval over its items, and another training seed can move it as much.
Do not chase a difference that its intervals do not show. Do not repeat what was tried, nor settings close to failures.
Give proposals that differ from each other and test different ideas. Change what the evidence speaks for.
{UNTRUSTED_RULE}
Answer with one JSON object and nothing else."""


def messages(
    view: StudyView, wanted: int, chosen: Sequence[Proposal], known: Remembered, earlier: Earlier | None
) -> list[Message]:
    """The conversation that asks for `wanted` proposals. chosen: what this round will run already."""
    parts = [
        _objective(view),
        "## Search space\n" + "\n".join(f"- {name}: {_range(param)}" for name, param in view.space.items()),
        "## Budget left\n" + _budget(view),
        _history(view),
        _running(view, chosen),
    ]
    if known.data or known.opinions:
        opinions = [f"{text} (your own earlier conclusion)" for text in known.opinions]
        parts.append("## Lessons so far\n" + "\n".join(f"- {text}" for text in (*known.data, *opinions)))
    if earlier is not None:
        parts.append(_earlier(view.space, earlier))
    if known.notes or known.steering:
        said = "\n\n".join(text for text in (known.notes, known.steering) if text)
        parts.append(f"## What the person who owns this study says (follow it)\n{said}")
    parts.append(_request(view.space, wanted))
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]


def schema(space: Space, wanted: int) -> dict[str, Any]:
    """The JSON schema of an answer."""
    params = {name: _schema(param) for name, param in space.items()}
    proposal = _object({"params": _object(params), "rationale": {"type": "string"}})
    lessons = {"type": "array", "items": {"type": "string"}}
    return _object({"proposals": {"type": "array", "items": proposal, "maxItems": wanted}, "lessons": lessons})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema(param: FloatParam | IntParam | CategoricalParam) -> dict[str, Any]:
    if isinstance(param, CategoricalParam):
        return {"enum": list(param.choices)}
    kind = "integer" if isinstance(param, IntParam) else "number"
    return {"type": kind, "minimum": param.low, "maximum": param.high}


def _range(param: FloatParam | IntParam | CategoricalParam) -> str:
    if isinstance(param, CategoricalParam):
        return f"one of {', '.join(_value(choice) for choice in param.choices)}; default {_value(param.default)}"
    kind = "whole number" if isinstance(param, IntParam) else "number"
    scale = ", think in orders of magnitude" if param.log else ""
    return f"{kind} from {_value(param.low)} to {_value(param.high)}{scale}; default {_value(param.default)}"


def _objective(view: StudyView) -> str:
    goal = view.objective
    text = f"## Objective\n{goal.direction.capitalize()} {goal.metric}."
    if view.baseline is not None and view.baseline.evaluation is not None:
        text += f" The untrained baseline has {_score(view.baseline)}."
    if view.incumbent:
        text += f" The incumbent is trial {view.incumbent}."
    return text


def _budget(view: StudyView) -> str:
    left = view.budget
    amounts = [
        f"{left.trials} trials" if left.trials is not None else "",
        f"{left.seconds / 3600:.2g} hours" if left.seconds is not None else "",
        f"${left.usd:.2f}" if left.usd is not None else "",
        f"{left.gpu_hours:.2g} GPU-hours" if left.gpu_hours is not None else "",
    ]
    return ", ".join(filter(None, amounts)) or "no limit is set"


def _history(view: StudyView) -> str:
    if not view.trials:
        return "## History\nNo trial has ended yet."
    scored = [trial for trial in view.trials if trial.score is not None]
    best = sorted(scored, key=lambda trial: -view.objective.gain(trial.score or 0.0, 0.0))[:_BEST]
    failed = [trial for trial in view.trials if trial.status == "failed"][-_FAILED:]
    numbers = {trial.number for trial in (*best, *view.trials[-_LATEST:], *failed)}
    rows = [trial for trial in view.trials if trial.number in numbers]
    curved = {trial.number for trial in (*best[:_CURVES], *scored[-_CURVES:])}
    names = list(view.space)
    lines = ["trial | " + " | ".join(names) + f" | {view.objective.metric} [95 % interval] | what came of it"]
    for trial in rows:
        values = " | ".join(_value(trial.proposal.params.get(name, "-")) for name in names)
        came = [trial.decision.verdict if trial.decision else "", "retest" if trial.proposal.retest else ""]
        if trial.number in curved and view.directory is not None:
            came.append(curve(view.directory, trial.number))
        if trial.status == "failed":
            came.append(f"failed ({trial.error_kind}): {untrusted(trial.error or '', _ERROR)}")
        score = _score(trial) if trial.score is not None else trial.status
        lines.append(f"{trial.number} | {values} | {score} | {', '.join(filter(None, came))}")
    left_out = len(view.trials) - len(rows)
    more = f"\n({left_out} more trials are left out: neither among the best nor recent)" if left_out else ""
    return "## History\n" + "\n".join(lines) + more


def _running(view: StudyView, chosen: Sequence[Proposal]) -> str:
    points = [f"trial {trial.number}: {_point(trial.proposal.params)}" for trial in view.running]
    points += [f"about to start: {_point(proposal.params)}" for proposal in chosen]
    return "## Running now\n" + ("\n".join(f"- {point}" for point in points) or "Nothing.")


def _earlier(space: Space, earlier: Earlier) -> str:
    lines = [f"- {score:.4g}: {_point(point)}" for point, score in earlier.points]
    best = "\nIts best settings:\n" + "\n".join(lines) if lines else ""
    return f"## What an earlier study of this task ({earlier.name}) found\n{earlier.lessons}{best}"


def _request(space: Space, wanted: int) -> str:
    names = ", ".join(f'"{name}": …' for name in space)
    form = f'{{"proposals": [{{"params": {{{names}}}, "rationale": "…"}}], "lessons": ["…"]}}'
    count = f"{wanted} proposal{'' if wanted == 1 else 's'}"
    return (
        f"## Your task\nGive exactly {count}, each with a value for every parameter "
        f"and a rationale of one sentence that says why this, now. Add up to three lessons that the history supports "
        f"(may be empty).\nForm: {form}"
    )


def _score(trial: Trial) -> str:
    found = trial.evaluation
    assert found is not None
    return f"{found.value:.4g} [{found.low:.4g}, {found.high:.4g}] (n={found.n})"


def _point(params: dict[str, Scalar]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in params.items())


def _value(value: Scalar) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
