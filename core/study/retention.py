"""Retention: the checkpoints of trials that nobody needs any more are deleted."""

import shutil

from core.contracts import BASELINE
from core.journal.fold import Fold
from core.study.layout import Layout


class Retention:
    """Keeps the incumbent's checkpoint, those of trials that are not over or that the trackers have yet
    to be told of, and those that the decision rule may return to."""

    def __init__(self, fold: Fold, layout: Layout, keep: str) -> None:
        self._fold, self._layout = fold, layout
        self._over = keep == "all"
        self._waiting = [number for number in fold.ended if number != BASELINE]
        self._looked = len(fold.ended)

    def prune(self) -> None:
        """Delete what became superfluous since the last call."""
        if self._over:
            return
        fold = self._fold
        self._waiting += [number for number in fold.ended[self._looked :] if number != BASELINE]
        self._looked = len(fold.ended)
        needed = {fold.incumbent, *fold.test_opened, *fold.contenders}
        for number in [n for n in self._waiting if n not in needed and n in fold.told]:
            # A folder that cannot be deleted takes room and does no harm.
            shutil.rmtree(self._layout.checkpoint(number), ignore_errors=True)
            self._waiting.remove(number)
