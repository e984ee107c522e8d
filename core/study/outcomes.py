"""Outcomes: the events that one job's end means. Pure: facts in, events out."""

from dataclasses import replace

from core.budget.ledger import Price
from core.contracts import BASELINE, ItemScore, JobState, Observation
from core.decision.setaside import refusal, selection
from core.errors import OvernightError, StudyStopped, UsageError
from core.guard.live import Doomed
from core.journal import events as ev
from core.journal.events import Event
from core.journal.fold import JobRecord, TrialRecord
from core.study.effects import Collected
from core.study.failures import Failure, counts_as_retry, explain, retriable
from core.study.stages import retries_used


def job_ended(job: JobRecord, seen: Observation, price: Price, metrics: dict[str, float]) -> list[Event]:
    """The end of a job and its bill: what the executor says it cost, or time × price."""
    cost = price.of(seen.seconds)
    return [
        ev.JobEnded(
            token=job.token,
            trial=job.trial,
            phase=job.phase,
            attempt=job.attempt,
            state=seen.state,
            exit_code=seen.exit_code,
            reason=seen.reason,
            seconds=round(seen.seconds, 3),
            hardware=seen.hardware,
            metrics=metrics,
        ),
        ev.BudgetSettled(job.token, job.trial, round(seen.seconds, 3), seen.usd or cost.usd, cost.gpu_hours),
    ]


def unaffordable(job: JobRecord, why: str) -> tuple[list[Event], OvernightError | None]:
    """A job that was intended, or would have been next, but that the budget does not cover: events,
    and the error that stops the study where it cannot go on without this job."""
    what = f"{job.phase} of trial {job.trial} cannot be started: {why}"
    if job.trial == BASELINE or job.phase == "test":
        return [], StudyStopped(f"{what}; raise the budget on resume")
    return [ev.TrialEnded(job.trial, "failed", what, "budget")], None


def given_up(job: JobRecord) -> list[Event]:
    """The end of a job that was intended and never submitted."""
    ended = ev.JobEnded(job.token, job.trial, job.phase, job.attempt, "cancelled", reason="budget")
    return [ended, ev.BudgetSettled(job.token, job.trial, 0.0, 0.0, 0.0)]


def without_start(job: JobRecord, why: str, kind: str) -> list[Event]:
    """What follows when a job cannot be described, so that nothing was started: the trial failed."""
    ended = ev.JobEnded(job.token, job.trial, job.phase, job.attempt, "failed", reason=why)
    settled = ev.BudgetSettled(job.token, job.trial, 0.0, 0.0, 0.0)
    return _failed([ended, settled], job, Failure(why, kind))[0]


def conclude(
    record: TrialRecord,
    job: JobRecord,
    seen: Observation,
    collected: Collected,
    price: Price,
    retries: int,
    doomed: Doomed | None = None,
    share: float = 0.0,
) -> tuple[list[Event], tuple[ItemScore, ...], OvernightError | None]:
    """What follows from a job's end: events, the item scores to keep, and an error that ends
    the study (its baseline or its preparation failed). share: of the validation items, set aside for
    certification: the score that is recorded is that of the others."""
    number = job.trial
    if seen.state == "succeeded" and collected.absent:
        # By contract there was a result.json when it succeeded: its machine went away with it.
        seen = replace(seen, state="lost", reason="its outputs are gone")
    if doomed is None and retriable(seen):
        if not counts_as_retry(seen) or retries_used(record, job.phase) < retries:
            why = seen.reason or seen.state
            text = f"{job.phase} of trial {number} was lost ({why}); starting attempt {job.attempt + 1}"
            if job.phase == "train":
                text += " from its partial checkpoint" if collected.partial else " from the beginning"
            return [*job_ended(job, seen, price, {}), ev.Noticed(text, number)], (), None
        failure: Failure | None = Failure(f"lost {retries + 1} times ({seen.reason or seen.state})", "executor")
    elif doomed is not None:
        failure = Failure(f"stopped by the guard: {doomed.reason}", doomed.kind)
    else:
        failure = explain(seen, collected, job.deadline_s)
    state: JobState = "failed" if failure else "succeeded"
    events = job_ended(job, replace(seen, state=state), price, collected.metrics)
    if collected.result is not None and (preflight := collected.result.preflight) is not None:
        events.append(ev.PreflightDone(number, preflight))
        doubts = preflight.warnings if failure else (*preflight.warnings, *preflight.refusals)
        events += [ev.Noticed(f"preflight: {text}", number) for text in doubts]
    if failure is not None:
        return _failed(events, job, failure)
    if collected.result is not None and collected.result.stopped_early:
        events.append(ev.Noticed(f"training of trial {number} stopped early, near its deadline", number))
    if collected.evaluation is not None:
        split, whole = collected.evaluation.split, collected.evaluation
        seen_items = selection(whole, share) if split == "validation" else whole
        if number == BASELINE and split == "validation" and share:
            events.append(ev.ItemsSetAside(whole.n - seen_items.n, refusal(whole, share)))
        events.append(ev.TrialEvaluated(number, split, replace(seen_items, items=())))
        return events, collected.evaluation.items, None
    return events, (), None


def _failed(
    events: list[Event], job: JobRecord, failure: Failure
) -> tuple[list[Event], tuple[ItemScore, ...], OvernightError | None]:
    number = job.trial
    if job.phase == "test":
        events.append(ev.Noticed(f"the test evaluation of trial {number} failed: {failure.error}", number))
        return events, (), None
    if number == BASELINE:
        # Not a verdict on the task for ever: the person mends it, then resumes with a new attempt.
        if failure.kind == "preflight":
            said = f"{failure.error} (to go on all the same: guard.preflight=warn)"
            return events, (), UsageError(f"the preflight says that training would be in vain: {said}")
        error = UsageError if failure.kind == "setup" else StudyStopped
        what = "the task could not be prepared" if job.phase == "prepare" else "the baseline could not be evaluated"
        return events, (), error(f"{what}: {failure.error}")
    events.append(ev.TrialEnded(number, "failed", failure.error, failure.kind))
    return events, (), None
