"""Records runs of the embedded GRPO task that differ in nothing but their training seed: real noise for
benchmarks/decision_rules.py to replay the decision rules on.

The table is one JSON file: per run its seed, and which validation items it got right as a string of 0 and 1.
It is written anew after every run, and runs that are in it already are not made again.

    OMP_NUM_THREADS=1 python benchmarks/record_identical_runs.py [RUNS] [learning_rate=0.001 steps=40 …]
"""

import json
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import yaml

from core.contracts import WeightedReward
from core.plugins import discover
from core.study.parts import split_task
from core.testing.contexts import Context
from core.worker.contexts import cache_dir, sealed_dir

TABLE = Path(__file__).parent / "data" / "identical_runs.json"
SETTINGS = {"learning_rate": 1e-3, "num_generations": 8, "prompts_per_step": 8, "steps": 20}


def main(arguments: list[str]) -> None:
    """Make so many runs (48), continuing the table."""
    count = int(next((word for word in arguments if word.isdigit()), 48))
    given = {key: float(value) for key, _, value in (word.partition("=") for word in arguments if "=" in word)}
    registry = discover()
    node, _ = split_task(
        yaml.safe_load((files("overnight_task_grpo.conf") / "task" / "grpo_arithmetic.yaml").read_text())
    )
    task = registry.build("task", node)
    space = task.space
    params = space.check({**space.defaults(), **SETTINGS, **given})
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {"task": "grpo_arithmetic", "params": params}
    if table["params"] != params:
        raise SystemExit(f"{TABLE} holds runs of {table['params']}, not of {params}: remove it first")
    runs = table.setdefault("runs", [])
    rewards = (WeightedReward("exact_match", 1.0, registry.build("reward", {"name": "exact_match"})),)
    cache = cache_dir()
    task.prepare(cache)
    if "baseline" not in table:
        table["baseline"] = _right(task, None, cache, {}, 0)
    for seed in range(len(runs) + 1, count + 1):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Path(folder) / "checkpoint"
            checkpoint.mkdir()
            task.train(Context(cache, sealed_dir(), checkpoint, params, seed, rewards))
            right = _right(task, checkpoint, cache, params, seed)
        runs.append({"seed": seed, "right": right})
        partial = TABLE.with_suffix(".partial")
        partial.write_text(json.dumps(table, indent=1) + "\n")
        partial.replace(TABLE)
        print(f"run {seed}: {right.count('1') / len(right):.3f} in {time.monotonic() - began:.1f} s", flush=True)


def _right(task, checkpoint: Path | None, cache: Path, params: dict, seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        context = Context(cache, sealed_dir(), Path(folder) / "none", params, seed)
        found = task.evaluate(checkpoint, "validation", context)
    return "".join("1" if item.score == 1.0 else "0" for item in found.items)


if __name__ == "__main__":
    main(sys.argv[1:])
