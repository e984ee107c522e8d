"""Task `script`: a folder with prepare.py, train.py and program.md, as in autoresearch."""

import difflib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from core import EvaluateContext, Evaluation, ItemScore, Objective, Program, SetupError, Space, TrainContext
from overnight_task_script import constants
from overnight_task_script import folder as folders
from overnight_task_script.config import ScriptConfig
from overnight_task_script.process import Run, run_script

REPORTED = "overnight_metrics.json"
"""In a checkpoint: the metrics that train printed."""


class Script:
    """Trains and scores by running a folder's own scripts, each in a fresh copy of it."""

    Config = ScriptConfig

    def __init__(self, config: ScriptConfig) -> None:
        self._config = config

    @property
    def objective(self) -> Objective:
        """As configured."""
        return Objective(self._config.metric, self._config.direction)

    @property
    def space(self) -> Space:
        """As configured under `task.space`."""
        return Space(self._config.space)

    def check(self) -> None:
        """See core.contracts.ChecksItself."""
        config, folder = self._config, self._folder()
        if not folder.is_dir():
            raise SetupError(f"task.folder: there is no folder {folder}")
        named = {"train": config.train, "evaluate": self._evaluator(folder), "program": config.program}
        for setting, name in named.items():
            if name is not None and not (folder / name).is_file():
                none = "; set task.program=null if it has none" if setting == "program" else ""
                raise SetupError(f"task.{setting}: {folder} has no file {name}{none}")
        for name in config.editable or ():
            if not (folder / name).is_file():
                raise SetupError(f"task.editable: {folder} has no file {name}")
            if name == config.prepare or self._is_hidden(Path(name), folder):
                raise SetupError(f"task.editable: {name} is frozen: trials would not be comparable if it changed")
        for name in config.sealed:
            if not (folder / name).exists():
                raise SetupError(f"task.sealed: {folder} has no {name}")
        setting, program = ("command", config.command[0]) if config.command else ("python", self._command()[0])
        if os.sep in program and not Path(program).is_absolute():
            raise SetupError(f"task.{setting}: give the whole path, e.g. {Path(program).absolute()}")
        if shutil.which(program) is None:
            raise SetupError(f"task.{setting}: {program} is no program that can be run here")
        if not config.space:
            raise SetupError(f"task.space: is empty; name the parameters that {config.train} reads")
        if config.constants:
            constants.check((folder / config.train).read_text(encoding="utf-8"), config.train, config.space)

    def program(self) -> Program:
        """The editable scripts, and what program.md says; see core.contracts.HasProgram."""
        config, folder = self._config, self._folder()
        about = folder / config.program if config.program else None
        try:
            texts = {name: (folder / name).read_text(encoding="utf-8") for name in config.editable or (config.train,)}
            said = about.read_text(encoding="utf-8") if about else ""
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"task.editable: {error}") from None
        return Program(texts, config.required_calls, said)

    def training_reads(self) -> list[Path]:
        """Nothing: it is given a copy of the folder without its answers; see core.contracts.HasProgram."""
        return []

    def local_inputs(self) -> Mapping[str, Path]:
        """See core.contracts.HasLocalInputs."""
        return {"folder": self._folder()}

    def prepare(self, cache: Path) -> None:
        """Snapshot the folder and run prepare.py in it, once per content."""
        root, folder = cache / "script", self._folder()
        content = folders.pinned(root, folder)
        if content is None:
            self.check()
            content = self._digest()
            folders.pin(root, folder, content)
        home = root / content
        if (home / "meta.json").exists():
            return
        if content != self._digest():
            raise SetupError(f"task.folder: {folder} was edited and its snapshot {content} is gone; start a new study")
        shutil.rmtree(home, ignore_errors=True)
        open_files = [f for f in self._files() if not self._is_hidden(f, folder)]
        folders.copy_files(folder, open_files, home / "files")
        if self._config.prepare and (home / "files" / self._config.prepare).exists():
            self._run_prepare(home / "files")
        meta = {"evaluate": self._evaluator(folder), "hash": self._frozen(home / "files")}
        meta["files"] = [file.as_posix() for file in open_files]
        meta["content"] = folders.digest(home / "files", open_files, "")
        (home / "meta.json").write_text(json.dumps(meta), encoding="utf-8")

    def train(self, context: TrainContext) -> None:
        """Run train.py; what it leaves in AR_MODEL_DIR is the checkpoint."""
        run = self._train(context.cache, context.params, context.seed, context.checkpoint_dir, context)
        note = context.checkpoint_dir / REPORTED
        note.write_text(json.dumps(run.metrics), encoding="utf-8")

    def evaluate(
        self, checkpoint: Path | None, split: Literal["validation", "test"], context: EvaluateContext
    ) -> Evaluation:
        """The score of evaluate.py, or without one the score that train.py printed."""
        home, meta = self._home(context.cache)
        evaluator = meta["evaluate"]
        if evaluator is not None:
            return self._sealed(evaluator, home, checkpoint, split, context)
        if split == "test":
            raise RuntimeError("scores are self-reported: there is no test split without an evaluate.py")
        if checkpoint is None:
            with tempfile.TemporaryDirectory(prefix="overnight-script-") as scratch:
                run = self._train(context.cache, self.space.defaults(), 0, Path(scratch), context)
            if run.stopped:
                raise RuntimeError(f"{self._config.train} was stopped before it had a score (deadline.evaluate_s)")
            metrics = run.metrics
        elif (checkpoint / REPORTED).exists():
            metrics = json.loads((checkpoint / REPORTED).read_text(encoding="utf-8"))
        else:
            raise RuntimeError(f"{checkpoint} has no {REPORTED}: it is not a whole checkpoint of this task")
        value = self._metric(metrics, self._config.train)
        return Evaluation(split, self._config.metric, value, 1, value, value, "none", self_reported=True)

    def _train(
        self, cache: Path, params: Mapping[str, Any], seed: int, model: Path, context: TrainContext | EvaluateContext
    ) -> Run:
        (home, meta), config = self._home(cache), self._config
        with tempfile.TemporaryDirectory(prefix="overnight-script-") as name:
            copy = Path(name) / "files"
            shutil.copytree(home / "files", copy)
            budget = context.remaining() if config.time_budget_s is None else config.time_budget_s
            env = self._env(Path(name), params, seed, budget) | {"AR_MODEL_DIR": str(model.resolve())}
            for name, text in (getattr(context, "program", None) or {}).items():
                (copy / name).write_text(text, encoding="utf-8")
            if config.constants:
                script = copy / config.train
                script.write_text(constants.with_params(script.read_text(encoding="utf-8"), params), encoding="utf-8")
            command = [*self._command(), config.train, *config.train_args, *self._overrides(params)]
            run = run_script(command, copy, env, context.report, context.should_stop, config.stop_grace_s)
            if meta["evaluate"] is None:
                if not run.stopped:  # one that was stopped early may have no score yet
                    self._metric(run.metrics, config.train)
                if self._frozen(copy) != meta["hash"]:
                    raise RuntimeError(f"{config.train} changed {config.prepare}, which is frozen: its score is void")
        return run

    def _sealed(
        self, evaluator: str, home: Path, checkpoint: Path | None, split: Literal["validation", "test"],
        context: EvaluateContext,
    ) -> Evaluation:  # fmt: skip
        folder, answers = self._folder(), context.sealed / "script" / home.name
        if not answers.exists():
            hidden = [file for file in self._files() if self._is_hidden(file, folder)]
            folders.sealed_copy(folder, hidden, answers, unchanged=self._digest() == home.name)
        with tempfile.TemporaryDirectory(prefix="overnight-script-") as name:
            copy, items = Path(name) / "files", Path(name) / "items.jsonl"
            shutil.copytree(home / "files", copy)
            shutil.copytree(answers, copy, dirs_exist_ok=True)
            env = self._env(Path(name), {}, 0, context.remaining())
            env |= {"AR_SPLIT": split, "AR_ITEMS_FILE": str(items)}
            if checkpoint is not None:
                env["AR_MODEL_DIR"] = str(checkpoint.resolve())
            command = [*self._command(), evaluator]
            run = run_script(command, copy, env, context.report, context.should_stop, self._config.stop_grace_s)
            if run.stopped:
                raise RuntimeError(f"{evaluator} was stopped before it had scored everything")
            rows = [json.loads(line) for line in items.read_text().splitlines() if line] if items.exists() else []
        if rows:
            scores = [ItemScore(str(row["id"]), float(row["score"])) for row in rows]
            return Evaluation.from_items(split, self._config.metric, scores)
        value = self._metric(run.metrics, evaluator)
        missing = [key for key in ("n", "low", "high") if key not in run.metrics]
        if missing:
            raise RuntimeError(
                f"{evaluator} gave no interval: write items to AR_ITEMS_FILE, or print {', '.join(missing)} as well"
            )
        low, high = run.metrics["low"], run.metrics["high"]
        return Evaluation(split, self._config.metric, value, int(run.metrics["n"]), low, high, "script")

    def _metric(self, metrics: Mapping[str, float], script: str) -> float:
        name = self._config.metric
        if name in metrics:
            return float(metrics[name])
        near = difflib.get_close_matches(name, metrics, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        seen = f"it printed {', '.join(sorted(metrics))}" if metrics else "it printed no metric"
        raise RuntimeError(f"task.metric: {script} printed no {name!r}; {seen}.{hint}")

    def _run_prepare(self, files: Path) -> None:
        asked = threading.Event()
        before = signal.signal(signal.SIGTERM, lambda number, frame: asked.set()) if _in_main_thread() else None
        try:
            with tempfile.TemporaryDirectory(prefix="overnight-script-") as scratch:
                env = self._env(Path(scratch), {}, 0, None)
                command = [*self._command(), str(self._config.prepare)]
                run = run_script(command, files, env, _silent, asked.is_set, self._config.stop_grace_s)
        finally:
            if _in_main_thread():
                signal.signal(signal.SIGTERM, before)
        if run.stopped:
            raise RuntimeError(
                f"{self._config.prepare} was stopped before its end (deadline.prepare_s, or an interrupt)"
            )

    def _home(self, cache: Path) -> tuple[Path, dict[str, Any]]:
        """The prepared copy, and what is known of it. Raises RuntimeError if either was edited."""
        root = cache / "script"
        content = folders.pinned(root, self._folder()) or self._digest()
        home = root / content
        if not (home / "meta.json").exists():
            raise RuntimeError(f"task.folder: the folder was edited since it was prepared (now {content})")
        meta: dict[str, Any] = json.loads((home / "meta.json").read_text(encoding="utf-8"))
        files = [Path(name) for name in meta["files"]]
        if any(not (home / "files" / file).is_file() for file in files) or (
            folders.digest(home / "files", files, "") != meta["content"]
        ):
            raise RuntimeError(
                f"task.folder: the prepared copy {home} was changed after it was made, so that trials would not be "
                f"comparable; delete it and start a new study"
            )
        return home, meta

    def _folder(self) -> Path:
        if self._config.folder is None:
            raise SetupError("task.folder: name the folder with prepare.py, train.py and program.md")
        folder = Path(self._config.folder).expanduser()
        if not folder.is_absolute():  # a job starts in a folder of its own
            raise SetupError(f"task.folder: give the whole path, e.g. {folder.resolve()}")
        return folder.resolve()

    def _files(self) -> list[Path]:
        return list(folders.files_of(self._folder(), self._config.exclude))

    def _digest(self) -> str:
        config = self._config
        extra = json.dumps([config.prepare, config.evaluate, config.sealed, config.env, self._command()])
        return folders.digest(self._folder(), self._files(), extra)

    def _is_hidden(self, file: Path, folder: Path) -> bool:
        return file == Path(self._evaluator(folder) or "?") or folders.is_sealed(file, self._config.sealed)

    def _evaluator(self, folder: Path) -> str | None:
        if self._config.evaluate == "auto":
            return "evaluate.py" if (folder / "evaluate.py").is_file() else None
        return self._config.evaluate

    def _frozen(self, folder: Path) -> str:
        names = [Path(name) for name in [self._config.prepare] if name and (folder / name).exists()]
        return folders.digest(folder, names, "")

    def _command(self) -> list[str]:
        return list(self._config.command or (self._config.python or sys.executable,))

    def _overrides(self, params: Mapping[str, Any]) -> list[str]:
        if self._config.cli_overrides == "flags":
            return [word for name, value in params.items() for word in (f"--{name}", str(value))]
        if self._config.cli_overrides == "hydra":
            return [f"{name}={value}" for name, value in params.items()]
        return []

    def _env(self, run: Path, params: Mapping[str, Any], seed: int, budget_s: float | None) -> dict[str, str]:
        """autoresearch-rl's variables (its target/command.py and target/progress.py), and ours."""
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **self._config.env}
        env |= {"AR_RUN_DIR": str(run), "AR_SEED": str(seed), "AR_PARAMS_JSON": json.dumps(dict(params))}
        env |= {"AR_PROGRESS_FILE": str(run / "progress.jsonl"), "AR_CONTROL_FILE": str(run / "control.json")}
        env |= {f"AR_PARAM_{name.upper()}": str(value) for name, value in params.items()}
        if budget_s is not None:
            env["AR_TIME_BUDGET_S"] = f"{budget_s:.0f}"
        return env


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _silent(step: int, total: int | None = None, **metrics: float) -> None:
    """prepare.py has no live metrics that anybody watches."""
