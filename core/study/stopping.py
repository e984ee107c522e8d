"""Stopping: what happens to running jobs when a study cannot go on, and what is recorded of it."""

import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

from core.contracts import Observation
from core.errors import JournalError
from core.journal import events as ev
from core.journal.fold import JobRecord
from core.study import bills, effects, stages
from core.study.outcomes import job_ended
from core.study.parts import Parts
from core.study.patience import Patience
from core.study.recorder import Recorder
from core.study.watch import JobWatch, billed


def stop(
    parts: Parts, recorder: Recorder, pool: ThreadPoolExecutor, patience: Patience, watches: Mapping[str, JobWatch]
) -> None:
    """Cancel all running jobs and record the end of those that are gone; name those that are not."""
    grace = parts.settings.grace_s
    running = [job for job in stages.running_jobs(recorder.fold) if job.handle is not None]
    cancels = [
        (job, pool.submit(effects.cancel, parts.executor, job.handle, grace, patience)) for job in running if job.handle
    ]
    wait([future for _, future in cancels], timeout=grace + 35)
    try:
        left = []
        for job, future in cancels:
            if future.done() and future.exception() is None:
                recorder.record(*_stopped(parts, recorder, job, watches.get(job.token)))
            else:
                left.append(job.token)
        if left:
            text = f"could not stop {', '.join(left)}: what still runs ends at its deadline; resume looks after it"
            recorder.record(ev.Noticed(text))
    except JournalError:
        return  # the disk refuses; the jobs are gone, resume will find them lost


def say_interrupted(recorder: Recorder, why: Exception) -> None:
    """Record that the study stopped before its end."""
    try:
        recorder.record(ev.StudyInterrupted(str(why)))
    except JournalError as error:
        # A full disk: `why` is about to be reported, and nothing that counts was lost.
        print(f"could not record the interruption: {error}", file=sys.stderr)


def _stopped(parts: Parts, recorder: Recorder, job: JobRecord, watch: JobWatch | None) -> list[ev.Event]:
    """The end of a job that was cancelled because the study stops; its machine is gone."""
    seen = Observation(job.token, "cancelled", reason="interrupted")
    if watch is not None:
        seen = billed(watch, seen, time.monotonic())
    if not seen.seconds:
        seen = replace(seen, seconds=_age(recorder, job))
    if (charged := bills.asked(parts.executor, job.handle)) is not None:
        seen = replace(seen, usd=charged)
    return [*job_ended(job, seen, parts.price, {}), *bills.closed(recorder.fold.reserved.get(job.token))]


def _age(recorder: Recorder, job: JobRecord) -> float:
    trial = recorder.fold.records[job.trial].trial
    return max(0.0, recorder.journal.elapsed_s - trial.started_s - trial.seconds)
