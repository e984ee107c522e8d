"""Left-overs: jobs and bills of earlier controllers, looked for when a study starts and when it ends."""

from core.contracts import BASELINE
from core.journal import events as ev
from core.study import bills, purse, stages
from core.study.parts import Parts
from core.study.patience import Patience, persist
from core.study.recorder import Recorder


def clear(parts: Parts, recorder: Recorder) -> None:
    """Delete what is left and the journal does not know as running, and close bills that were left open.

    Nothing else happens meanwhile, so it gives up after a few tries. Raises StudyStopped.
    """
    fold, executor = recorder.fold, parts.executor
    live, owner = {job.token for job in stages.running_jobs(fold)}, fold.creation.study_id
    reaped = persist(lambda: executor.reap(owner, live), "could not look for left-over jobs", Patience(short=True))
    recorder.record(*purse.left_open(fold))
    if fold.spent()[0]:  # a long journal is not read for a study that cost nothing
        recorder.record(*bills.left_open(recorder.journal.entries(), lambda handle: bills.asked(executor, handle)))
    for machine, usd in reaped.bills.items():
        # One that was made twice, since an answer was lost: it has a bill that no job's is.
        if machine not in {job.handle.id for record in fold.records.values() for job in record.jobs if job.handle}:
            recorder.record(ev.BudgetSettled(f"{owner}/left-over/{machine}", BASELINE, 0.0, usd, 0.0))
    if reaped.tokens:
        recorder.record(ev.Noticed(f"deleted {len(reaped.tokens)} left-over jobs: {', '.join(reaped.tokens)}"))
