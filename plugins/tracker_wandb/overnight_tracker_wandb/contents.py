"""What W&B shows of a study: names, rows, summaries and the table, as plain data computed from snapshots."""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from core import BASELINE, Evaluation, Study, Trial

_LONGEST_TAG = 64  # characters; W&B refuses longer ones
_LONGEST_ID = 100  # characters; W&B's own limit is 128, a trial's id is a little longer than its study's
_LONGEST_TEXT = 20_000  # characters of one config or table value; a table cell is no place for more


def study_run_id(study: Study) -> str:
    """The same for every controller of a study, so that a resumed one continues the run."""
    return _safe(study.id)


def trial_run_id(study: Study, number: int) -> str:
    """The same for every attempt and controller."""
    return f"{_safe(study.id)}-{number:04d}"


def artifact_name(study: Study) -> str:
    """The collection that holds this study's incumbents."""
    return f"{_safe(study.id)}-model"


def tags(*words: str) -> tuple[str, ...]:
    """Tags that W&B accepts: 1 to 64 characters, each once."""
    return tuple(dict.fromkeys(word[:_LONGEST_TAG] for word in words if word))


def trial_tags(study: Study, trial: Trial) -> tuple[str, ...]:
    """Words to filter trial runs by."""
    words = ["baseline" if trial.number == BASELINE else "candidate", study.task, study.policy, study.executor]
    if trial.proposal.retest:
        words.append("retest")
    if trial.status != "running":
        words.append(trial.status)
        if trial.decision and trial.decision.verdict == "keep":
            words.append("kept")
        if study.finished is not None and trial.number == study.incumbent:
            words.append("incumbent")
    return tags(*words)


def trial_config(study: Study, trial: Trial) -> dict[str, Any]:
    """The parameters, flat, so that W&B's parallel coordinates find them; the rest in a node."""
    proposal = trial.proposal
    return {name: plain(value) for name, value in proposal.params.items()} | {
        "overnight": {
            "study": study.id,
            "trial": trial.number,
            "task": study.task,
            "policy": study.policy,
            "executor": study.executor,
            "seed": proposal.seed,
            "parent": proposal.parent,
            "retest": proposal.retest,
            "rationale": plain(proposal.rationale),
            "patch": plain(proposal.patch),
        }
    }


def live_row(trial: Trial, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
    """One step of training. NaN and infinities stay: W&B draws them, and they are news."""
    row: dict[str, float] = {f"train/{name}": value for name, value in metrics.items()}
    return row | {"train/step": step, "train/attempt": trial.attempt}


def rows(study: Study) -> Iterator[dict[str, Any]]:
    """One row per ended trial, in the order in which they ended: the study's history.

    Computed from the first trial on, so that it says the same whoever asks and whenever.
    """
    objective = study.objective
    incumbent, baseline, best = BASELINE, None, None
    usd = gpu_hours = 0.0
    scores: dict[int, float | None] = {}
    for trial in _in_order_of_ending(study):
        score = scores[trial.number] = trial.score
        usd += trial.usd
        gpu_hours += trial.gpu_hours
        if trial.number == BASELINE:
            baseline = score
        if score is not None and (best is None or objective.better(score, best)):
            best = score
        if trial.decision and trial.decision.verdict == "keep":
            incumbent = trial.number
        row: dict[str, Any] = {
            "trial": trial.number,
            "score": score,
            "best/score": best,
            "incumbent/trial": incumbent,
            "incumbent/score": scores.get(incumbent),
            "baseline/score": baseline,
            "spent/trials": len(scores) - (BASELINE in scores),
            "spent/seconds": trial.ended_s,
            "spent/usd": usd,
            "spent/gpu_hours": gpu_hours,
        }
        if score is not None and trial.evaluation is not None:
            row |= {"score/low": trial.evaluation.low, "score/high": trial.evaluation.high}
        yield {key: value for key, value in row.items() if value is not None}


def study_summary(study: Study) -> dict[str, Any]:
    """Where the study stands: baseline, incumbent, counts, spending, why it ended."""
    summary: dict[str, Any] = {
        "metric": study.objective.metric,
        "direction": study.objective.direction,
        "finished": study.finished or "",
        "spent/seconds": study.seconds,
        "spent/usd": study.usd,
        "spent/gpu_hours": study.gpu_hours,
        "trials/total": len(study.trials),
        "incumbent/trial": study.incumbent,
    }
    for status in ("running", "completed", "failed", "cancelled"):
        summary[f"trials/{status}"] = sum(trial.status == status for trial in study.trials)
    by_number = {trial.number: trial for trial in study.trials}
    for who, number in (("baseline", BASELINE), ("incumbent", study.incumbent)):
        if trial := by_number.get(number):
            summary |= _scores(f"{who}/validation", trial.evaluation) | _scores(f"{who}/test", trial.test)
            summary[f"{who}/confirmed"] = trial.confirmed
    for split in ("validation", "test"):
        before, after = (summary.get(f"{who}/{split}/value") for who in ("baseline", "incumbent"))
        if isinstance(before, float) and isinstance(after, float):
            summary[f"gain/{split}"] = study.objective.gain(after, before)
    return summary


def trial_summary(trial: Trial) -> dict[str, Any]:
    """How one trial ended, with everything a runs table in W&B may want to sort by."""
    decision = trial.decision
    summary: dict[str, Any] = {
        "status": trial.status,
        "score": trial.score,
        "decision": decision.verdict if decision else None,
        "reason": plain(decision.reason) if decision else None,
        "error": plain(trial.error),
        "error_kind": trial.error_kind,
        "attempt": trial.attempt,
        "seconds": trial.seconds,
        "usd": trial.usd,
        "gpu_hours": trial.gpu_hours,
        "hardware": trial.hardware or None,
        "confirmed": trial.confirmed,
    }
    if trial.evaluation is not None:
        summary |= {"low": trial.evaluation.low, "high": trial.evaluation.high, "n": trial.evaluation.n}
        summary |= {f"evaluation/{name}": value for name, value in trial.evaluation.details.items()}
    if decision:
        summary |= {f"evidence/{name}": plain(value) for name, value in decision.evidence.items()}
    summary |= {f"train/{name}": value for name, value in trial.metrics.items()}
    summary |= _scores("test", trial.test)
    return {key: value for key, value in summary.items() if value is not None}


def table(study: Study) -> tuple[list[str], list[list[Any]]]:
    """The trial table: column names, then one row per trial in the order of their numbers."""
    names = sorted({name for trial in study.trials for name in trial.proposal.params})
    # A parameter may be called like a column ("seed"), so parameters carry a prefix.
    columns = ["trial", "status", "score", "low", "high", "n", "test", "decision", "reason", "seed", "parent"]
    columns += ["seconds", "usd", "error", "rationale", *(f"params/{name}" for name in names)]
    cells = []
    for trial in sorted(study.trials, key=lambda trial: trial.number):
        found, decision, proposal = trial.evaluation, trial.decision, trial.proposal
        facts = [trial.number, trial.status, trial.score]
        facts += [found.low, found.high, found.n] if found else [None, None, None]
        facts += [trial.test.value if trial.test else None]
        facts += [decision.verdict, decision.reason] if decision else [None, None]
        facts += [proposal.seed, proposal.parent, trial.seconds, trial.usd, trial.error, proposal.rationale]
        facts += [proposal.params.get(name) for name in names]
        cells.append([_cell(fact) for fact in facts])
    return columns, cells


def plain(value: Any) -> Any:
    """A value that W&B stores as it is: finite numbers, booleans, None and text of bounded length."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… ({len(text)} characters)"


def _cell(value: Any) -> Any:
    # JSON numbers in a table are read as doubles: an int beyond 2**53 would come back as another.
    return str(value) if isinstance(value, int) and abs(value) > 2**53 else plain(value)


def _scores(prefix: str, evaluation: Evaluation | None) -> dict[str, Any]:
    if evaluation is None:
        return {}
    figures = {"value": evaluation.value, "low": evaluation.low, "high": evaluation.high, "n": evaluation.n}
    return {f"{prefix}/{name}": figure for name, figure in figures.items()}


def _in_order_of_ending(study: Study) -> list[Trial]:
    ended = [trial for trial in study.trials if trial.status != "running"]
    return sorted(ended, key=lambda trial: (math.inf if trial.ended_s is None else trial.ended_s, trial.number))


def _safe(text: str) -> str:
    """`text` as a W&B id; shortened or changed ones carry a hash so that two never meet."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:_LONGEST_ID]
    return safe if safe == text else f"{safe[:80]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
