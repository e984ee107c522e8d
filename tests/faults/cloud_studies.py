"""Whole studies on the faulty cloud, and what the fault did to them, counted against its ledger."""

from collections import Counter
from pathlib import Path
from typing import Any

from core.journal import events as ev
from core.journal.store import Journal
from core.plugins import discover
from core.study.launch import Outcome, create, resume
from faults.conftest import Tally
from faults.faulty_cloud import FaultyCloud
from support import study_config

USD = 300.0
SLOW_STEPS = {"name": "quadratic", "step_s": 0.3}
DEADLINE = {"prepare_s": 30.0, "train_s": 20.0, "evaluate_s": 20.0}


class CloudStudy:
    """One study in this process: a dollar a second, one trial unless said otherwise."""

    def __init__(self, directory: Path, cloud: FaultyCloud) -> None:
        self.directory, self.cloud, self.usd = directory, cloud, USD

    def run(self, usd: float = USD, executor: dict[str, Any] | None = None, **changes: Any) -> Outcome:
        """Run a new study to its end or its stop."""
        self.usd = usd
        self.directory.mkdir()
        changes = {"budget": {"trials": 1, "usd": usd}, "deadline": DEADLINE, "task": SLOW_STEPS, **changes}
        node = self.cloud.node(**(executor or {}))
        return create(study_config(self.directory, executor=node, **changes), self.directory, discover())

    def resume(self) -> Outcome:
        """Take it up again."""
        return resume(self.directory, discover())

    def events(self) -> list[ev.Event]:
        return recorded(self.directory)

    def attempts(self, phase: str = "train") -> list[tuple[int, str]]:
        """(attempt, state) of the ended jobs of a phase of trial 1, in order."""
        ended = [e for e in self.events() if isinstance(e, ev.JobEnded) and e.trial == 1 and e.phase == phase]
        return [(e.attempt, e.state) for e in ended]

    def ledger(self, token: str) -> float:
        """US dollars that the journal charges jobs with these words in their token."""
        return sum(e.usd for e in self.events() if isinstance(e, ev.BudgetSettled) and token in e.token)

    def count(self, tally: Tally, trials: int = 1) -> None:
        """Add what happened to the tally."""
        tally.injected += self.cloud.injected
        tally.lost += lost(self.directory, trials)
        tally.repeated += repeated(self.directory)
        tally.orphaned += self.cloud.orphans()
        tally.overspent += max(0.0, self.cloud.usd - self.usd)


def recorded(directory: Path) -> list[ev.Event]:
    """The journal's events."""
    with Journal.open(directory / "journal.db", readonly=True) as journal:
        return [entry.event for entry in journal.entries()]


def lost(directory: Path, trials: int) -> int:
    """Trials that did not complete."""
    ended = [e for e in recorded(directory) if isinstance(e, ev.TrialEnded)]
    return trials + 1 - sum(e.status == "completed" for e in ended)


def repeated(directory: Path) -> int:
    """Jobs that ran to success more than once, or whose end was recorded more than once."""
    ended = [e for e in recorded(directory) if isinstance(e, ev.JobEnded)]
    successes = Counter((e.trial, e.phase) for e in ended if e.state == "succeeded")
    ends = Counter(e.token for e in ended)
    return sum(n - 1 for n in (*successes.values(), *ends.values()))
