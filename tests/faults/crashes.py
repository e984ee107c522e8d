"""Studies whose controllers are killed at chosen points, one after the other, until they are whole."""

import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from core.study.launch import read_facts
from support import QUICK, overnight
from witness import events, lost, none_left, processes_of, repeated

DRIVER = Path(__file__).with_name("driver.py")


@dataclass
class Crashes:
    """What a sweep did. killed: the points at which a controller died. orphans: processes found
    after a kill. missed: points that never came before the study's end."""

    directory: Path
    trials: int
    settings: tuple[str, ...] = ()
    killed: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    orphans: int = 0
    output: str = ""

    def sweep(self, points: Iterable[tuple[str, int]]) -> None:
        """Start the study, or resume it, once for every (point, occurrence); the controller dies there."""
        for kind, nth in points:
            code = self.controller(kind, nth)
            if code == -signal.SIGKILL:
                self.killed.append(kind)
                if not none_left(self.directory):
                    self.orphans += len(list(processes_of(self.directory)))
            else:
                assert code == 0, self.output
                self.missed.append(kind)

    def finish(self) -> None:
        """Resume until the study is finished."""
        if not self.finished():
            assert self.controller("none", 1) == 0, self.output

    def finished(self) -> bool:
        """Whether the study is over."""
        return (self.directory / "journal.db").exists() and read_facts(self.directory).state == "finished"

    def start(self) -> subprocess.Popen[str]:
        """A controller of a new study, in a process of its own, to be sent signals."""
        return subprocess.Popen(
            [sys.executable, "-m", "core", *self._new()],
            cwd=self.directory.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _new(self) -> list[str]:
        return [*QUICK, f"budget.trials={self.trials}", *self.settings, f"dir={self.directory}"]

    def controller(self, kind: str, nth: int) -> int:
        """Run one controller of the study to its end; its exit code."""
        trace = self.directory.parent / "trace"
        started = (self.directory / "journal.db").exists() and events(self.directory)
        if started and self.finished():
            command = ["report", str(self.directory)]
        elif started:
            command = ["resume", str(self.directory)]
        else:
            command = self._new()
        ran = subprocess.run(
            [sys.executable, str(DRIVER), kind, str(nth), str(trace), *command],
            cwd=self.directory.parent,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        self.output = ran.stdout + ran.stderr
        return ran.returncode

    def tell(self, tally: object) -> None:
        """Add what was found to a tally (see conftest)."""
        found = {
            "injected": len(self.killed),
            "lost": lost(self.directory, self.trials),
            "repeated": repeated(self.directory),
            "orphaned": self.orphans + len(list(processes_of(self.directory))),
        }
        for name, value in found.items():
            setattr(tally, name, getattr(tally, name) + value)


def whole(directory: Path) -> None:
    """Status and report can be made of what there is."""
    for command in ("status", "report"):
        ran = overnight(command, directory, cwd=directory.parent)
        assert ran.returncode == 0, ran.stdout + ran.stderr
