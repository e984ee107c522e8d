"""An observer: what the study loop tells whoever watches it (the terminal, the trackers)."""

from collections.abc import Mapping
from typing import Protocol

from core.journal.events import Entry, Phase
from core.journal.facts import StudyFacts


class Observer(Protocol):
    """Watches a study from outside; called on the study's thread, must return at once."""

    def recorded(self, entry: Entry, facts: StudyFacts) -> None:
        """An event was journaled; `facts` includes it."""
        ...

    def progressed(self, trial: int, phase: Phase, step: int, total: int | None, metrics: Mapping[str, float]) -> None:
        """A running job reported a step."""
        ...
