"""The fold: a study's state, computed from its journal and from nothing else."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.contracts import BASELINE, BudgetView, Handle, Param, Preflight, Space, Study, StudyView, Trial
from core.contracts.codec import from_plain
from core.errors import JournalError
from core.journal import events as ev
from core.journal.events import Entry, Phase
from core.journal.facts import Limits, Notice, StudyFacts, StudyState


@dataclass
class JobRecord:
    """One job of a trial: intended, then submitted (a handle), then ended."""

    token: str
    trial: int
    phase: Phase
    attempt: int
    deadline_s: float
    handle: Handle | None = None
    ended: ev.JobEnded | None = None


@dataclass
class TrialRecord:
    """A trial with its jobs, the newest last."""

    trial: Trial
    jobs: list[JobRecord] = field(default_factory=list)
    evaluated_seq: int = 0

    def job(self, phase: Phase) -> JobRecord | None:
        """The latest job of a phase."""
        return next((job for job in reversed(self.jobs) if job.phase == phase), None)


class Fold:
    """A study's state; `apply` each entry in order."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.created: ev.StudyCreated | None = None
        self.config: dict[str, Any] = {}
        self.records: dict[int, TrialRecord] = {}
        self.incumbent = 0
        self.notices: list[Notice] = []
        self.reserved: dict[str, ev.BudgetReserved] = {}
        self.settled: list[ev.BudgetSettled] = []
        self.ended: list[int] = []
        self.told: set[int] = set()
        self.test_opened: tuple[int, ...] = ()
        self.preflight: Preflight | None = None
        self.finished: str | None = None
        self.state: StudyState = "running"
        self.controllers = 0
        self.created_at = self.updated_at = self.elapsed_s = 0.0

    @property
    def creation(self) -> ev.StudyCreated:
        """The first event. Raises JournalError for a journal whose study was never created."""
        if self.created is None:
            raise JournalError(f"{self.directory} holds a journal in which no study was created; start again elsewhere")
        return self.created

    def apply(self, entry: Entry) -> None:
        """Take one more event into account."""
        self.updated_at, self.elapsed_s = entry.at, entry.elapsed_s
        match entry.event:
            case ev.StudyCreated() as event:
                self.created, self.config, self.created_at = event, event.config, entry.at
            case ev.ControllerStarted(config=config):
                self.controllers += 1
                self.state = "running"
                self.config = config or self.config
            case ev.TrialProposed(trial=number, proposal=proposal):
                self.records[number] = TrialRecord(Trial(number, proposal, started_s=entry.elapsed_s))
            case ev.BudgetReserved(token=token) as event:
                self.reserved[token] = event
            case ev.BudgetSettled() as event:
                self._settle(event)
            case ev.JobIntended(token, number, phase, attempt, deadline_s):
                self.records[number].jobs.append(JobRecord(token, number, phase, attempt, deadline_s))
                self._update(number, attempt=max(attempt, self.records[number].trial.attempt))
            case ev.JobSubmitted(token=token, trial=number, handle=handle):
                self._job(number, token).handle = handle
            case ev.JobEnded() as event:
                self._end_job(event)
            case ev.PreflightDone(preflight=found):
                self.preflight = found
            case ev.TrialEvaluated(trial=number, split="validation", evaluation=evaluation):
                self.records[number].evaluated_seq = entry.seq
                self._update(number, evaluation=evaluation)
            case ev.TrialEvaluated(trial=number, evaluation=evaluation):
                self._update(number, test=evaluation)
            case ev.TrialDecided(trial=number, decision=decision):
                self._update(number, decision=decision)
            case ev.TrialEnded(trial=number, status=status, error=error, error_kind=kind):
                self._update(number, status=status, error=error, error_kind=kind, ended_s=entry.elapsed_s)
                self.ended.append(number)
            case ev.IncumbentChanged(trial=number):
                self.incumbent = number
            case ev.TestOpened(trials=trials):
                self.test_opened = trials
            case ev.Noticed(text=text, trial=about):
                self.notices.append(Notice(text, entry.elapsed_s, about))
            case ev.TrackersTold(trial=number):
                self.told.add(number)
            case ev.StudyInterrupted():
                self.state = "interrupted"
            case ev.StudyFinished(reason=reason):
                self.state, self.finished = "finished", reason

    def _settle(self, event: ev.BudgetSettled) -> None:
        self.reserved.pop(event.token, None)
        self.settled.append(event)
        trial = self.records[event.trial].trial
        self._update(
            event.trial,
            seconds=trial.seconds + event.seconds,
            usd=trial.usd + event.usd,
            gpu_hours=trial.gpu_hours + event.gpu_hours,
        )

    def _end_job(self, event: ev.JobEnded) -> None:
        self._job(event.trial, event.token).ended = event
        trial = self.records[event.trial].trial
        metrics = {**trial.metrics, **event.metrics} if event.phase == "train" else trial.metrics
        self._update(event.trial, metrics=metrics, hardware=event.hardware or trial.hardware)

    def _job(self, number: int, token: str) -> JobRecord:
        return next(job for job in reversed(self.records[number].jobs) if job.token == token)

    def _update(self, number: int, **changes: Any) -> None:
        record = self.records[number]
        record.trial = replace(record.trial, **changes)

    # What others see.

    @property
    def space(self) -> Space:
        """The search space the study was created with."""
        return Space({name: from_plain(Param, plain) for name, plain in self.creation.space.items()})  # type: ignore[arg-type]

    @property
    def open_records(self) -> list[TrialRecord]:
        """Trials that have not ended, by number."""
        return [record for record in self.records.values() if record.trial.status == "running"]

    def limits(self) -> Limits:
        """The budget in the configuration now in force."""
        budget = self.config.get("budget") or {}
        hours = budget.get("wall_clock_hours")
        return Limits(
            budget.get("trials"),
            hours * 3600 if hours is not None else None,
            budget.get("usd"),
            budget.get("gpu_hours"),
        )

    def spent(self) -> tuple[float, float]:
        """US dollars and GPU-hours settled so far."""
        return sum(entry.usd for entry in self.settled), sum(entry.gpu_hours for entry in self.settled)

    def study(self, resumed: bool | None = None) -> Study:
        """The snapshot that trackers and reports get."""
        created, config = self.creation, self.config
        usd, gpu_hours = self.spent()
        return Study(
            id=created.study_id,
            name=created.name,
            directory=self.directory,
            task=str(config.get("task", {}).get("name", "")),
            policy=str(config.get("policy", {}).get("name", "")),
            executor=str(config.get("executor", {}).get("name", "")),
            objective=created.objective,
            seed=created.seed,
            config=config,
            trials=tuple(record.trial for record in self.records.values()),
            incumbent=self.incumbent,
            resumed=self.controllers > 1 if resumed is None else resumed,
            finished=self.finished,
            seconds=self.elapsed_s,
            usd=usd,
            gpu_hours=gpu_hours,
        )

    def view(self, budget: BudgetView, space: Space) -> StudyView:
        """What a policy may base its next proposals on."""
        trials = tuple(self.records[number].trial for number in self.ended if number != BASELINE)
        running = tuple(record.trial for record in self.open_records if record.trial.number != BASELINE)
        baseline = self.records[BASELINE].trial if BASELINE in self.records else None
        return StudyView(
            space=space,
            objective=self.creation.objective,
            seed=self.creation.seed,
            baseline=baseline if baseline and baseline.evaluation else None,
            trials=trials,
            running=running,
            incumbent=self.incumbent,
            budget=budget,
        )

    def facts(self) -> StudyFacts:
        """Everything known now, for console, report and status."""
        phases: dict[int, str] = {}
        for record in self.records.values():
            live = [job for job in record.jobs if job.ended is None]
            if live:
                phases[record.trial.number] = live[-1].phase
        return StudyFacts(
            study=self.study(),
            space=self.space,
            limits=self.limits(),
            state=self.state,
            notices=tuple(self.notices),
            phases=phases,
            preflight=self.preflight,
            versions=self.creation.versions,
            created_at=self.created_at,
            updated_at=self.updated_at,
            controllers=self.controllers,
            test_opened=self.test_opened,
        )
