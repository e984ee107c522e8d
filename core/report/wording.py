"""Wording: figures and names as people read them, the same in terminal and report."""

from collections import Counter

from core.contracts import BASELINE, Evaluation, Proposal, Scalar, Trial
from core.journal.facts import StudyFacts


def printable(text: str) -> str:
    """Text on one line, with what cannot be printed (control characters) replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def figure(value: float) -> str:
    """A score or metric with three significant places after the point, or in scientific form."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3f}"
    return f"{value:.2e}"


def interval(evaluation: Evaluation) -> str:
    """ "0.447 [0.416, 0.478] n=1000", or "0.447 (self-reported)"."""
    if evaluation.self_reported:
        return f"{figure(evaluation.value)} (self-reported)"
    return f"{figure(evaluation.value)} [{figure(evaluation.low)}, {figure(evaluation.high)}] n={evaluation.n}"


def param(value: Scalar) -> str:
    """A parameter's value: short, exact enough to recognise."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def params(values: dict[str, Scalar]) -> str:
    """ "learning_rate=0.0002 steps=40"."""
    return " ".join(f"{name}={param(value)}" for name, value in values.items())


def program_change(patch: str | None) -> str:
    """ "program +12 −3 in train.py" for a unified diff, "" for none."""
    if not patch:
        return ""
    lines = patch.splitlines()
    files = dict.fromkeys(line[4:].split("\t")[0].removeprefix("b/") for line in lines if line.startswith("+++ "))
    added = sum(line.startswith("+") and not line.startswith("+++ ") for line in lines)
    gone = sum(line.startswith("-") and not line.startswith("--- ") for line in lines)
    return f"program +{added} −{gone} in {', '.join(printable(name) for name in files)}"


def tried(proposal: Proposal) -> str:
    """All that a proposal sets: its parameters, and how much of the program its patch changes."""
    return " ".join(part for part in (params(proposal.params), program_change(proposal.patch)) if part)


def duration(seconds: float) -> str:
    """ "42 s", "7 min 05 s", "3 h 20 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(completed: int) -> str:
    """ "1 completed trial", "12 completed trials"."""
    return f"{completed} completed trial{'s' if completed != 1 else ''}"


def outcome(trial: Trial, facts: StudyFacts) -> str:
    """One word for what became of a trial: baseline, incumbent, led, discarded, retest, fresh seed, failed …"""
    if trial.number == BASELINE:
        return "baseline"
    if trial.status == "running" and facts.state != "running":
        return "interrupted"
    if trial.status != "completed" or trial.decision is None:
        return trial.status
    if trial.number == facts.study.incumbent:
        return "incumbent"
    if trial.number in facts.fresh:
        return "fresh seed"
    if led(trial):
        return "led"
    return "discarded" if trial.decision.verdict == "discard" else trial.decision.verdict


def led(trial: Trial) -> bool:
    """Whether a trial became the incumbent when it was judged."""
    found = trial.decision
    return found is not None and (
        found.verdict == "keep" or (found.leader == trial.number and trial.number != BASELINE)
    )


def outcomes(facts: StudyFacts) -> str:
    """ "9 discarded, 2 led, 1 incumbent": what became of the trials, the baseline left out."""
    counts = Counter(outcome(trial, facts) for trial in facts.study.trials if trial.number != BASELINE)
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())


def change(trial: Trial, before: Trial | None) -> str:
    """What a trial sets otherwise than an earlier one, in words; all it sets without one."""
    patch = trial.proposal.patch
    program = program_change(patch) if before is None or patch != before.proposal.patch else ""
    if not patch and before is not None and before.proposal.patch:
        program = "the task's own program"
    return " ".join(part for part in (params(changed(trial, before)), program) if part) or "nothing but the seed"


def changed(trial: Trial, before: Trial | None) -> dict[str, Scalar]:
    """The parameters in which a trial differs from an earlier one; all of them without one."""
    known = before.proposal.params if before else {}
    return {name: value for name, value in trial.proposal.params.items() if known.get(name) != value}
