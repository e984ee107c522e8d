"""Left-overs: jobs and bills of earlier controllers, looked for when a study starts and when it ends."""

from collections.abc import Mapping

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
    if reaped.bills and (unknown := _unknown(reaped.bills, recorder)):
        cost = sum(bill.usd for bill in unknown)
        machines = ", ".join(bill.token.rpartition("/")[2] for bill in unknown)
        recorder.record(*unknown, ev.Noticed(f"charged ${cost:.2f} for machines that no job was given: {machines}"))
    if reaped.tokens:
        recorder.record(ev.Noticed(f"deleted {len(reaped.tokens)} left-over jobs: {', '.join(reaped.tokens)}"))


def _unknown(bills: Mapping[str, float], recorder: Recorder) -> list[ev.BudgetSettled]:
    """The bills of machines that are no job's, since an answer was lost and another was made; each once."""
    events = [entry.event for entry in recorder.journal.entries()]
    ours = {event.handle.id for event in events if isinstance(event, ev.JobSubmitted)}
    owner = recorder.fold.creation.study_id
    settled = {event.token for event in events if isinstance(event, ev.BudgetSettled)}
    tokens = {f"{owner}/left-over/{machine}": usd for machine, usd in bills.items() if machine not in ours}
    return [ev.BudgetSettled(token, BASELINE, 0.0, usd, 0.0) for token, usd in tokens.items() if token not in settled]
