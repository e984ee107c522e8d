"""The worker's door: `python -m core.worker` in a job folder does what its spec.json says."""

import fcntl
import json
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.contracts import Evaluation, HasPreflight, Scalar, SetupError, Task, WeightedReward
from core.errors import UsageError
from core.plugins import Registry, discover
from core.worker import sandbox
from core.worker.contexts import EvaluationContext, TrainingContext, cache_dir
from core.worker.result import JobResult, write_items, write_result
from core.worker.spec import CHECKPOINT, FILENAME, PARTIAL, PROGRAM, RESUME, WorkerSpec
from core.worker.timing import Startup, peak_memory


def main() -> int:
    """Run the job in the current folder; exit code 0 if it succeeded, 1 failed, 2 set up wrongly."""
    folder = Path.cwd()
    started, startup = time.monotonic(), Startup()
    try:
        spec = WorkerSpec.model_validate(json.loads((folder / FILENAME).read_text(encoding="utf-8")))
        if spec.sandbox == "inside":
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # bubblewrap was told to ignore it, this process was not
        result = _run(spec, folder, startup)
    except (SetupError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        result = JobResult("failed", str(error), "setup")
    except Exception as error:  # noqa: BLE001 - a task may raise anything; it becomes the trial's error
        traceback.print_exc()
        result = JobResult("failed", f"{type(error).__name__}: {error}", "exception")
    sys.stdout.flush()
    write_result(folder, replace(result, seconds=round(time.monotonic() - started, 3)))
    return {None: 0, "setup": 2, "preflight": 2}.get(result.error_kind, 1)


def _run(spec: WorkerSpec, folder: Path, startup: Startup) -> JobResult:
    registry = discover()
    inputs = {key: str(folder / place) for key, place in spec.inputs.items()}
    task: Task = registry.build("task", spec.task | inputs)
    if spec.sandbox != "inside":  # there the cache can only be read, and is complete
        _prepare(task)
    startup.prepared()
    if spec.phase == "prepare":
        return _preflight(task, spec, registry, folder)
    if spec.phase == "train" and spec.sandbox == "on":
        return sandbox.train(task, spec, folder, startup.seconds())
    if spec.phase == "train":
        return _train(task, spec, registry, folder, startup)
    return _evaluate(task, spec, folder)


def _preflight(task: Task, spec: WorkerSpec, registry: Registry, folder: Path) -> JobResult:
    if spec.preflight == "off" or not isinstance(task, HasPreflight):
        return JobResult("succeeded")
    params, rewards = task.space.defaults(), build_rewards(registry, spec.rewards)
    context = _training_context(spec, params, rewards, folder)
    found = task.preflight(context)
    if found.refusals and spec.preflight == "refuse":
        return JobResult("failed", "; ".join(found.refusals), "preflight", preflight=found)
    return JobResult("succeeded", preflight=found)


def _train(task: Task, spec: WorkerSpec, registry: Registry, folder: Path, startup: Startup) -> JobResult:
    checkpoint = folder / CHECKPOINT
    checkpoint.mkdir(exist_ok=True)
    params = task.space.check(spec.params)
    rewards = build_rewards(registry, spec.rewards)
    context = _training_context(spec, params, rewards, folder)
    context.partial_dir.mkdir(exist_ok=True)
    task.train(context)
    shutil.rmtree(context.partial_dir, ignore_errors=True)
    if not any(checkpoint.iterdir()):
        return JobResult("failed", "training ended without leaving a checkpoint", "exception")
    details = startup.figures(context.first_report, context.first_step) | peak_memory()
    return JobResult("succeeded", stopped_early=context.should_stop(), details=details)


def _training_context(
    spec: WorkerSpec, params: Mapping[str, Scalar], rewards: tuple[WeightedReward, ...], folder: Path
) -> TrainingContext:
    earlier = folder / RESUME
    program = {name: (folder / PROGRAM / name).read_text(encoding="utf-8") for name in spec.program}
    return TrainingContext(
        params,
        spec.seed,
        rewards,
        folder / CHECKPOINT,
        spec.deadline_s,
        spec.stop_margin_s,
        folder / PARTIAL,
        spec.partial_every_s,
        earlier if earlier.is_dir() else None,
        program or None,
    )


def _evaluate(task: Task, spec: WorkerSpec, folder: Path) -> JobResult:
    assert spec.phase in ("validation", "test")
    context = EvaluationContext(spec.deadline_s, spec.stop_margin_s)
    checkpoint = None if spec.baseline else folder / CHECKPOINT
    evaluation: Evaluation = task.evaluate(checkpoint, spec.phase, context)
    problem = evaluation.problem()
    if problem is None and evaluation.split != spec.phase:
        problem = f"the task scored split {evaluation.split!r} when asked for {spec.phase!r}"
    if problem is not None:
        return JobResult("failed", problem, "not-finite")
    write_items(folder, evaluation.items)
    return JobResult("succeeded", evaluation=replace(evaluation, items=()))


def build_rewards(registry: Registry, nodes: Mapping[str, Mapping[str, Any]]) -> tuple[WeightedReward, ...]:
    """The rewards of a config's `task.rewards`: name → {weight, options…}; null leaves one out."""
    built = []
    for name, node in nodes.items():
        if node is None:
            continue
        options = dict(node)
        weight = float(options.pop("weight", 1.0))
        reward = registry.build("reward", {"name": name, **options}, where=f"task.rewards.{name}")
        built.append(WeightedReward(name.rpartition(":")[2], weight, reward))
    return tuple(built)


def _prepare(task: Task) -> None:
    with _locked(cache_dir()) as cache:
        task.prepare(cache)


@contextmanager
def _locked(cache: Path) -> Iterator[Path]:
    """Hold the cache for one preparing process at a time; the kernel frees it if that one dies."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


if __name__ == "__main__":
    sys.exit(main())
