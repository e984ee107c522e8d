"""How long a study takes to reopen: `resume` (the fold) and `status` (the facts) against its raw events.

A journal of so many trials (nine to thirteen events each: two jobs, evaluation, decision, trackers) is
written through the recorder's own code, then opened in a process of its own in each of these ways:
`resume` and `status` as the commands do it, `events` by only reading and parsing the JSON of every
event, `rebuild` by folding all events as if there were no snapshot (up to 20,000 trials).

    python benchmarks/journal_reopen.py [TRIALS]
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from core.contracts import BASELINE, Decision, Evaluation, Handle, IntParam, Objective, Proposal
from core.contracts.codec import to_plain
from core.journal import events as ev
from core.journal import snapshot
from core.journal.fold import Fold
from core.journal.store import Journal

_HEAD = """
import json, sqlite3, sys, time
from pathlib import Path
from core.journal import snapshot
from core.journal.store import Journal
from core.study.launch import read_facts, replay
directory = Path(sys.argv[1])
begun, cpu = time.perf_counter(), time.process_time()
"""
_WAYS = {
    "resume": "with Journal.open(directory / 'journal.db') as journal:\n    found = replay(journal, directory)\n",
    "status": "found = read_facts(directory)\n",
    "events": """
found = 0
for (data,) in sqlite3.connect(directory / "journal.db").execute("SELECT data FROM events ORDER BY seq"):
    json.loads(data)
    found += 1
""",
    "rebuild": """
snapshot.load = lambda db, directory: None
with Journal.open(directory / "journal.db", readonly=True) as journal:
    found = replay(journal, directory)
""",
}
_TAIL = """
seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
# Not ru_maxrss: a child inherits its parent's through exec.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(seconds, cpu, int(peak) / 1024)
"""
_METRICS = {"loss": 0.731, "reward": 0.25, "kl": 0.012, "entropy": 1.7, "lr": 3e-5}


def trial_events(number: int) -> list[ev.Event]:
    """What a completed trial leaves in a journal."""
    phases: tuple[ev.Phase, ev.Phase] = ("train", "validation")
    events: list[ev.Event] = [ev.TrialProposed(number, Proposal(_params(number), rationale=f"TPE on {number} trials"))]
    for phase in phases:
        token = f"reopen-20261127-000000-beef/{number:04d}/{phase}/a1"
        metrics = {name: value + number * 1e-6 for name, value in _METRICS.items()} if phase == "train" else {}
        events += [
            ev.BudgetReserved(token, number, 3610.0, 1.0, 1.0),
            ev.JobIntended(token, number, phase, 1, 3600.0),
            ev.JobSubmitted(token, number, Handle(token, f"job-{number}", {"pid": "4711"})),
            ev.JobEnded(token, number, phase, 1, "succeeded", 0, "", 12.345, "1 of 2 CPU cores", metrics),
            ev.BudgetSettled(token, number, 12.345, 0.01, 0.003),
        ]
    score = 0.3 + 0.5 * (number * 7919 % 10007) / 10007
    evaluation = Evaluation("validation", "accuracy", score, 500, score - 0.04, score + 0.04)
    verdict = Decision("discard", f"gain of {score - 0.5:+.4f} is within its noise", {"gain": score - 0.5, "n": 500})
    events += [ev.TrialEvaluated(number, "validation", evaluation)]
    if number != BASELINE:
        events += [ev.TrialDecided(number, verdict)]
    return [*events, ev.TrialEnded(number, "completed"), ev.TrackersTold(number)]


def write(directory: Path, trials: int) -> float:
    """A journal of so many trials, left as a killed controller leaves it; returns seconds of CPU per trial."""
    created = ev.StudyCreated("reopen-20261127-000000-beef", "reopen", Objective("accuracy"), _space(), 1, {"seed": 1})
    begun = time.process_time()
    with Journal.create(directory / "journal.db") as journal:
        journal._db.execute("PRAGMA synchronous = OFF")  # durability is not what is measured here
        fold = Fold(directory)
        for number in range(trials):
            more = [created, ev.ControllerStarted(1, "here", False)] if number == 0 else []
            for entry in journal.append(*more, *trial_events(number)):
                fold.apply(entry)
            snapshot.keep(journal, fold)
    return (time.process_time() - begun) / trials


def measure(way: str, directory: Path) -> dict[str, float]:
    """Seconds and CPU seconds (imports left out) and peak MB of opening it in a fresh process; the better of two."""
    runs = []
    for _ in range(2):
        script = _HEAD + _WAYS[way] + _TAIL
        ran = subprocess.run([sys.executable, "-c", script, directory], capture_output=True, text=True, check=True)
        runs.append(tuple(map(float, ran.stdout.split())))
    seconds, cpu, megabytes = min(runs)
    return {"s": round(seconds, 2), "cpu_s": round(cpu, 2), "mb": round(megabytes)}


def main() -> int:
    """Print one JSON line: seconds and peak MB of each way, and their ratio to reading the raw events."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        cost = write(directory, trials)
        ways = {way: measure(way, directory) for way in _WAYS if way != "rebuild" or trials <= 20_000}
        size = (directory / "journal.db").stat().st_size / 2**20
    ratios = {way: round(ways[way]["s"] / ways["events"]["s"], 2) for way in ("resume", "status")}
    row = {"trials": trials, "file_mb": round(size), "write_ms_per_trial": round(1000 * cost, 2)}
    print(json.dumps({**row, **ways, "ratio_to_events": ratios}))
    return 0


def _params(number: int) -> dict[str, bool | int | float | str]:
    return {"learning_rate": 1e-5 + number * 1e-9, "steps": 20 + number % 40, "loss": "dapo"}


def _space() -> dict[str, Any]:
    return {"steps": to_plain(IntParam(low=20, high=60, default=40))}


if __name__ == "__main__":
    sys.exit(main())
