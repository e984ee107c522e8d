"""Stages: what each trial needs next, read off the fold; the reason why resume is the same loop."""

from core.contracts import BASELINE, Observation, Proposal, Trial
from core.errors import StudyStopped
from core.journal.events import Phase
from core.journal.fold import Fold, JobRecord, TrialRecord
from core.study.failures import counts_as_retry


def phases(fold: Fold, record: TrialRecord) -> tuple[Phase, ...]:
    """The jobs of a trial, in order; `test` only once the test split is open for it."""
    number = record.trial.number
    first: Phase = "prepare" if number == BASELINE else "train"
    test: tuple[Phase, ...] = ("test",) if number in fold.test_opened else ()
    return (first, "validation", *test)


def next_phase(fold: Fold, record: TrialRecord) -> Phase | None:
    """The first phase that has not succeeded; None when all have."""
    for phase in phases(fold, record):
        job = record.job(phase)
        if job is None or job.ended is None or job.ended.state != "succeeded":
            return phase
    return None


def active(fold: Fold, slots: int) -> list[TrialRecord]:
    """Trials for which something is to be done now, by number.

    A running trial has its slot. The test evaluations that are opened together take turns where
    there are fewer slots than they are.
    """
    free = slots - len(running_jobs(fold))
    found = []
    for record in [fold.records[n] for n in sorted(fold.open.keys() | set(fold.test_opened)) if n in fold.records]:
        if record.trial.status == "running":
            found.append(record)
        elif record.trial.number in fold.test_opened and not test_over(fold, record):
            job = record.job("test")
            in_flight = job is not None and job.ended is None
            if in_flight or free > 0:
                found.append(record)
            free -= 0 if in_flight else 1
    return found


def test_over(fold: Fold, record: TrialRecord) -> bool:
    """Whether the test evaluation of an opened trial was made or has failed for good: once an opening."""
    if record.trial.test is not None:
        return True
    ended = [job.ended for job in record.jobs if job.phase == "test" and job.ended is not None]
    return sum(end.state == "failed" for end in ended) >= max(1, fold.test_openings)


def running_jobs(fold: Fold) -> list[JobRecord]:
    """Jobs that were intended and have not ended."""
    return fold.running_jobs


def retries_used(record: TrialRecord, phase: Phase) -> int:
    """How often a phase was lost to its machine (not to its controller)."""
    ended = [job.ended for job in record.jobs if job.phase == phase and job.ended is not None]
    return sum(
        1
        for end in ended
        if end.state != "succeeded" and counts_as_retry(Observation("", end.state, reason=end.reason))
    )


def undecided(fold: Fold) -> list[TrialRecord]:
    """Evaluated trials that nobody has judged yet: the baseline, then in the order of evaluation."""
    waiting = [record for record in fold.open.values() if record.trial.evaluation is not None]
    return sorted(waiting, key=lambda record: (record.trial.number != BASELINE, record.evaluated_seq))


def retests_due(fold: Fold) -> list[Proposal]:
    """Repeats of the trials whose rule asked for a retest that was not proposed yet, oldest first."""
    due = [fold.records[n].trial for n in fold.ended if _verdict(fold.records[n].trial) == "retest"]
    proposed = [
        record.trial.proposal.parent
        for number, record in fold.records.items()
        if record.trial.proposal.retest and number not in fold.fresh
    ]
    reason = "retest of trial {}: the decision rule asked for a fresh seed"
    return [
        Proposal(t.proposal.params, t.proposal.patch, t.number, None, True, reason.format(t.number))
        for t in due
        if t.number not in proposed
    ]


def baseline_seconds(fold: Fold) -> float:
    """Seconds that evaluating the baseline took; 0 while unknown."""
    job = fold.records[BASELINE].job("validation")
    return job.ended.seconds if job and job.ended else 0.0


def evaluated_on(fold: Fold) -> str | None:
    """The kind of machine on which the baseline was evaluated; None while unknown."""
    job = fold.records[BASELINE].job("validation") if BASELINE in fold.records else None
    return (job.ended.hardware or None) if job and job.ended and job.ended.state == "succeeded" else None


def stop_if_hopeless(fold: Fold, since: int, most: int) -> None:
    """Raise StudyStopped where `most` trials failed in a row. since: how many had ended when this controller
    began; what failed before it, a person may have mended."""
    count = 0
    for place in range(len(fold.ended) - 1, since - 1, -1):  # without a copy: it is asked at every tick
        trial = fold.records[fold.ended[place]].trial
        if trial.status == "completed":
            return
        count += trial.status == "failed"
        if count >= most:
            last = fold.records[fold.ended[-1]].trial
            raise StudyStopped(f"{most} trials failed in a row (max_failures), the last one: {last.error}")


def _verdict(trial: Trial) -> str | None:
    return trial.decision.verdict if trial.decision else None


NO_TEST = "no test split was opened: the task's scores are self-reported"


def self_reported(fold: Fold) -> bool:
    """Whether training computed the scores of the baseline or the incumbent itself."""
    finals = [fold.records[number].trial.evaluation for number in (BASELINE, fold.incumbent)]
    return any(evaluation is not None and evaluation.self_reported for evaluation in finals)
