"""The Optuna loop of the sweep: journal storage, resumed with load_if_exists, stale trials retried.

    python optuna_loop.py run DIR TRIALS     start or resume
    python optuna_loop.py show DIR           the finished trials as JSON

JournalStorage has no heartbeat, so nothing tells that a RUNNING trial is dead; this loop is the
only controller, so on resume every RUNNING trial is stale. It is failed and queued again by the
callback that Optuna has for stale trials (RetryHeartbeatStaleTrialCallback). MaxTrialsCallback
counts completed trials over all runs, as its page advises. The sampler is the default one.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import optuna
from optuna.storages import JournalStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_study(directory: Path) -> optuna.Study:
    """The study in the directory, made if there is none."""
    storage = JournalStorage(JournalFileBackend(str(directory / "journal.log")))
    return optuna.create_study(study_name="sweep", storage=storage, direction="maximize", load_if_exists=True)


def objective(trial: optuna.Trial) -> float:
    """Train in a subprocess; its last line is the score."""
    params = {"x": trial.suggest_float("x", -2.0, 2.0)}
    frozen = trial.study.trials[trial.number]
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(frozen)
    number = trial.number if first is None else first
    env = {**os.environ, "SWEEP_TRIAL": str(number), "SWEEP_PARAMS": json.dumps(params)}
    command = [sys.executable, str(Path(__file__).with_name("train.py"))]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return float(ran.stdout.strip().removeprefix("score="))


def run(directory: Path, trials: int) -> None:
    """Two trials at once until so many are complete."""
    study = open_study(directory)
    retry = RetryHeartbeatStaleTrialCallback()
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        retry(study, trial)
    missing = trials - len(study.get_trials(states=(TrialState.COMPLETE,)))
    if missing > 0:
        study.optimize(objective, n_trials=missing, n_jobs=2, callbacks=[MaxTrialsCallback(trials)])


def show(directory: Path) -> None:
    """Print {trial: score} of the completed trials; a retry stands for the trial it retries."""
    done = {}
    for trial in open_study(directory).get_trials(states=(TrialState.COMPLETE,)):
        first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
        done[trial.number if first is None else first] = trial.value
    print(json.dumps(done))


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        show(Path(sys.argv[2]))
