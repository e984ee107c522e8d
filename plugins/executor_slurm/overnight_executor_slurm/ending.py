"""Ends jobs: asks Slurm in a rising tone, and never more often than it can bear."""

import threading
import time
from collections.abc import Sequence

from overnight_executor_slurm.commands import Slurm
from overnight_executor_slurm.jobfolder import JobFolder
from overnight_executor_slurm.listing import Record

# Seconds between two requests to end a job that does not, at least.
_AGAIN_S = 5.0


class Ending:
    """What was asked of which job, and when. Lost on a restart without harm: it is asked again."""

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm
        self._lock = threading.Lock()  # over the dictionary, instant
        self._asked_at: dict[str, float] = {}

    def begun(self, place: JobFolder) -> bool:
        """Whether this job was asked before."""
        return place.path.name in self._asked_at

    def forget(self, place: JobFolder) -> None:
        """It is gone."""
        with self._lock:
            self._asked_at.pop(place.path.name, None)

    def ask(self, place: JobFolder, alive: Sequence[Record], grace_s: float) -> None:
        """First SIGTERM to the job's supervisor, which allows the job `grace_s` seconds; then, to what
        is still there after them, SIGKILL and scancel. Raises SlurmError."""
        now, asked, traces = time.monotonic(), place.asked(), place.traces()
        with self._lock:
            before = self._asked_at.get(place.path.name)
            if before is not None and now - before < max(_AGAIN_S, asked + 1.0 if asked is not None else 0.0):
                return None
            self._asked_at[place.path.name] = now
        jobs = [record.id for record in alive]
        if traces.ended is not None and before is None:
            return None  # it is about to be over by itself
        if asked is None:
            place.ask(grace_s)
        if traces.began and traces.ended is None:
            # Its step alone: srun, in the batch script, would answer SIGTERM by killing the step at once.
            if asked is None and traces.exists:
                return self._slurm.cancel(jobs, "TERM")
            if before is not None:
                self._slurm.cancel([f"{job}.0" for job in jobs], "KILL")
        return self._slurm.cancel(jobs)
