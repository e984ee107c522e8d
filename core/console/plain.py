"""Plain lines: one line an event, for logs and for terminals that cannot do more."""

import time
from collections.abc import Mapping
from typing import TextIO

from core.contracts import BASELINE
from core.journal import events as ev
from core.journal.events import Entry, Phase
from core.journal.facts import StudyFacts
from core.report.wording import figure, interval, params, printable, tried

_EVERY_S = 15.0


class PlainConsole:
    """An observer that prints what matters and nothing twice."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._elapsed = 0.0
        self._recorded_at = time.monotonic()
        self._shown: dict[tuple[int, str], float] = {}

    def recorded(self, entry: Entry, facts: StudyFacts) -> None:
        """See Observer."""
        self._elapsed, self._recorded_at = entry.elapsed_s, time.monotonic()
        line = describe(entry, facts)
        if line:
            self._print(line)

    def progressed(self, trial: int, phase: Phase, step: int, total: int | None, metrics: Mapping[str, float]) -> None:
        """See Observer; at most one line every 15 seconds per job, and its last step."""
        now = time.monotonic()
        key = (trial, phase)
        if step != total and now - self._shown.setdefault(key, now) < _EVERY_S:
            return
        self._shown[key] = now
        of = f"/{total}" if total else ""
        values = " ".join(f"{name}={figure(metrics[name])}" for name in ("reward", "loss") if name in metrics)
        self._print(f"trial {trial}: {phase} step {step}{of} {values}".rstrip())

    def _print(self, line: str) -> None:
        seconds = int(self._elapsed + time.monotonic() - self._recorded_at)
        print(f"{seconds // 60:3d}:{seconds % 60:02d}  {printable(line)}", file=self._stream, flush=True)


def describe(entry: Entry, facts: StudyFacts) -> str:
    """An event in one line, or "" for those that only machines need."""
    metric = facts.study.objective.metric
    match entry.event:
        case ev.ControllerStarted(resumed=resumed):
            study = facts.study
            verb = "resuming" if resumed else "starting"
            what = f"task {study.task}, policy {study.policy}, executor {study.executor}"
            return f"{verb} {study.name}: {what} in {study.directory}"
        case ev.PlanMade(text=text):
            return f"plan: {text}"
        case ev.TrialProposed(trial=0):
            return "preparing the task, then measuring the untouched starting model (baseline)"
        case ev.TrialProposed(trial=number, proposal=proposal):
            return f"trial {number}: {tried(proposal)} ({proposal.rationale})"
        case ev.PreflightDone(preflight=found):
            return f"preflight: {params(dict(found.figures))}"
        case ev.TrialEvaluated(trial=0, split="validation", evaluation=evaluation):
            return f"baseline: {metric} {interval(evaluation)} on validation"
        case ev.TrialEvaluated(trial=number, split="test", evaluation=evaluation):
            who = "baseline" if number == BASELINE else f"trial {number}"
            return f"{who}: {metric} {interval(evaluation)} on the test split"
        case ev.TrialEnded(trial=number, status="failed", error=error, error_kind=kind):
            return f"trial {number}: failed ({kind}): {error}"
        case ev.TrialEnded(trial=number) if number:
            trial = facts.study.trial(number)
            if trial.decision is None or trial.evaluation is None:
                return f"trial {number}: {trial.status}"
            decision = trial.decision
            return f"trial {number}: {metric} {interval(trial.evaluation)}: {decision.verdict} ({decision.reason})"
        case ev.IncumbentChanged(trial=number):
            return f"{'the baseline' if number == BASELINE else f'trial {number}'} leads now"
        case ev.CertificationPlanned(text=text):
            return f"certification: {text}"
        case ev.CertificationStarted(trial=number, trials=trials):
            return f"certifying trial {number} with {len(trials)} fresh seeds"
        case ev.TrialCertified(trial=number, certificate=found):
            word = "confirmed" if found.confirmed else "unconfirmed"
            return f"trial {number} is {word}: {found.reason}"
        case ev.TestReopened():
            return "going on after the test split was looked at (--open-test-again)"
        case ev.TestOpened(trials=trials):
            times = "once" if facts.test_openings < 2 else f"again ({facts.test_openings} times by now)"
            return f"opening the test split, {times}, for trials {', '.join(map(str, trials))}"
        case ev.Noticed(text=text):
            return f"notice: {text}"
        case ev.StudyInterrupted(reason=reason):
            return f"stopped: {reason}; everything so far is recorded"
        case ev.StudyFinished(reason=reason):
            return f"finished: {reason}"
    return ""
