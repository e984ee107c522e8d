"""What the studies of a sweep leave of their ends, one small file each, where the process that launched them looks."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import ClassVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

FOLDER = ".outcomes"


@dataclass(frozen=True)
class Record:
    """One study of a sweep. number: hydra.job.num. words: its overrides. code: of its end, see
    core.errors.EXIT_CODES; None = it began and has not said how it ended. error: what was wrong, or "".
    """

    number: int
    directory: str
    words: str = ""
    code: int | None = None
    error: str = ""


class Records:
    """The records of one sweep, in a folder of its directory; each is written whole, by rename."""

    def __init__(self, sweep: Path) -> None:
        self._folder = sweep / FOLDER

    def clear(self) -> None:
        """Forget what an earlier sweep left in this directory."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, record: Record) -> None:
        """Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{record.number}.partial"
        partial.write_text(json.dumps(asdict(record)), encoding="utf-8")
        partial.replace(self._folder / f"{record.number}.json")

    def read(self) -> list[Record]:
        """All records, in the order of the studies."""
        found = [Record(**json.loads(path.read_text(encoding="utf-8"))) for path in self._folder.glob("*.json")]
        return sorted(found, key=lambda record: record.number)

    def find(self, number: int) -> Record | None:
        """The record of one study, None if it has not begun."""
        return next((record for record in self.read() if record.number == number), None)

    def ask_to_stop(self, signal: int) -> None:
        """Have every study of the sweep stop, wherever it runs, as if it got this signal; twice: at once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "stop").open("a", encoding="ascii") as file:
            file.write(f"{signal}\n")

    def asked_to_stop(self) -> list[int]:
        """The signals so far; the studies look for them, and none is started any more."""
        try:
            return [int(line) for line in (self._folder / "stop").read_text(encoding="ascii").splitlines()]
        except OSError:
            return []


@dataclass(frozen=True)
class Sweep:
    """A sweep that began. directory: its own. launcher: Hydra's name for it. studies: how many there
    will be, None where a sweeper decides that meanwhile."""

    directory: Path
    launcher: str
    studies: int | None

    @property
    def side_by_side(self) -> bool:
        """Whether its studies run in other processes."""
        return self.launcher != "basic"


class Beginning(Callback):
    """Named in conf/config.yaml: only here does Hydra tell the launching process what it begins.

    sweep: of this process; Hydra builds the callback by itself, so that there is no instance to ask.
    then: what is called with it.
    """

    sweep: ClassVar[Sweep | None] = None
    then: ClassVar[list[Callable[[Sweep], None]]] = []

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Called by Hydra once, before the first study of the sweep is launched."""
        choices = config.hydra.runtime.choices
        studies = _count(config) if choices.get("hydra/sweeper") == "basic" else None
        directory = Path(config.hydra.sweep.dir).absolute()
        Beginning.sweep = Sweep(directory, str(choices.get("hydra/launcher")), studies)
        Records(directory).clear()
        for call in Beginning.then:
            call(Beginning.sweep)
        if Beginning.sweep.side_by_side:  # it may say nothing before the last study has ended
            print(f"Sweep of {studies or 'several'} studies in {directory}, by launcher {Beginning.sweep.launcher}")
            print(f"See where it stands with: python -m core status {directory}", flush=True)


def _count(config: DictConfig) -> int:
    extra = OmegaConf.to_container(config.hydra.sweeper.get("params") or OmegaConf.create({}))
    assert isinstance(extra, dict)
    words: Sequence[str] = [*(f"{key!s}={value}" for key, value in extra.items()), *config.hydra.overrides.task]
    values = {}
    for override in OverridesParser.create().parse_overrides(list(words)):
        swept = override.is_sweep_override() and override.is_discrete_sweep()
        values[override.get_key_element()] = len(list(override.sweep_string_iterator())) if swept else 1
    return prod(values.values())
