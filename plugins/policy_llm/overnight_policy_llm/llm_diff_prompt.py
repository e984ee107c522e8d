"""The prompt: what a model is told of a study before it changes the program."""

from collections.abc import Sequence
from pathlib import Path

from core import Program, StudyView, Trial
from overnight_llm import UNTRUSTED_RULE, Message, plain, untrusted
from overnight_llm.memory import Remembered
from overnight_policy_llm.llm_diff_answer import Change

_ROWS, _FAILURES = 24, 3
_TRACEBACK = 1800  # characters of a failed trial's log, its end above all
_TAIL_BYTES = 16_000
_ABOUT = 12_000

_SYSTEM = f"""You improve a program that trains a language model. You propose one change at a time, as a unified diff.
Scores are noisy: each comes with a 95 % interval over its items, and another training seed can move it as much.
Do not repeat what was tried. A small change that tests one idea teaches more than a rewrite.
The program runs without network, can write in its own folder only, and is scored by another program that you never see.
{UNTRUSTED_RULE}
Answer with one line that begins with "Why:", then the diff against the program as shown, in one ```diff block:
--- a/FILE
+++ b/FILE
@@ -line,count +line,count @@
Lines of context must be copied exactly. Nothing else is needed."""


def messages(view: StudyView, base: Program, of: int, chosen: Sequence[Change], known: Remembered) -> list[Message]:
    """The conversation that asks for one change. base: the program to change, of trial `of` (0 = the
    task's own). chosen: changes of this round that will run already."""
    parts = [_objective(view)]
    if base.about:
        parts.append(f"## What the author of the task says (program.md)\n{base.about[:_ABOUT]}")
    whose = f"as trial {of}, the incumbent, has it" if of else "as the task has it"
    for name, text in base.files.items():
        parts.append(f"## {name}, {whose}\n```\n{text.rstrip()}\n```")
    if base.required_calls:
        parts.append(f"These must stay called or defined: {', '.join(base.required_calls)}.")
    parts += [_history(view), *_failures(view)]
    pending = [f"- trial {trial.number}: {plain(trial.proposal.rationale, 240)}" for trial in view.running]
    pending += [f"- about to start: {change.why}" for change in chosen]
    if pending:
        parts.append("## Running now\n" + "\n".join(pending))
    lessons = [*known.data, *(f"{text} (your own earlier conclusion)" for text in known.opinions)]
    if lessons:
        parts.append("## Lessons so far\n" + "\n".join(f"- {text}" for text in lessons))
    if said := "\n\n".join(text for text in (known.notes, known.steering) if text):
        parts.append(f"## What the person who owns this study says (follow it)\n{said}")
    parts.append(f"## Your task\nPropose one change of {', '.join(base.files)} that is likely to improve the score.")
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]


def _objective(view: StudyView) -> str:
    text = f"## Objective\n{view.objective.direction.capitalize()} {view.objective.metric}."
    if view.baseline is not None and view.baseline.score is not None:
        text += f" The untrained baseline has {_score(view.baseline)}."
    return text + (f" {view.budget.trials} trials are left." if view.budget.trials is not None else "")


def _history(view: StudyView) -> str:
    if not view.trials:
        return "## History\nNo trial has ended yet."
    lines = ["trial | lines changed | score [95 % interval] | verdict | what it tried"]
    for trial in view.trials[-_ROWS:]:
        verdict = trial.decision.verdict if trial.decision else ""
        score = _score(trial) if trial.score is not None else f"{trial.status} ({trial.error_kind})"
        what = plain(trial.proposal.rationale, 240)
        lines.append(f"{trial.number} | {_size(trial.proposal.patch)} | {score} | {verdict} | {what}")
    more = f"\n({len(view.trials) - _ROWS} earlier trials are left out)" if len(view.trials) > _ROWS else ""
    return "## History\n" + "\n".join(lines) + more


def _failures(view: StudyView) -> list[str]:
    """The last failures with the end of their logs. What programs print is data, whatever it says."""
    failed = [trial for trial in view.trials if trial.status == "failed"][-_FAILURES:]
    shown = []
    for trial in failed:
        text = tail(view.directory, trial.number) or trial.error or ""
        shown.append(f"Trial {trial.number} ({trial.error_kind}): {untrusted(text, _TRACEBACK)}")
    return ["## The last failures\n" + "\n\n".join(shown)] if shown else []


def tail(directory: Path | None, number: int) -> str:
    """The end of a trial's training log; "" if there is none."""
    if directory is None:
        return ""
    try:
        with (directory / "trials" / f"{number:04d}" / "log.txt").open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _size(patch: str | None) -> str:
    lines = (patch or "").splitlines()
    added = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
    removed = sum(line.startswith("-") and not line.startswith("---") for line in lines)
    return f"+{added} -{removed}" if patch else "none"


def _score(trial: Trial) -> str:
    found = trial.evaluation
    assert found is not None
    return f"{found.value:.4g} [{found.low:.4g}, {found.high:.4g}] (n={found.n})"
