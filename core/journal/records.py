"""Records: a trial with its jobs as the fold keeps them, and as the snapshot stores them."""

import json
from dataclasses import dataclass
from typing import Any

from core.contracts import Handle, Trial
from core.journal import events as ev
from core.journal.events import Phase
from core.journal.rows import Row


@dataclass
class JobRecord:
    """One job of a trial: intended, then submitted (a handle), then ended. since: when it was
    submitted, Unix seconds."""

    token: str
    trial: int
    phase: Phase
    attempt: int
    deadline_s: float
    handle: Handle | None = None
    ended: ev.JobEnded | None = None
    since: float = 0.0


class TrialRecord:
    """A trial with its jobs, the newest last.

    The jobs of a trial that ended long ago stay JSON text until somebody asks for them: of
    100,000 trials hardly any is asked again, and text takes a quarter of the memory.
    """

    __slots__ = ("_jobs", "evaluated_seq", "place", "stored", "trial")

    def __init__(
        self,
        trial: Trial,
        jobs: list[JobRecord] | str | None = None,
        evaluated_seq: int = 0,
        place: int | None = None,
    ) -> None:
        self.trial = trial
        self._jobs: list[JobRecord] | str = [] if jobs is None else jobs
        self.evaluated_seq = evaluated_seq
        self.place = place  # how many trials had ended before this one, once it ended
        self.stored = False  # whether the snapshot has a row of it, be it an old one

    @property
    def jobs(self) -> list[JobRecord]:
        if isinstance(self._jobs, str):
            self._jobs = [JOB.decode(row) for row in json.loads(self._jobs)]
        return self._jobs

    def jobs_text(self) -> str:
        """The jobs as JSON text."""
        return self._jobs if isinstance(self._jobs, str) else json.dumps([JOB.encode(job) for job in self._jobs])

    def job(self, phase: Phase) -> JobRecord | None:
        """The latest job of a phase."""
        return next((job for job in reversed(self.jobs) if job.phase == phase), None)


TRIAL: Row[Trial] = Row(Trial)
JOB: Row[JobRecord] = Row(JobRecord)


def trial_text(record: TrialRecord) -> str:
    """A record without its jobs as JSON text."""
    return json.dumps([record.evaluated_seq, TRIAL.encode(record.trial)], separators=(",", ":"))


def trial_from(row: list[Any], jobs: str, place: int | None) -> TrialRecord:
    """A record from what `trial_text` (parsed) and `jobs_text` made. Raises TypeError, ValueError
    or LookupError for what does not fit."""
    evaluated_seq, trial = row
    return TrialRecord(TRIAL.decode(trial), jobs, evaluated_seq, place)
