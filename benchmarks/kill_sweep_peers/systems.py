"""The systems of the sweep: how each is started and resumed, and where it keeps what it finished."""

import csv
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from core.errors import OvernightError
from core.study.launch import read_facts

_HERE = Path(__file__).parent
_GRID = [round(-2 + i / 100, 2) for i in range(401)]
STEPS, STEP_S = 10, 0.2


@dataclass(frozen=True)
class Place:
    """Where one study lives; its witness lies beside it, outside."""

    folder: Path
    number: int

    @property
    def witness(self) -> Path:
        return self.folder.parent / "witness" / f"{self.folder.name}.jsonl"


@dataclass(frozen=True)
class Record:
    """What a system says it has finished, read from its own files: score by trial, and whether it is done."""

    scores: dict[int, float]
    over: bool


class Overnight:
    """`python -m core`, settings as in tests/support.py, with a task that tells the witness."""

    name = "overnight"
    slots = 2

    def __init__(self, root: Path, trials: int, python: str | None) -> None:
        self.trials = trials
        self.version = importlib.metadata.version("overnight")
        plugin, source = root / "plugin", root / "plugin-source"
        shutil.copytree(_HERE / "overnight_witness", source)
        install = ["pip", "install", "--quiet", "--no-deps", "--target", str(plugin), str(source)]
        subprocess.run([sys.executable, "-m", *install], check=True)
        path = os.pathsep.join(filter(None, [str(plugin), os.environ.get("PYTHONPATH")]))
        self.env = {**os.environ, "PYTHONPATH": path}

    def start(self, place: Place) -> list[str]:
        """The command that begins the study."""
        options = ["task=witnessed", "policy=random", "tracker=none", "console=plain", "poll_s=0.05", "grace_s=1"]
        options += [f"task.witness={place.witness}", f"task.steps={STEPS}", f"task.step_s={STEP_S}"]
        options += [f"executor.slots={self.slots}", f"budget.trials={self.trials}"]
        # Trials may write in their own folder only: the witness, outside the study, has to be allowed.
        options += [f"executor.writable=[{place.witness.parent}]"]
        return [sys.executable, "-m", "core", *options, f"seed={place.number}", f"dir={place.folder}/study"]

    def resume(self, place: Place) -> list[str] | None:
        """The command that goes on; None if there is nothing to go on with."""
        try:
            read_facts(place.folder / "study")
        except OvernightError:
            return None
        return [sys.executable, "-m", "core", "resume", str(place.folder / "study")]

    def environment(self, place: Place) -> dict[str, str]:
        """What the controller sees."""
        return self.env

    def record(self, place: Place) -> Record:
        """Completed trials of the journal."""
        try:
            facts = read_facts(place.folder / "study")
        except OvernightError:
            return Record({}, False)
        done = {t.number: t.evaluation.value for t in facts.study.trials if t.status == "completed" and t.evaluation}
        return Record(done, facts.state == "finished")


class Peer:
    """What both peers share: their interpreter, and the training script's environment."""

    distribution = ""

    def __init__(self, root: Path, trials: int, python: str) -> None:
        self.trials, self.python = trials, python
        code = f"import importlib.metadata as m; print(m.version({self.distribution!r}))"
        self.version = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    def environment(self, place: Place) -> dict[str, str]:
        """What the controller and, through it, the training script see."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return {**env, "SWEEP_WITNESS": str(place.witness), "SWEEP_STEPS": str(STEPS), "SWEEP_STEP_S": str(STEP_S)}


class Optuna(Peer):
    """optuna_loop.py: two trials at once (n_jobs=2)."""

    name = "optuna"
    distribution = "optuna"
    slots = 2

    def start(self, place: Place) -> list[str]:
        """The command that begins the study; resuming is the same."""
        return [self.python, str(_HERE / "optuna_loop.py"), "run", str(place.folder), str(self.trials)]

    def resume(self, place: Place) -> list[str] | None:
        """The same command: the study is loaded if it exists."""
        return self.start(place) if (place.folder / "journal.log").exists() else None

    def record(self, place: Place) -> Record:
        """Completed trials, as Optuna reads them."""
        show = [self.python, str(_HERE / "optuna_loop.py"), "show", str(place.folder)]
        ran = subprocess.run(show, capture_output=True, text=True, check=False, timeout=120)
        scores = {int(k): v for k, v in json.loads(ran.stdout).items()} if ran.returncode == 0 else {}
        return Record(scores, len(scores) >= self.trials)


class AutoresearchRL(Peer):
    """`autoresearch-rl run|resume` with a local command target and the random policy, one trial at a time."""

    name = "autoresearch-rl"
    distribution = "autoresearch-rl"
    slots = 1

    def start(self, place: Place) -> list[str]:
        """The command that begins the study, and its configuration."""
        files = place.folder / "artifacts"
        config = {
            "name": "sweep",
            "objective": {"metric": "score", "direction": "max"},
            "target": {
                "type": "command",
                "workdir": str(place.folder),
                "timeout_s": 60,
                "train_cmd": [self.python, str(_HERE / "train.py")],
                "eval_cmd": [self.python, str(_HERE / "train.py"), "eval"],
            },
            "policy": {"type": "random", "seed": place.number, "params": {"x": _GRID}},
            "controller": {
                "max_iterations": self.trials,
                "checkpoint_path": str(files / "checkpoint.json"),
                "parallel": {
                    "enabled": self.slots > 1,
                    "max_concurrency": self.slots,
                    "resources": {"gpu": self.slots},
                    "submit_poll_interval_s": 0.1,
                },
            },
            "telemetry": {
                "trace_path": str(place.folder / "traces" / "events.jsonl"),
                "ledger_path": str(files / "results.tsv"),
                "artifacts_dir": str(files / "runs"),
                "versions_dir": str(files / "versions"),
            },
        }
        path = place.folder / "config.yaml"
        path.write_text(json.dumps(config, indent=1), encoding="utf-8")  # JSON is YAML too
        return [*self._cli(), "run", str(path)]

    def resume(self, place: Place) -> list[str] | None:
        """Its `resume`; before its first checkpoint it has none to offer."""
        files = place.folder / "artifacts"
        if not (files / "checkpoint.json").exists():
            return None
        return [*self._cli(), "resume", str(files / "runs")]

    def record(self, place: Place) -> Record:
        """Rows of results.tsv with a score, and what the checkpoint's history adds to them."""
        files, scores, reached = place.folder / "artifacts", {}, -1
        if (files / "results.tsv").exists():
            with (files / "results.tsv").open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.DictReader(file, delimiter="\t") if row["status"] in ("keep", "discard")]
            scores = {int(row["iter"]): float(row["metric_value"]) for row in rows if row["iter"]}
        if (files / "checkpoint.json").exists():
            checkpoint = json.loads((files / "checkpoint.json").read_text(encoding="utf-8"))
            reached = checkpoint["iteration"]
            for entry in checkpoint["history"]:
                if "score" in entry["metrics"]:
                    scores.setdefault(entry["iter"], entry["metrics"]["score"])
        return Record(scores, reached + 1 >= self.trials)

    def _cli(self) -> list[str]:
        return [self.python, "-m", "autoresearch_rl.cli"]


class AutoresearchRLParallel(AutoresearchRL):
    """The same with its parallel engine, two trials at once."""

    name = "autoresearch-rl-parallel"
    slots = 2
