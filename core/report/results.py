"""results.tsv: one line a trial, in the columns of autoresearch."""

from core.contracts import BASELINE, Trial
from core.journal.facts import StudyFacts
from core.report.wording import params

# autoresearch's words for the same three outcomes.
_STATUS = {"keep": "keep", "discard": "discard", "retest": "discard"}


def results_tsv(facts: StudyFacts) -> str:
    """trial, <metric>, seconds, status (keep, discard, crash), description."""
    rows = [["trial", facts.study.objective.metric, "seconds", "status", "description"]]
    for trial in facts.study.trials:
        if trial.status == "running":
            continue
        score = "" if trial.score is None else f"{trial.score:.6f}"
        rows.append([str(trial.number), score, f"{trial.seconds:.1f}", _status(trial), _describe(trial)])
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)


def _status(trial: Trial) -> str:
    if trial.number == BASELINE:
        return "keep"
    if trial.status != "completed":
        return "crash"
    return _STATUS[trial.decision.verdict] if trial.decision else "discard"


def _describe(trial: Trial) -> str:
    if trial.number == BASELINE:
        return "baseline: the untouched starting model"
    what = params(trial.proposal.params)
    return f"{what} ({trial.error})" if trial.error else what
