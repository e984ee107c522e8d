"""results.tsv: one line a trial, in the columns of autoresearch, then our own."""

import hashlib
import json

from core.contracts import BASELINE, Trial
from core.journal.facts import StudyFacts
from core.report.wording import led, tried
from core.worker.timing import GPU_MEMORY, MEMORY


def results_tsv(facts: StudyFacts) -> str:
    """commit, <metric>, memory_gb, status, description; then trial, seconds.

    status: keep (it led), discard or crash, which are autoresearch's words.
    commit: a fingerprint of the trial's parameters, patch and seed, since parameters are not committed to git.
    memory_gb: the most that training held on the GPU, or in all where there is none; the score and
    it are empty where there is none.
    """
    rows = [["commit", facts.study.objective.metric, "memory_gb", "status", "description", "trial", "seconds"]]
    for trial in facts.study.trials:
        if trial.status == "running":
            continue
        score = "" if trial.score is None else f"{trial.score:.6f}"
        memory = trial.metrics.get(GPU_MEMORY, trial.metrics.get(MEMORY))
        held = "" if memory is None else f"{memory:.1f}"
        ours = [str(trial.number), f"{trial.seconds:.1f}"]
        rows.append([_fingerprint(trial), score, held, _status(trial), _describe(trial), *ours])
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)


def _fingerprint(trial: Trial) -> str:
    proposal = trial.proposal
    patch = [proposal.patch] if proposal.patch else []
    identity = [dict(proposal.params), proposal.seed, trial.number == BASELINE, *patch]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:7]


def _status(trial: Trial) -> str:
    if trial.number == BASELINE:
        return "keep"
    if trial.status != "completed":
        return "crash"
    return "keep" if led(trial) else "discard"


def _describe(trial: Trial) -> str:
    if trial.number == BASELINE:
        return "baseline: the untouched starting model"
    what = tried(trial.proposal)
    return f"{what} ({trial.error})" if trial.error else what
