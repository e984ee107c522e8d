"""The notifier: calls the lifecycle hooks of trackers in a thread of its own, in order."""

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pluggy

from core.contracts import Study, Tracker
from core.journal import events as ev
from core.journal.events import Entry, Phase
from core.journal.facts import StudyFacts


class Notifier:
    """Turns journal entries into hook calls (see core/hookspecs.py).

    A hook that raises is put into `problems` once and never stops anything; a slow one delays
    only other hooks. `told` collects the trials whose `trial_finished` went through.
    """

    def __init__(self, manager: pluggy.PluginManager, trackers: Mapping[str, Tracker]) -> None:
        self._manager = manager
        self._trackers = dict(trackers)
        self._calls: queue.SimpleQueue[tuple[str, dict[str, Any]] | None] = queue.SimpleQueue()
        self.problems: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.told: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._reported: set[tuple[str, str]] = set()
        self._study: Study | None = None
        for name, tracker in self._trackers.items():
            manager.register(tracker, name=f"tracker:{name}")
        self._thread = threading.Thread(target=self._work, name="trackers", daemon=True)
        self._thread.start()

    def recorded(self, entry: Entry, facts: StudyFacts) -> None:
        """Queue the hook calls that an event means. See Observer."""
        self._study = study = facts.study
        match entry.event:
            case ev.ControllerStarted(resumed=resumed):
                self._call("study_started", study=replace(study, resumed=resumed))
            case ev.TrialProposed(trial=number):
                self._call("trial_proposed", study=study, trial=study.trial(number))
            case ev.TrialEnded(trial=number):
                self.finished(study, number)
            case ev.IncumbentChanged(trial=number) if number:
                self._call("incumbent_changed", study=study, trial=study.trial(number))
            case ev.StudyFinished() | ev.StudyInterrupted():
                self._call("study_finished", study=study)

    def finished(self, study: Study, number: int) -> None:
        """Queue `trial_finished`; also used after a resume for trials that were never told."""
        self._call("trial_finished", study=study, trial=study.trial(number))

    def progressed(self, trial: int, phase: Phase, step: int, total: int | None, metrics: Mapping[str, float]) -> None:
        """Queue `trial_reported` for training steps. See Observer."""
        if phase == "train" and self._study is not None:
            found = self._study.trial(trial)
            self._call("trial_reported", study=self._study, trial=found, step=step, metrics=dict(metrics))

    def close(self, timeout_s: float) -> Sequence[str]:
        """Wait at most `timeout_s` seconds for the queued calls, then collect the trackers' notes."""
        self._calls.put(None)
        self._thread.join(timeout_s)
        late = self._thread.is_alive()
        if late:
            self.problems.put(
                f"trackers did not finish within {timeout_s:g} s; what they had not sent is missing there"
            )
        notes: list[str] = []
        for name, tracker in self._trackers.items():
            self._manager.unregister(name=f"tracker:{name}")
            if not late:
                try:
                    notes += tracker.notes()
                except Exception as error:  # noqa: BLE001 - a stranger's hook; it is reported below
                    self._problem(f"tracker:{name}", "notes", error)
        return notes

    def _call(self, hook: str, **arguments: Any) -> None:
        self._calls.put((hook, arguments))

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            hook, arguments = call
            for implementation in getattr(self._manager.hook, hook).get_hookimpls():
                try:
                    implementation.function(*(arguments[name] for name in implementation.argnames))
                except Exception as error:  # noqa: BLE001 - a stranger's hook; it is reported, the study goes on
                    self._problem(implementation.plugin_name, hook, error)
            if hook == "trial_finished":
                self.told.put(arguments["trial"].number)

    def _problem(self, plugin: str, hook: str, error: Exception) -> None:
        if (plugin, hook) not in self._reported:
            self._reported.add((plugin, hook))
            self.problems.put(f"{plugin}: {hook} failed ({type(error).__name__}: {error}); the study goes on")


def drain(source: "queue.SimpleQueue[Any]", deadline: float = 0.0) -> list[Any]:
    """Everything that is in a queue now (or arrives until `deadline`, monotonic seconds)."""
    found: list[Any] = []
    while True:
        try:
            found.append(source.get(timeout=max(0.0, deadline - time.monotonic())) if deadline else source.get_nowait())
        except queue.Empty:
            return found
