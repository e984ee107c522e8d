"""Tracker `jsonlines`: one line per lifecycle hook, in the study directory."""

import json

from core import PluginConfig, Tracker, hookimpl


class JsonLines(Tracker):
    """Writes every lifecycle event as a JSON line into the study directory."""

    class Config(PluginConfig):
        """file: name in the study directory. fail_in: the hook that raises, for tests."""

        file: str = "events.jsonl"
        fail_in: str = ""

    def __init__(self, config):
        self._config = config
        self._path = None

    @hookimpl
    def study_started(self, study):
        self._write(study, "study_started", resumed=study.resumed)

    @hookimpl
    def trial_proposed(self, study, trial):
        self._write(study, "trial_proposed", trial=trial.number)

    @hookimpl
    def trial_reported(self, study, trial, step, metrics):
        self._write(study, "trial_reported", trial=trial.number, step=step)

    @hookimpl
    def trial_finished(self, study, trial):
        self._write(study, "trial_finished", trial=trial.number, status=trial.status, score=trial.score)

    @hookimpl
    def incumbent_changed(self, study, trial):
        self._write(study, "incumbent_changed", trial=trial.number, model=(study.directory / "best").exists())

    @hookimpl
    def study_finished(self, study):
        self._write(study, "study_finished", finished=study.finished)

    def notes(self):
        return [f"Events: {self._path}"]

    def _write(self, study, hook, **more):
        if self._config.fail_in == hook:
            raise RuntimeError(f"the tracker is out of order in {hook}")
        self._path = study.directory / self._config.file
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"hook": hook, **more}) + "\n")
