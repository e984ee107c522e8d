"""Looks at jobs: what their folders say, and where that is not enough one listing of the queue."""

import threading
import time
from collections.abc import Sequence

from core import Observation, Resources
from overnight_executor_slurm import offers, states
from overnight_executor_slurm.commands import Slurm, SlurmError
from overnight_executor_slurm.config import SlurmConfig
from overnight_executor_slurm.jobfolder import JobFolder
from overnight_executor_slurm.listing import Record


class Watching:
    """Observes jobs. What it remembers is lost on a restart without harm: final verdicts are in the folders."""

    def __init__(self, config: SlurmConfig, slurm: Slurm) -> None:
        self._config, self._slurm = config, slurm
        self._lock = threading.Lock()  # over the dictionaries, instant
        self._odd_since: dict[str, float] = {}
        self._types: dict[str, str | None] = {}

    def forget(self, place: JobFolder) -> None:
        """It is gone."""
        with self._lock:
            self._odd_since.pop(place.path.name, None)
            self._types.pop(place.path.name, None)

    def observe(self, jobs: Sequence[tuple[str, JobFolder]]) -> list[Observation]:
        """All jobs (token, folder), with at most one question to Slurm. Raises SlurmError."""
        listed: list[Record] | None = None
        seen = []
        for token, place in jobs:
            if outcome := place.outcome():
                seen.append(self._observation(token, place, *outcome))
                continue
            traces = place.traces()
            verdict, seconds = states.settled(traces), (traces.ended or {}).get("seconds", 0.0)
            if verdict is None:
                listed = self._slurm.queue() if listed is None else listed
                known = place.among(listed)
                verdict = self._judged(place, traces, known)
                seconds = seconds or max((record.seconds for record in known), default=0.0)
            if verdict.final:
                place.conclude(verdict, seconds)
            seen.append(self._observation(token, place, verdict, seconds))
        return seen

    def _judged(self, place: JobFolder, traces: states.Traces, known: Sequence[Record]) -> states.Verdict:
        name, now = place.path.name, time.monotonic()
        with self._lock:
            since = self._odd_since.get(name, now)
        verdict = states.judge(traces, known, now - since, self._config.lost_after_s)
        if verdict.final:
            # What the job wrote while Slurm was being asked counts more.
            verdict = states.settled(place.traces()) or verdict
        with self._lock:
            if verdict.odd:
                self._odd_since.setdefault(name, now)
            else:
                self._odd_since.pop(name, None)
        return verdict

    def _observation(self, token: str, place: JobFolder, verdict: states.Verdict, seconds: float) -> Observation:
        return Observation(
            token=token,
            state=verdict.state,
            exit_code=verdict.exit_code,
            reason=verdict.reason,
            seconds=seconds,
            usd=seconds / 3600 * self._config.usd_per_hour,
            hardware=self._hardware(place),
        )

    def _hardware(self, place: JobFolder) -> str:
        """The kind of machine it runs on, in the words of `offers`; empty while it has none, or nobody knows."""
        told, node = place.order(), place.node()
        if not told or not node:
            return ""
        request = Resources(cpus=told["cores"], gpus=told["gpus"])
        wanted = told["gres"].rpartition(":")[0].partition(":")[2]
        got = wanted if wanted or not request.gpus else self._type_on(place, node)
        return "" if got is None else offers.hardware(request, got)

    def _type_on(self, place: JobFolder, node: str) -> str | None:
        """The GPUs that a job got which took any, None = it is not known."""
        name = place.path.name
        if name in self._types:
            return self._types[name]
        try:
            nodes = self._slurm.nodes(max_age_s=3600.0)
        except SlurmError:
            return None  # asked again with the next look
        types = next((list(found.gpus) for found in nodes if found.name == node), [])
        with self._lock:
            self._types[name] = types[0] if len(types) == 1 else None
            return self._types[name]
