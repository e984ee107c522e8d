"""The tracker `wandb`: brings the lifecycle hooks to Weights & Biases."""

import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import BASELINE, Study, Tracker, Trial, hookimpl
from overnight_tracker_wandb import contents
from overnight_tracker_wandb.checkpoint import checkpoint_artifact, log_checkpoint
from overnight_tracker_wandb.config import WandbConfig
from overnight_tracker_wandb.redact import redact
from overnight_tracker_wandb.session import RunSpec, Session, WentOffline
from overnight_tracker_wandb.transaction_log import history

if TYPE_CHECKING:
    from wandb import Run

_TABLE_EVERY_S = 60.0  # each table is a whole new file: not after every trial of a quick study
_GIVE_UP_AFTER = 3  # failed hooks in a row


class WandbError(Exception):
    """Something could not be shown on W&B; the message says what and what happens now."""


class WandbTracker(Tracker):
    """Weights & Biases: a run for the study, one per trial, the incumbent's checkpoint; offline without credentials.

    Says what went wrong once, by raising WandbError from the hook in which it did; what later
    fails is counted in `notes`. After three failed hooks in a row it shows nothing any more.
    """

    Config = WandbConfig

    def __init__(self, config: WandbConfig) -> None:
        self._config = config
        self._session: Session | None = None
        self._run: Run | None = None
        self._spec: RunSpec | None = None  # of the study's run
        self._resumed = False
        self._trials: dict[int, Run] = {}
        self._ended: set[int] = set()  # trials whose run this controller has finished
        self._shown: set[int] = set()  # trials that have their row in the study's history
        self._reached: dict[int, tuple[int, int]] = {}  # trial → (attempt, step) last shown
        self._table_at = -float("inf")  # monotonic seconds
        self._failures: list[str] = []
        self._in_a_row = 0
        self._left_out: list[str] = []
        self._tell_once: str | None = None

    @hookimpl
    def study_started(self, study: Study) -> None:
        """Open the study's run; after a resume, add what the earlier controller did not get to show."""
        self._attempt("start", self._start, study)

    @hookimpl
    def trial_proposed(self, study: Study, trial: Trial) -> None:
        """Open the trial's run."""
        self._attempt(f"open the run of trial {trial.number}", self._open_trial, study, trial)

    @hookimpl
    def trial_reported(self, study: Study, trial: Trial, step: int, metrics: Mapping[str, float]) -> None:
        """Add a step to the trial's run."""
        self._attempt(f"show a step of trial {trial.number}", self._show_step, study, trial, step, metrics)

    @hookimpl
    def trial_finished(self, study: Study, trial: Trial) -> None:
        """Finish the trial's run and add the trial to the study's."""
        self._attempt(f"show the end of trial {trial.number}", self._end_trial, study, trial)

    @hookimpl
    def incumbent_changed(self, study: Study, trial: Trial) -> None:
        """Log the incumbent's checkpoint."""
        self._attempt(f"show incumbent {trial.number}", self._show_incumbent, study, trial)

    @hookimpl
    def study_finished(self, study: Study) -> None:
        """Finish every run, wait a bounded time for uploads and stop the client."""
        try:
            self._attempt("finish", self._finish, study)
        finally:
            if self._session is not None:
                self._session.close()

    def notes(self) -> list[str]:
        """Where the runs are, how to upload them, and what could not be shown."""
        lines = list(dict.fromkeys(self._left_out))
        session = self._session
        if session is not None and session.mode == "disabled":
            lines.append("disabled by WANDB_MODE=disabled")
        elif session is not None:
            folder = session.wandb_folder
            if session.url:
                lines.append(session.url)
            if session.wrote_offline:
                place = shlex.quote(str(folder)) + "/offline-run-*"
                lines.append(f"offline run in {folder}; upload with: wandb sync {place}")
            if session.unsent:
                places = " ".join(shlex.quote(place) for place in sorted(session.unsent))
                lines.insert(-1, f"not wholly uploaded; first finish with: wandb sync --no-skip-online {places}")
        if self._failures:
            stopped = ", after which nothing more was shown" if self._in_a_row >= _GIVE_UP_AFTER else ""
            lines.append(f"{len(self._failures)} updates failed{stopped}; the first: {self._failures[0]}")
        return [f"W&B: {line}" for line in lines]

    def _attempt(self, what: str, action: Callable[..., object], *arguments: Any) -> None:
        if self._in_a_row >= _GIVE_UP_AFTER or (self._session is not None and self._session.mode == "disabled"):
            return
        try:
            gone = self._online_or_offline(action, *arguments)
            self._in_a_row = 0
        except Exception as error:
            self._in_a_row += 1
            self._failures.append(f"could not {what} ({type(error).__name__}: {error})")
            if len(self._failures) == 1:
                raise WandbError(self._failures[0]) from error
            return
        if gone:
            raise WandbError(gone)

    def _online_or_offline(self, action: Callable[..., object], *arguments: Any) -> str | None:
        """Do it; if W&B is gone, do it again offline and return why."""
        try:
            if self._session is not None:
                self._session.check()
            action(*arguments)
        except WentOffline as gone:
            self._trials.clear()
            self._run = self._live().open(self._spec) if self._run and self._spec else None
            action(*arguments)
            return str(gone)
        told, self._tell_once = self._tell_once, None
        return told

    def _start(self, study: Study) -> None:
        if self._session is None:
            self._begin(study)
        session = self._live()
        if session.mode == "disabled":
            return
        run_id = contents.study_run_id(study)
        words = contents.tags("study", study.task, study.policy, study.executor, *self._config.tags)
        self._spec = RunSpec(run_id, study.name, "study", redact(study.config), words)
        before = history(session.wandb_folder, run_id) if study.resumed else []
        self._run = run = session.open(self._spec)
        if run.offline:
            self._shown = {row["trial"] for row in before if "trial" in row}
        else:
            # The server knows how many rows it has; their order is the same for every controller.
            self._shown = {row["trial"] for row in list(contents.rows(study))[: run.starting_step]}
        self._show_study(study)
        if study.resumed and study.incumbent != BASELINE:
            self._show_incumbent(study, study.trial(study.incumbent))

    def _begin(self, study: Study) -> None:
        folder = Path(self._config.dir).expanduser().absolute() if self._config.dir else study.directory
        session = Session(self._config, folder, group=contents.study_run_id(study))
        try:
            self._tell_once = session.start()
        except Exception:
            self._in_a_row = _GIVE_UP_AFTER  # no client, nothing to show: not even to try
            raise
        self._session, self._resumed = session, study.resumed

    def _open_trial(self, study: Study, trial: Trial) -> "Run":
        if trial.number in self._trials:
            return self._trials[trial.number]
        session = self._live()
        run_id = contents.trial_run_id(study, trial.number)
        name = f"{study.name} " + ("baseline" if trial.number == BASELINE else f"#{trial.number}")
        words = contents.tags(*contents.trial_tags(study, trial), *self._config.tags)
        before = history(session.wandb_folder, run_id) if self._resumed else []
        run = session.open(RunSpec(run_id, name, "trial", contents.trial_config(study, trial), words))
        # A retried attempt starts its steps anew, so the axis is our own step and not W&B's counter.
        run.define_metric("train/step", hidden=True)
        run.define_metric("train/*", step_metric="train/step")
        last = run.summary if not run.offline else (before[-1] if before else {})
        if (step := last.get("train/step")) is not None:
            self._reached.setdefault(trial.number, (int(last.get("train/attempt") or 1), int(step)))
        self._trials[trial.number] = run
        return run

    def _show_step(self, study: Study, trial: Trial, step: int, metrics: Mapping[str, float]) -> None:
        if trial.number in self._ended:
            return
        run = self._open_trial(study, trial)
        here = (trial.attempt, step)
        if here > self._reached.get(trial.number, (0, -1)):
            self._reached[trial.number] = here
            run.log(contents.live_row(trial, step, metrics))

    def _end_trial(self, study: Study, trial: Trial) -> None:
        if trial.number not in self._ended:
            self._close_trial(study, trial)
        self._show_study(study)

    def _close_trial(self, study: Study, trial: Trial) -> None:
        run = self._open_trial(study, trial)
        run.tags = contents.tags(*contents.trial_tags(study, trial), *self._config.tags)
        run.summary.update(contents.trial_summary(trial))
        if trial.status == "running":  # the study was interrupted
            run.mark_preempting()
        del self._trials[trial.number]
        if trial.status != "running":
            self._ended.add(trial.number)
        self._live().finish(run, exit_code=0 if trial.status == "completed" else 1)

    def _show_study(self, study: Study, last: bool = False) -> None:
        import wandb

        run = self._study_run()
        for row in contents.rows(study):
            if row["trial"] not in self._shown:
                self._shown.add(row["trial"])
                run.log(row)
        run.summary.update(contents.study_summary(study) | {"resumed": self._resumed})
        if last or time.monotonic() - self._table_at >= _TABLE_EVERY_S:
            columns, cells = contents.table(study)
            table = wandb.Table(columns=list(columns), data=cells, allow_mixed_types=True)
            self._live().call("the trial table", lambda: run.summary.update({"trials": table}))
            self._table_at = time.monotonic()

    def _show_incumbent(self, study: Study, trial: Trial) -> None:
        run = self._study_run()
        run.summary.update(contents.study_summary(study) | {"resumed": self._resumed})
        if self._config.log_checkpoint:
            artifact = checkpoint_artifact(study, trial, self._config.max_artifact_mb)
            if isinstance(artifact, str):
                self._left_out.append(artifact)
                return
            self._live().call("the checkpoint", lambda: log_checkpoint(run, artifact, trial))

    def _finish(self, study: Study) -> None:
        for number in sorted(self._trials):
            self._close_trial(study, study.trial(number))
        if study.finished is not None:
            # Test scores exist only now, and only now is it known who stays the incumbent.
            for number in sorted({BASELINE, study.incumbent} & {trial.number for trial in study.trials}):
                trial = study.trial(number)
                if trial.status != "running":
                    self._close_trial(study, trial)
        self._show_study(study, last=True)
        run = self._study_run()
        if study.finished is None:
            run.mark_preempting()
        self._live().finish(run, exit_code=0 if study.finished is not None else 1)

    def _live(self) -> Session:
        if self._session is None:
            raise WandbError("the study's run was never started")
        return self._session

    def _study_run(self) -> "Run":
        if self._run is None:
            raise WandbError("the study's run could not be opened")
        return self._run
