"""What a trial costs the controller: ours against a plain Optuna loop with its journal storage.

Both run the same number of trials, each a real subprocess that does nothing; what is measured is
the CPU time of the controlling process alone (RUSAGE_SELF), per trial. Ours runs two jobs a trial
(training and evaluation), keeps a durable journal, watches live metrics and leaves reports out.

    python benchmarks/controller_cost.py [TRIALS]
"""

import json
import subprocess
import sys
import tempfile

_OURS = """
import resource, sys
from pathlib import Path
from core.plugins import discover
from core.study.launch import create
directory, trials = Path(sys.argv[1]), int(sys.argv[2])
config = {"name": "cost", "dir": str(directory), "task": {"name": "quadratic", "step_s": 0.0, "items": 20},
          "policy": {"name": "tpe"}, "executor": {"name": "local", "slots": 1}, "decision": {"name": "greedy"},
          "budget": {"trials": trials}, "poll_s": 0.1}
outcome = create(config, directory, discover())
assert outcome.exit_code == 0, outcome.error
"""
_OPTUNA = """
import json, subprocess, sys
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = JournalStorage(JournalFileBackend(sys.argv[1] + "/optuna.log"))
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=1), storage=storage)
def objective(trial):
    x, k = trial.suggest_float("x", -2, 2), trial.suggest_int("k", 1, 8)
    return float(subprocess.run([sys.executable, "-c", f"print(-{x}**2)"], capture_output=True, check=True).stdout)
study.optimize(objective, n_trials=int(sys.argv[2]))
"""
_TAIL = """
usage = resource.getrusage(resource.RUSAGE_SELF)
print("CPU", usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


def measure(script: str, trials: int) -> tuple[float, float]:
    """CPU seconds and peak MB of a controller that runs so many trials."""
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [sys.executable, "-c", "import resource\n" + script + _TAIL, folder, str(trials)],
            capture_output=True,
            text=True,
            check=True,
        )
    _, seconds, megabytes = ran.stdout.strip().splitlines()[-1].split()
    return float(seconds), float(megabytes)


def main() -> int:
    """Print one JSON line with both costs per trial and their ratio."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    rows = {}
    for name, script in (("overnight", _OURS), ("optuna", _OPTUNA)):
        few, _ = measure(script, 2)
        many, peak = measure(script, trials + 2)
        rows[name] = {
            "ms_per_trial": round(1000 * (many - few) / trials, 1),
            "start_s": round(few, 2),
            "peak_mb": round(peak),
        }
    ratio = rows["overnight"]["ms_per_trial"] / rows["optuna"]["ms_per_trial"]
    print(json.dumps({"trials": trials, **rows, "ratio": round(ratio, 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
