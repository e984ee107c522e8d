"""The recorder: the one way in which a study changes: journal, then fold, then observers."""

from collections.abc import Mapping, Sequence

from core.contracts import ItemScore
from core.journal import snapshot
from core.journal.events import Event, Phase
from core.journal.fold import Fold
from core.journal.store import Journal
from core.study.observer import Observer


class Recorder:
    """Writes events and keeps the fold in step with the journal. Used from one thread only."""

    def __init__(self, journal: Journal, fold: Fold, observers: Sequence[Observer] = ()) -> None:
        self.journal = journal
        self.fold = fold
        self._observers = list(observers)

    def watch(self, observer: Observer) -> None:
        """Tell one more observer from now on."""
        self._observers.append(observer)

    def record(self, *events: Event, items: Sequence[ItemScore] = ()) -> None:
        """Make events durable, all or none, then tell the observers one by one.

        Raises JournalError when the journal cannot be written.
        """
        if not events:
            return
        for entry in self.journal.append(*events, items=items):
            self.fold.apply(entry)
            facts = self.fold.facts()
            for observer in self._observers:
                observer.recorded(entry, facts)
        snapshot.keep(self.journal, self.fold)

    def progress(self, trial: int, phase: Phase, step: int, total: int | None, metrics: Mapping[str, float]) -> None:
        """Pass a running job's step on; not journaled."""
        for observer in self._observers:
            observer.progressed(trial, phase, step, total, metrics)
