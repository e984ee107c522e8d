"""A recorded study, read from its directory: the public door to what an earlier study tried."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from core.contracts import BASELINE, Objective, SetupError, Space, Trial


@dataclass(frozen=True)
class RecordedStudy:
    """What an earlier study tried, and how it went.

    directory: where it stands. name: for people. seed: the study's. space: what it searched. trials: all it
    proposed, by number, without the baseline; those that had not ended have status "running".
    """

    directory: Path
    name: str
    objective: Objective
    seed: int
    space: Space
    baseline: Trial | None
    trials: tuple[Trial, ...]


def recorded_study(directory: str | PathLike[str]) -> RecordedStudy:
    """The study in a directory, read beside a running controller; its journal is left as it is.

    Raises SetupError, with a message for people, where there is no study or its journal cannot be read.
    """
    from core.errors import OvernightError
    from core.journal.fold import Fold
    from core.journal.store import FILENAME, Journal

    place = Path(directory).expanduser()
    if not place.is_dir():
        raise SetupError(f"{place} is no study: there is no such directory")
    try:
        with Journal.open(place / FILENAME, readonly=True) as journal:
            fold = Fold(place.resolve())
            for entry in journal.entries():
                fold.apply(entry)
            space, study = fold.space, fold.study()
    except OvernightError as error:
        raise SetupError(str(error)) from None
    known: Mapping[int, Trial] = {trial.number: trial for trial in study.trials}
    trials = tuple(known[number] for number in sorted(known) if number != BASELINE)
    return RecordedStudy(place.resolve(), study.name, study.objective, study.seed, space, known.get(BASELINE), trials)
