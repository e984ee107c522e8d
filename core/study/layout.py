"""Where things stand in a study directory."""

import os
from dataclasses import dataclass
from pathlib import Path

from core.contracts import BASELINE
from core.journal.events import Phase
from core.journal.store import FILENAME
from core.worker.spec import CHECKPOINT, PARTIAL


@dataclass(frozen=True)
class Layout:
    """The paths of one study. directory: absolute."""

    directory: Path

    @property
    def journal(self) -> Path:
        return self.directory / FILENAME

    @property
    def workspace(self) -> Path:
        """Where the executor keeps its own state; gone or empty once the study is over."""
        return self.directory / ".executor"

    @property
    def best(self) -> Path:
        """A link to the incumbent's checkpoint."""
        return self.directory / "best"

    def trial(self, number: int) -> Path:
        return self.directory / "trials" / f"{number:04d}"

    def checkpoint(self, number: int) -> Path:
        return self.trial(number) / CHECKPOINT

    def partial(self, number: int) -> Path:
        """The partial checkpoints that a lost attempt left, until the trial has trained."""
        return self.trial(number) / PARTIAL

    def order(self, number: int, phase: Phase) -> Path:
        """The spec.json that a job of this phase was given."""
        return self.trial(number) / ("job.json" if phase == "train" else f"{phase}.job.json")

    def log(self, number: int, phase: Phase) -> Path:
        return self.trial(number) / ("log.txt" if phase == "train" else f"{phase}.log.txt")

    def items(self, number: int, phase: Phase) -> Path:
        return self.trial(number) / ("evaluation.jsonl" if phase == "validation" else f"{phase}.evaluation.jsonl")

    def metrics(self, number: int, phase: Phase) -> Path:
        return self.trial(number) / ("metrics.jsonl" if phase == "train" else f"{phase}.metrics.jsonl")

    def point_best_at(self, number: int) -> None:
        """Make `best` lead to a trial's checkpoint, at once (relative, so that copies work); to nothing
        for the baseline, which has none."""
        if number == BASELINE:
            self.best.unlink(missing_ok=True)
            return
        partial = self.directory / ".best.partial"
        partial.unlink(missing_ok=True)
        partial.symlink_to(os.path.relpath(self.checkpoint(number), self.directory))
        partial.replace(self.best)
