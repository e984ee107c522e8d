"""Recorded studies for tests: a journal as the study loop writes it, without training anything."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.contracts import BASELINE, Evaluation, Objective, Proposal, Space
from core.contracts.codec import to_plain
from core.journal import events as ev
from core.journal.store import FILENAME, Journal


def _record(
    directory: Path,
    space: Space,
    tried: Sequence[tuple[Mapping[str, Any], float | None]],
    direction: Any = "maximize",
    retests: Sequence[int] = (),
) -> Path:
    """A study that tried these points; a score of None is a failed trial. retests: the trials, from 1, that were."""
    directory.mkdir(parents=True, exist_ok=True)
    plain = {name: to_plain(param) for name, param in space.items()}
    with Journal.create(directory / FILENAME) as journal:
        journal.append(ev.StudyCreated("s", "earlier", Objective("accuracy", direction), plain, 5, {}))
        journal.append(ev.TrialProposed(BASELINE, Proposal(rationale="baseline")))
        for number, (params, score) in enumerate(tried, 1):
            retest = number in retests
            journal.append(
                ev.TrialProposed(number, Proposal(dict(params), retest=retest, rationale=f"recorded {number}"))
            )
            if score is None:
                journal.append(ev.TrialEnded(number, "failed", "boom", "exception"))
            else:
                found = Evaluation("validation", "accuracy", score, 100, score - 0.05, score + 0.05)
                journal.append(ev.TrialEvaluated(number, "validation", found), ev.TrialEnded(number, "completed"))
    return directory


@pytest.fixture(scope="session")
def record() -> Callable[..., Path]:
    """Makes a recorded study: see _record."""
    return _record
