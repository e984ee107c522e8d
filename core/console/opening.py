"""Opening a console: the live view on a terminal, plain lines elsewhere."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from core.console.live import LiveConsole
from core.console.plain import PlainConsole
from core.journal.events import Entry, Phase
from core.journal.facts import StudyFacts
from core.study.observer import Observer


class QuietConsole:
    """An observer that shows nothing."""

    def recorded(self, entry: Entry, facts: StudyFacts) -> None:
        """See Observer."""

    def progressed(self, trial: int, phase: Phase, step: int, total: int | None, metrics: Mapping[str, float]) -> None:
        """See Observer."""


@contextmanager
def open_console(kind: str = "auto", stream: TextIO | None = None) -> Iterator[Observer]:
    """The observer for `console=kind`: "live", "plain", "quiet", or "auto" for what fits the stream."""
    out = stream or sys.stdout
    if kind == "auto":
        kind = (
            "live" if out.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR") else "plain"
        )
    if kind == "live":
        with LiveConsole(out) as live:
            yield live
    else:
        yield QuietConsole() if kind == "quiet" else PlainConsole(out)
