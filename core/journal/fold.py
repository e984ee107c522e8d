"""The fold: a study's state, computed from its journal and from nothing else."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.contracts import BASELINE, BudgetView, Certificate, Param, Preflight, Space, Study, StudyView, Trial
from core.contracts.codec import from_plain
from core.errors import JournalError
from core.journal import events as ev
from core.journal.events import Entry
from core.journal.facts import Limits, Notice, RunningJob, StudyFacts, StudyState
from core.journal.records import JobRecord, TrialRecord

__all__ = ["Fold", "JobRecord", "Kept", "TrialRecord"]


@dataclass(frozen=True)
class Kept:
    """What the snapshot holds of a fold. seq: up to which event (0: there is none). trials,
    notices: how many of them have a row there."""

    seq: int = 0
    trials: int = 0
    notices: int = 0


class Fold:
    """A study's state; `apply` each entry in order.

    records: every trial, by number. open: the trials that have not ended, live_jobs: the jobs
    that were intended and have not ended (token → job); both are what changes from tick to tick,
    however long the study. ended: trial numbers in the order in which they ended. told: trials
    that the trackers were told of. certify: the plan of certification; set_aside: what the items
    allow; certifying: the certification begun last; fresh: the trials of all; certificate: the one
    made last. test_openings: how often the test split was opened. settled_*: what was spent so far
    (seconds of jobs, US dollars, GPU-hours; settled_policy_usd: the policy's own share). kept: what
    the snapshot has of it;
    stale: trials that changed since.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.created: ev.StudyCreated | None = None
        self.config: dict[str, Any] = {}
        self.records: dict[int, TrialRecord] = {}
        self.open: dict[int, TrialRecord] = {}
        self.live_jobs: dict[str, JobRecord] = {}
        self.stale: set[int] = set()
        self.kept = Kept()
        self._trials: dict[int, Trial] = {}
        self._space: Space | None = None
        self.incumbent = 0
        self.notices: list[Notice] = []
        self.reserved: dict[str, ev.BudgetReserved] = {}
        self.settled_seconds = self.settled_usd = self.settled_gpu_hours = self.settled_policy_usd = 0.0
        self.ended: list[int] = []
        self.told: set[int] = set()
        self.test_opened: tuple[int, ...] = ()
        self.test_openings = 0
        self.certify: ev.CertificationPlanned | None = None
        self.set_aside: ev.ItemsSetAside | None = None
        self.certifying: ev.CertificationStarted | None = None
        self.certificate: Certificate | None = None
        self.fresh: tuple[int, ...] = ()
        self.preflight: Preflight | None = None
        self.plan: ev.PlanMade | None = None
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
                self._forget_certificate()
            case ev.PlanMade() as event:
                self.plan = event
            case ev.TrialProposed(trial=number, proposal=proposal):
                self.put(TrialRecord(Trial(number, proposal, started_s=entry.elapsed_s)))
            case ev.BudgetReserved(token=token) as event:
                self.reserved[token] = event
            case ev.BudgetSettled() as event:
                self._settle(event)
            case ev.JobIntended(token, number, phase, attempt, deadline_s):
                job = JobRecord(token, number, phase, attempt, deadline_s)
                self.records[number].jobs.append(job)
                self.live_jobs[token] = job
                self._update(number, attempt=max(attempt, self.records[number].trial.attempt))
            case ev.JobSubmitted(token=token, trial=number, handle=handle):
                job = self._job(number, token)
                job.handle, job.since = handle, entry.at
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
                self.open.pop(number, None)
                self.records[number].place = len(self.ended)
                self.ended.append(number)
            case ev.IncumbentChanged(trial=number):
                self.incumbent = number
            case ev.CertificationPlanned() as event:
                self.certify = event
            case ev.ItemsSetAside() as event:
                self.set_aside = event
            case ev.CertificationStarted() as event:
                self.certifying = event
                self.fresh += event.trials
            case ev.TrialCertified(trial=number, certificate=certificate):
                self.certificate = certificate
                self._update(number, confirmed=certificate.confirmed)
            case ev.TestReopened():
                self.finished, self.state, self.test_opened, self.certifying = None, "interrupted", (), None
                self._forget_certificate()
            case ev.TestOpened(trials=trials):
                self.test_opened = trials
                self.test_openings += 1
            case ev.Noticed(text=text, trial=about):
                self.notices.append(Notice(text, entry.elapsed_s, about))
            case ev.TrackersTold(trial=number):
                self.told.add(number)
            case ev.StudyInterrupted():
                self.state = "interrupted"
            case ev.StudyFinished(reason=reason):
                self.state, self.finished = "finished", reason

    def _forget_certificate(self) -> None:
        """One without a test (the budget did not pay for it, its runs failed) may be made up for after a resume."""
        if self.certificate is not None and self.certificate.gain is None and not self.test_opened:
            self.certificate = self.certifying = None

    def put(self, record: TrialRecord) -> None:
        """Take in a record: a trial just proposed, or one from the snapshot."""
        number = record.trial.number
        self.records[number], self._trials[number] = record, record.trial
        if record.trial.status == "running":
            self.open[number] = record
        else:
            self.open.pop(number, None)

    def _settle(self, event: ev.BudgetSettled) -> None:
        self.reserved.pop(event.token, None)
        self.settled_seconds += event.seconds
        self.settled_usd += event.usd
        self.settled_gpu_hours += event.gpu_hours
        if event.trial is None:
            self.settled_policy_usd += event.usd
            return
        trial = self.records[event.trial].trial
        self._update(
            event.trial,
            seconds=trial.seconds + event.seconds,
            usd=trial.usd + event.usd,
            gpu_hours=trial.gpu_hours + event.gpu_hours,
        )

    def _end_job(self, event: ev.JobEnded) -> None:
        self._job(event.trial, event.token).ended = event
        self.live_jobs.pop(event.token, None)
        trial = self.records[event.trial].trial
        metrics = {**trial.metrics, **event.metrics} if event.phase == "train" else trial.metrics
        self._update(event.trial, metrics=metrics, hardware=event.hardware or trial.hardware)

    def _job(self, number: int, token: str) -> JobRecord:
        job = self.live_jobs.get(token)
        return job or next(job for job in reversed(self.records[number].jobs) if job.token == token)

    def _update(self, number: int, **changes: Any) -> None:
        record = self.records[number]
        record.trial = self._trials[number] = replace(record.trial, **changes)
        self.stale.add(number)

    # What others see.

    @property
    def space(self) -> Space:
        """The search space the study was created with."""
        if self._space is None:
            plain = self.creation.space
            self._space = Space({name: from_plain(Param, param) for name, param in plain.items()})  # type: ignore[arg-type]
        return self._space

    @property
    def contenders(self) -> tuple[int, ...]:
        """Trials that the rule said last it may return to."""
        decided = (self.records[number].trial.decision for number in reversed(self.ended))
        return next((decision.contenders for decision in decided if decision), ())

    @property
    def open_records(self) -> list[TrialRecord]:
        """Trials that have not ended, by number."""
        return list(self.open.values())

    @property
    def moving(self) -> dict[int, TrialRecord]:
        """Trials that have not ended or of which a job is under way, by number."""
        numbers = self.open.keys() | {job.trial for job in self.live_jobs.values()}
        return {number: self.records[number] for number in sorted(numbers)}

    @property
    def running_jobs(self) -> list[JobRecord]:
        """Jobs that were intended and have not ended, by trial."""
        return sorted(self.live_jobs.values(), key=lambda job: job.trial)

    def limits(self) -> Limits:
        """The budget in the configuration now in force."""
        return self.limits_of(self.config)

    @staticmethod
    def limits_of(config: dict[str, Any]) -> Limits:
        """The budget in a configuration."""
        budget = config.get("budget") or {}
        hours = budget.get("wall_clock_hours")
        return Limits(
            budget.get("trials"),
            hours * 3600 if hours is not None else None,
            budget.get("usd"),
            budget.get("gpu_hours"),
        )

    def spent(self) -> tuple[float, float]:
        """US dollars and GPU-hours settled so far."""
        return self.settled_usd, self.settled_gpu_hours

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
            trials=tuple(self._trials.values()),
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

    def _running(self) -> tuple[RunningJob, ...]:
        hardware, price = (self.plan.hardware, self.plan.usd_per_hour) if self.plan else ("", 0.0)
        return tuple(
            RunningJob(job.token, job.trial, job.phase, job.attempt, job.since, hardware, price)
            for job in sorted(self.live_jobs.values(), key=lambda job: job.token)
            if job.handle is not None
        )

    def facts(self) -> StudyFacts:
        """Everything known now, for console, report and status."""
        phases: dict[int, str] = {}
        for job in self.running_jobs:
            phases[job.trial] = job.phase
        return StudyFacts(
            study=self.study(),
            space=self.space,
            limits=self.limits(),
            state=self.state,
            notices=tuple(self.notices),
            phases=phases,
            jobs=self._running(),
            policy_usd=self.settled_policy_usd,
            plan=self.plan.text if self.plan else "",
            preflight=self.preflight,
            versions=self.creation.versions,
            created_at=self.created_at,
            updated_at=self.updated_at,
            controllers=self.controllers,
            test_opened=self.test_opened,
            test_openings=self.test_openings,
            certificate=self.certificate,
            certification=self.certify.text if self.certify else "",
            fresh=self.fresh,
            set_aside=self.set_aside.items if self.set_aside else 0,
        )
