"""What a killed controller costs: Overnight, autoresearch-rl and an Optuna loop, each killed at random instants.

    pip install autoresearch-rl==0.5.* optuna         # into a virtual environment of its own
    python benchmarks/kill_sweep.py --kills 200 --trials 50 --seed 1 --peers VENV/bin/python --json FILE

Each system runs studies of the same work (a subprocess that sleeps through ten steps of 0.2 s and
prints a score), is killed with SIGKILL at a seeded random time after each start, and is resumed as
its documentation says, until it was killed so often; a finished study is followed by a new one,
and the last is let finish. Only the controller's own process is killed. One second later the processes
of the study that still live are counted and ended. What really ran is told by the work itself,
in a file beside the study that no system knows of; what a system lost is what its own record
showed after some kill and no longer shows at the end.

- Overnight: `python -m core`, random policy, local executor with two slots, then `resume`. Its
  trials are a training and an evaluation; the baseline and the test split come on top. The task
  comes from a distribution of its own, kill_sweep_peers/overnight_witness, which is installed with
  pip into a temporary folder: it is the bowl of the example distribution and tells the witness.
- autoresearch-rl from PyPI: `run` then `resume`, a local command target with train_cmd and eval_cmd,
  the random policy (its grid and random policies need no LLM), its default engine (one trial at a
  time) and its parallel engine (two). A run that ends early by its own forecast is resumed until
  all iterations are there. Its record is results.tsv and the checkpoint's history together: a
  trial that either has is not lost. Before its first checkpoint there is nothing to `resume`, and the
  study is begun anew, as with the others when they had not yet recorded anything.
- Optuna: `study.optimize` on JournalStorage with JournalFileBackend, n_jobs=2, load_if_exists; see
  kill_sweep_peers/optuna_loop.py for how trials left RUNNING are queued again.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from kill_sweep_peers import counting
from kill_sweep_peers.systems import AutoresearchRL, AutoresearchRLParallel, Optuna, Overnight, Place, Record

_SYSTEMS = {kind.name: kind for kind in (Overnight, AutoresearchRL, AutoresearchRLParallel, Optuna)}
_EARLIEST_S, _LATEST_S, _LOOK_AFTER_S, _PATIENCE_S = 0.2, 5.0, 1.0, 600.0
_ROWS = {
    "kills": "kills of the controller",
    "studies": "studies finished",
    "anew": "begun anew: nothing was recorded yet",
    "finished": "trials in the final records",
    "lost": "finished trials lost",
    "rerun_recorded": "recorded trials trained again",
    "rerun_finished": "finished jobs run again",
    "rerun_settings": "finished settings trained again",
    "kills_leaving": "kills that left processes running",
    "processes_left": "processes left running after 1 s",
    "not_resumed": "studies that could not be resumed",
    "thrown_away_s": "seconds of work thrown away",
    "thrown_away_percent": "the same, % of all work",
}


def processes_of(folder: Path) -> list[int]:
    """Living processes that carry the study's path as working directory, argument or environment."""
    mark, found = str(folder).encode(), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            state = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
            told = b"\0".join([(entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()])
            place = os.fsencode((entry / "cwd").readlink())
            if state not in "ZX" and (mark + b"/" in told or place.startswith(mark)):
                found.append(int(entry.name))
    return found


def described(pids: list[int]) -> list[str]:
    """The command lines of processes, for the notes."""
    lines = []
    for pid in pids:
        with contextlib.suppress(OSError):
            lines.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[-160:])
    return lines


class Sweep:
    """One system under the sweep."""

    def __init__(self, system: Any, root: Path, kills: int, seed: int) -> None:
        self.system, self.root, self.kills = system, root / system.name, kills
        self.rng = random.Random(f"{seed}/{system.name}")
        self.counts: Counter[str] = Counter()
        self.thrown = self.worked = 0.0
        self.notes: list[str] = []
        self.studies = 0

    def run(self) -> dict[str, Any]:
        """All studies until the kills are done and the last has finished; the counts."""
        while self.counts["kills"] < self.kills:
            self.study()
            print(f"{self.system.name}: {self.counts['kills']} kills", file=sys.stderr, flush=True)
        worked = max(self.worked, 1e-9)
        self.counts.update(dict.fromkeys(_ROWS, 0))
        row = {key: self.counts[key] for key in _ROWS}
        row["thrown_away_s"] = round(self.thrown, 1)
        row["thrown_away_percent"] = round(100 * self.thrown / worked, 1)
        return {"system": self.system.name, "version": self.system.version, **row, "notes": self.notes}

    def study(self) -> None:
        """One study: started, killed and resumed until it has finished or cannot go on."""
        self.studies += 1
        place = self._new_place()
        command = self.system.start(place)
        seen: dict[int, tuple[float, float]] = {}  # trial: score, when it was first seen in the record
        idle_exits = 0
        while True:
            killed = self._life(place, command)
            before, record = len(seen), self.system.record(place)
            for trial, score in record.scores.items():
                seen.setdefault(trial, (score, time.monotonic()))
            if record.over and not killed:
                self.counts["studies"] += 1
                break
            idle_exits = idle_exits + 1 if not killed and len(seen) == before else 0
            resume = self.system.resume(place)
            if idle_exits == 2 or (resume is None and seen):
                self.counts["not_resumed"] += 1
                self._note(f"study {place.number} could not be resumed: {self._said(place)}")
                break
            if resume is None:
                self.counts["anew"] += 1
                self._add(place, seen, record)
                place = self._new_place()
            command = resume or self.system.start(place)
        self._add(place, seen, self.system.record(place))

    def _life(self, place: Place, command: list[str]) -> bool:
        """Run a controller until its kill (True) or its own end; the last kills done, until its end."""
        output = (place.folder / "output.txt").open("ab")
        started = time.monotonic()
        with output:
            controller = subprocess.Popen(
                command,
                cwd=place.folder,
                env=self.system.environment(place),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        last = self.counts["kills"] >= self.kills
        patience = _PATIENCE_S if last else self.rng.uniform(_EARLIEST_S, _LATEST_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            controller.wait(patience)
            return False
        controller.send_signal(signal.SIGKILL)
        controller.wait()
        if last:
            self._note(f"study {place.number} had not ended {_PATIENCE_S:.0f} s after its last start")
            return False
        self.counts["kills"] += 1
        time.sleep(_LOOK_AFTER_S)
        left = processes_of(place.folder)
        self.counts["kills_leaving"] += bool(left)
        self.counts["processes_left"] += len(left)
        if left:
            after = time.monotonic() - started - _LOOK_AFTER_S
            self._note(f"study {place.number}, killed {after:.2f} s after its start, left: {described(left)}")
        while left:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
            left = processes_of(place.folder)
        return True

    def _add(self, place: Place, seen: dict[int, tuple[float, float]], final: Record) -> None:
        work = counting.attempts(place.witness)
        lost = [trial for trial, (score, _) in seen.items() if final.scores.get(trial) != score]
        again = counting.repeated(work)
        if (lost or again) and self.system.name == "overnight":
            self._note(f"study {place.number}: lost {lost}, {again} finished jobs run again ({place.folder})")
        self.counts["finished"] += len(final.scores)
        self.counts["lost"] += len(lost)
        self.counts["rerun_recorded"] += counting.repeated_after_record(work, {t: at for t, (_, at) in seen.items()})
        self.counts["rerun_finished"] += again
        self.counts["rerun_settings"] += counting.repeated(work, by_settings=True)
        thrown, worked = counting.thrown_away(work, final.scores)
        self.thrown += thrown
        self.worked += worked

    def _new_place(self) -> Place:
        number = self.studies + self.counts["anew"]
        place = Place(self.root / f"study-{number}", number)
        place.folder.mkdir(parents=True)
        place.witness.parent.mkdir(exist_ok=True)
        return place

    def _said(self, place: Place) -> str:
        return (place.folder / "output.txt").read_text(errors="replace")[-600:]

    def _note(self, text: str) -> None:
        self.notes.append(f"after {self.counts['kills']} kills: {text}")


def table(results: list[dict[str, Any]]) -> str:
    """Fixed-width text, a column per system."""
    heads = [f"{result['system']} {result['version']}" for result in results]
    lines = [" " * 38 + "".join(f"{head:>33}" for head in heads)]
    lines += [f"{label:<38}" + "".join(f"{result[key]:>33}" for result in results) for key, label in _ROWS.items()]
    return "\n".join(lines)


def main() -> int:
    """Sweep each system, print the table."""
    parser = argparse.ArgumentParser(description="Kill controllers at random instants and count what it costs.")
    parser.add_argument("--kills", type=int, default=200, help="of each system")
    parser.add_argument("--trials", type=int, default=50, help="of a study")
    parser.add_argument("--seed", type=int, default=1, help="of the instants")
    parser.add_argument("--peers", help="a Python that has autoresearch-rl and optuna; without it, Overnight alone")
    parser.add_argument("--systems", nargs="+", choices=_SYSTEMS, default=list(_SYSTEMS), help="to sweep, in turn")
    parser.add_argument("--keep", type=Path, help="a new folder to keep all studies in")
    parser.add_argument("--json", type=Path, help="file for the same rows")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kill-sweep-")))
        root = root.absolute()
        root.mkdir(parents=True, exist_ok=True)
        results = []
        for name in args.systems:
            if name == "overnight" or args.peers:
                system = _SYSTEMS[name](root, args.trials, args.peers)
                results.append(Sweep(system, root, args.kills, args.seed).run())
    print(table(results))
    if args.json:
        args.json.write_text(json.dumps({"seed": args.seed, "trials": args.trials, "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
